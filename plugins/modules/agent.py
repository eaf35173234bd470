#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module agent."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent
short_description: Install, upgrade and remove the agent v6ferry
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Brings the agent that carries the tunnels to a host, and keeps it running as a systemd service
    that is not root.
  - The collection carries the agent as one file, so neither the host nor the controller needs the
    internet.
  - Releases lie side by side below C(/usr/local/lib/v6ferry). An upgrade switches a symbolic link
    and restarts the service; tunnels and their connections stay, packets wait meanwhile. If the new
    release does not start, the old one runs again and the task fails.
  - Before anything is changed, the host is checked for what the agent needs.
options:
  method:
    description:
      - V(bundle) installs the file that the collection carries.
      - V(package) runs the agent that something else has installed, such as a C(.deb) or pip.
    type: str
    choices:
      - bundle
      - package
    default: bundle
  bundle:
    description:
      - The bundle on the controller.
      - By default the one of the collection.
    type: path
  release:
    description:
      - The name of the release, a directory below C(/usr/local/lib/v6ferry).
      - By default it is made from the version and the digest of the bundle. Leave it so.
    type: str
  command:
    description:
      - The agent's program on the host, with O(method=package).
    type: path
    default: /usr/bin/v6ferry
  python:
    description:
      - The Python 3.10 or later that the agent runs with, on the host.
      - By default C(python3) if it is new enough, else the newest C(python3.X) in C(/usr/bin).
    type: path
  verbose:
    description:
      - Whether the agent logs more.
    type: bool
    default: false
  start_timeout:
    description:
      - How many seconds the agent may take to start before the old release runs again.
    type: int
    default: 30
  keep:
    description:
      - How many older releases stay installed beside the current one.
    type: int
    default: 1
  state:
    description:
      - V(present) installs the agent and keeps it running.
      - V(absent) has the agent take down all tunnels, and removes it with all of its files.
    type: str
    choices:
      - present
      - absent
    default: present
notes:
  - The module needs root on the host (C(become=true)); the agent has C(CAP_NET_ADMIN),
    C(CAP_NET_RAW), C(CAP_BPF) and C(CAP_NET_BIND_SERVICE) and no more.
  - With O(state=absent) the configuration of the agent goes, too. To keep it, take
    C(/var/lib/v6ferry/resources) away first.
requirements:
  - systemd, /dev/net/tun and Python 3.10 or later on the host
extends_documentation_fragment:
  - v6ops.transition._attributes
seealso:
  - module: v6ops.transition.isatap_host
  - module: v6ops.transition.isatap_router
"""

EXAMPLES = r"""
- name: Bring the agent
  v6ops.transition.agent:
  become: true

- name: Run the agent with a Python beside the system's own
  v6ops.transition.agent:
    python: /usr/bin/python3.11
  become: true

- name: Try a newer release, with more in the log, and keep two older ones to go back to
  v6ops.transition.agent:
    bundle: files/v6ferry-next.pyz
    release: next
    verbose: true
    start_timeout: 60
    keep: 2
  become: true

- name: Run an agent that a package has brought
  v6ops.transition.agent:
    method: package
    command: /usr/bin/v6ferry
  become: true

- name: Remove the agent, its tunnels and all of its files
  v6ops.transition.agent:
    state: absent
  become: true
"""

RETURN = r"""
release:
  description:
    - The release that runs now, or in check mode would run.
    - Null with O(method=package), and when the agent was removed.
  returned: success
  type: str
  sample: 0.1.0-1f2e3d4c5b6a
previous_release:
  description: The release that ran before, null for none.
  returned: success
  type: str
  sample: 0.1.0-0a1b2c3d4e5f
actions:
  description: What was done, or in check mode would be done, a line each.
  returned: success
  type: list
  elements: str
  sample:
    - install release 0.1.0-1f2e3d4c5b6a
    - restart the agent
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.v6ops.transition.plugins.module_utils._agent_host import (
    find_python,
    problems,
)
from ansible_collections.v6ops.transition.plugins.module_utils._agent_installation import (
    LAUNCHER,
    STATE,
    UNITS,
    Installation,
    InstallationError,
    Present,
    launcher,
)
from ansible_collections.v6ops.transition.plugins.module_utils._agent_unit import units
from ansible_collections.v6ops.transition.plugins.module_utils._control_client import (
    DEFAULT_SOCKET,
    ControlClient,
    ControlError,
)
from ansible_collections.v6ops.transition.plugins.module_utils._diff import as_yaml

ARGUMENT_SPEC = {
    "method": {"type": "str", "choices": ["bundle", "package"], "default": "bundle"},
    "bundle": {"type": "path"},
    "release": {"type": "str"},
    "command": {"type": "path", "default": "/usr/bin/v6ferry"},
    "python": {"type": "path"},
    "verbose": {"type": "bool", "default": False},
    "start_timeout": {"type": "int", "default": 30},
    "keep": {"type": "int", "default": 1},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    """Be the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if os.geteuid() != 0:
        module.fail_json(msg="the agent is installed by root: set become to true")
    for option, least in (("start_timeout", 1), ("keep", 0)):
        if module.params[option] < least:
            module.fail_json(msg=f"{option}: {module.params[option]} is less than {least}")
    run: t.Any = module.run_command
    installation = Installation(run)
    try:
        if module.params["state"] == "present":
            _present(module, installation)
        else:
            _absent(module, installation)
    except (InstallationError, ControlError) as error:
        module.fail_json(msg=str(error))


def _present(module: AnsibleModule, installation: Installation) -> None:
    found = problems()
    if found:
        module.fail_json(msg="nothing was changed: " + "; ".join(found), problems=found)
    wanted, python = _wanted(module, installation)
    before = installation.look(wanted.files)
    release = wanted.release
    install = release is not None and not installation.has(release)
    # Whether it starts at boot is no reason to stop it now.
    same = before._replace(enabled=wanted.enabled) == wanted
    restart = not same or _runs_another_version(module, wanted)
    actions = _actions(before, wanted, install, restart)
    result = {
        "changed": bool(actions),
        "actions": actions,
        "release": release,
        "previous_release": before.release,
        "diff": _diff(before, wanted),
    }
    if module.check_mode or not actions:
        module.exit_json(**result)
    if install and not module.params["bundle"]:
        # The action plugin brings it now.
        module.exit_json(**{**result, "changed": False, "bundle_needed": True})
    try:
        if not before.user:
            installation.add_user()
        if install:
            installation.unpack(module.params["bundle"], release, python)
        installation.write(wanted)
        if restart:
            installation.start()
    except (InstallationError, OSError) as error:
        module.fail_json(msg=_take_back(installation, before, release if install else None, error))
    installation.prune(module.params["keep"])
    module.exit_json(**result)


def _wanted(module: AnsibleModule, installation: Installation) -> tuple[Present, str]:
    """Return how the host is to be, and the Python that the agent runs with."""
    parameters = module.params
    python, program, release = "", parameters["command"], None
    if parameters["method"] == "bundle":
        installation.check_conflicts()
        try:
            python = find_python(parameters["python"], module.run_command)
        except ValueError as error:
            module.fail_json(msg=f"nothing was changed: {error}")
        program, release = str(LAUNCHER), parameters["release"]
        if not release:
            module.fail_json(msg="release: missing; call this module as a task, not by itself")
    elif not os.access(program, os.X_OK):
        module.fail_json(
            msg=f"nothing was changed: command: there is no program {program}; install the "
            "package first, or name its program"
        )
    texts = units(program, parameters["start_timeout"], parameters["verbose"])
    files: dict[str, str | None] = {str(UNITS / name): text for name, text in texts.items()}
    files[str(LAUNCHER)] = launcher(python) if release else None
    return Present(release, files, user=True, enabled=True, active=True), python


def _runs_another_version(module: AnsibleModule, wanted: Present) -> bool:
    """Whether a package was upgraded below the running agent."""
    if wanted.release is not None:
        return False
    status, output, _complaint = module.run_command([module.params["command"], "--version"])
    try:
        running = ControlClient(DEFAULT_SOCKET, 10).call("show")["agent"]["version"]
    except ControlError:
        return True
    return status != 0 or output.split()[-1:] != [running]


def _actions(before: Present, wanted: Present, install: bool, restart: bool) -> list[str]:
    actions = [] if before.user else ["add the user v6ferry"]
    if install:
        actions.append(f"install release {wanted.release}")
    if before.release not in (None, wanted.release):
        actions.append(f"switch from release {before.release}")
    for path, content in wanted.files.items():
        if before.files[path] != content:
            actions.append(f"{'write' if content else 'remove'} {path}")
    if not before.enabled:
        actions.append("start the agent at boot")
    if restart:
        actions.append("restart the agent" if before.active else "start the agent")
    return actions


def _diff(before: Present, wanted: Present) -> list[dict[str, str]]:
    diffs = [
        {
            "before_header": "agent",
            "after_header": "agent",
            "before": as_yaml(_summary(before)),
            "after": as_yaml(_summary(wanted)),
        }
    ]
    for path, content in wanted.files.items():
        if before.files[path] != content:
            diffs.append(
                {
                    "before_header": path,
                    "after_header": path,
                    "before": before.files[path] or "",
                    "after": content or "",
                }
            )
    return diffs


def _summary(present: Present) -> dict[str, t.Any]:
    return {
        "release": present.release,
        "user": present.user,
        "starts at boot": present.enabled,
        "runs": present.active,
    }


def _take_back(
    installation: Installation, before: Present, installed: str | None, error: Exception
) -> str:
    """Make the host what it was, and return what to say."""
    if not any(before.files.values()) and not before.user:
        installation.remove()
        return f"{error}\nnothing of it is left on the host"
    installation.write(before)
    if installed:
        installation.remove_release(installed)
    if before.release is None:
        installation.prune(0)
    if not before.active:
        return f"{error}\nthe host is as it was"
    try:
        installation.start()
    except InstallationError as again:
        return f"{error}\nand release {before.release} does not start any more either: {again}"
    return f"{error}\nrelease {before.release or 'before'} runs again"


def _absent(module: AnsibleModule, installation: Installation) -> None:
    before = installation.look([])
    exists = installation.exists()
    result = {
        "changed": exists,
        "actions": ["remove the agent"] if exists else [],
        "release": None,
        "previous_release": before.release,
        "diff": {"before": as_yaml(_summary(before)), "after": ""} if exists else {},
    }
    if exists and not module.check_mode:
        _take_down_tunnels(module, installation, before)
        installation.remove()
    module.exit_json(**result)


def _take_down_tunnels(module: AnsibleModule, installation: Installation, before: Present) -> None:
    """Have the agent leave the host as it found it."""
    if not before.active:
        if not any(path.is_file() for path in (STATE / "resources").rglob("*")):
            return
        try:
            installation.start()
        except InstallationError as error:
            module.fail_json(
                msg="the agent must run once more to take its tunnels down, and nothing was "
                f"removed: {error}"
            )
    client = ControlClient(DEFAULT_SOCKET)
    absent = [
        {"kind": resource["kind"], "name": resource["name"], "state": "absent"}
        for resource in client.call("show")["resources"]
    ]
    if absent:
        client.call("apply", {"resources": absent, "dry_run": False, "wait": 0})


if __name__ == "__main__":
    main()

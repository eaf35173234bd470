# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-playbook against a lab, with this checkout as the collection."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Lab, inventory_yaml

ROOT = Path(__file__).resolve().parents[2]
GROUP_VARIABLES = Path(__file__).resolve().parent / "group_vars"
_RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+)", re.M)


class PlaybookError(Exception):
    """A playbook failed; the message has all that it printed."""


@dataclass(frozen=True)
class Recap:
    """What a run did.

    Attributes:
        changed: changed tasks by host.
        output: all that ansible-playbook printed.
    """

    changed: Mapping[str, int]
    output: str

    @property
    def changes(self) -> int:
        """How many tasks changed something, on all hosts."""
        return sum(self.changed.values())


def run_playbook(lab: Lab, name: str, *arguments: str) -> Recap:
    """Run ``playbooks/NAME.yml`` with the lab's inventory and the demo's variables.

    Args:
        lab: that is up.
        name: of the playbook.
        arguments: to ansible-playbook, such as ``--check``.

    Raises:
        PlaybookError: it failed on any host.
    """
    directory = lab.directory / "inventory"
    directory.mkdir(exist_ok=True)
    (directory / "hosts.yml").write_text(inventory_yaml(lab))
    settings = directory / "ansible.cfg"
    settings.write_text("")
    variables = directory / "group_vars"
    if not variables.is_symlink():
        variables.symlink_to(GROUP_VARIABLES)
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        f"--inventory={directory / 'hosts.yml'}",
        str(ROOT / "playbooks" / f"{name}.yml"),
        *arguments,
    ]
    environment = {
        **os.environ,
        # Nothing of the user's own settings: they are not what is shown here.
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_FORKS": "10",
    }
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    output = done.stdout + done.stderr
    if done.returncode != 0:
        raise PlaybookError(f"playbooks/{name}.yml failed:\n{output}")
    changed = {host: int(changes) for host, changes in _RECAP.findall(output)}
    return Recap(changed, output)

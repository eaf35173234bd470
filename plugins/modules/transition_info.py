#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module transition_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: transition_info
short_description: Tell how the IPv6 transition mechanisms of a host fare
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Returns the resources that the v6ferry agent of a host keeps, with their specification and their
    status, and facts about the agent itself.
  - What C(netsh interface isatap show) and C(v6ferry show) print.
options:
  kind:
    description:
      - Return only resources of this kind.
    type: str
    choices:
      - isatap_host
      - isatap_router
      - sixtofour_host
      - sixtofour_router
  name:
    description:
      - Return only resources of this name.
    type: str
extends_documentation_fragment:
  - v6ops.transition._attributes.info
  - v6ops.transition._control
seealso:
  - module: v6ops.transition.isatap_host
  - module: v6ops.transition.isatap_router
"""

EXAMPLES = r"""
- name: Look at everything
  v6ops.transition.transition_info:
  register: transition

- name: Fail unless every resource is ready
  ansible.builtin.assert:
    that: transition.resources | map(attribute='status') | map(attribute='ready') is all
    fail_msg: "{{ transition.resources | map(attribute='status') | map(attribute='summary') }}"

- name: Look at the ISATAP host only, of an agent with a socket of its own
  v6ops.transition.transition_info:
    kind: isatap_host
    socket: /run/v6ferry/control.sock
  register: isatap
"""

RETURN = r"""
agent:
  description: Facts about the agent.
  returned: success
  type: dict
  contains:
    version:
      description: Its version.
      type: str
      sample: 0.1.0
    process_id:
      description: Its process.
      type: int
      sample: 812
    plane:
      description: What forwards packets, C(eBPF) or C(userspace).
      type: str
      sample: eBPF
    plane_reason:
      description: Why it is not the faster one; null where it is.
      type: str
      sample: null
    hooks:
      description:
        - Where the programs of the eBPF plane are on an interface, C(TCX) or C(clsact).
      type: dict
      sample:
        eth0: TCX
        isatap0: TCX
resources:
  description: The resources, by kind and name.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What it is.
      type: str
      sample: isatap_host
    name:
      description: Its name.
      type: str
      sample: default
    spec:
      description: The options that differ from their defaults.
      type: dict
      sample:
        routers:
          - 10.0.0.1
    status:
      description: How it fares; for its keys see the module of the resource's kind.
      type: dict
      sample:
        ready: true
        summary: addresses from 2001:db8:0:7::/64, default router 10.0.0.1
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.v6ops.transition.plugins.module_utils._control_client import (
    ControlClient,
    ControlError,
)
from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    CALL_TIMEOUT,
    CONTROL_OPTIONS,
)

ARGUMENT_SPEC = {
    **CONTROL_OPTIONS,
    "kind": {
        "type": "str",
        "choices": ["isatap_host", "isatap_router", "sixtofour_host", "sixtofour_router"],
    },
    "name": {"type": "str"},
}


def main() -> None:
    """Show what the agent shows."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    selection = {key: module.params[key] for key in ("kind", "name") if module.params[key]}
    try:
        shown = ControlClient(module.params["socket"], CALL_TIMEOUT).call("show", selection)
    except ControlError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, agent=shown["agent"], resources=shown["resources"])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every module that declares a resource of the agent has."""

from __future__ import annotations


class ModuleDocFragment:
    """Which resource, whether it is wanted, and how long to wait for it."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The name of the resource, for a host that has several of one kind.
      - Two resources cannot share a tunnel interface.
    type: str
    default: default
  state:
    description:
      - V(present) declares the resource; the agent keeps it so across address changes, restarts
        and reboots.
      - V(absent) removes it and leaves the host as it was found, addresses, routes and sysctls
        included. All options that describe the resource are ignored then.
    type: str
    choices:
      - present
      - absent
    default: present
  wait:
    description:
      - How many seconds to wait until the resource is ready, which RV(status.ready) tells.
      - The module fails if it is not ready by then; what was declared stays declared.
      - With V(0) the module returns as soon as the agent has accepted the resource.
      - Check mode does not wait.
    type: int
    default: 0
notes:
  - In check mode on a host that has never had the agent, the module predicts that the resource
    will be created, and warns that nothing could be verified there.
extends_documentation_fragment:
  - v6ops.transition._control
"""

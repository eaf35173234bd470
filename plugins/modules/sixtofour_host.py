#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module sixtofour_host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sixtofour_host
short_description: Give a host 6to4 addresses
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares 6to4 (RFC 3056) on a machine that routes for nobody but itself to its v6ferry agent.
    Each public IPv4 address WW.XX.YY.ZZ gives it the address 2002:WWXX:YYZZ::WWXX:YYZZ, and it
    reaches other 6to4 sites directly.
  - When a public address changes, the 6to4 address changes with it.
  - Packets are checked on both sides as RFC 3964 says.
  - For a machine with hosts behind it use M(v6ops.transition.sixtofour_router).
options:
  mode:
    description:
      - When 6to4 is used. V(automatic) is as on Windows, only while no other interface has a
        native global IPv6 address; 6to4 and Teredo addresses, unique local and deprecated ones,
        and those of the agent's own tunnels do not count.
      - V(enabled) uses it beside native IPv6, V(disabled) keeps the declaration but does nothing.
      - What C(netsh interface 6to4 set state) sets.
    type: str
    choices:
      - automatic
      - enabled
      - disabled
    default: automatic
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
  - v6ops.transition._sixtofour
  - v6ops.transition._through_relay
seealso:
  - module: v6ops.transition.sixtofour_router
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Use 6to4 where there is no native IPv6, through the relay of the provider
  v6ops.transition.sixtofour_host:
    relay: 6to4.example.net
    relay_refresh_interval: 3600
    route_metric: 1024

- name: Use 6to4 beside native IPv6, to reach other 6to4 sites only
  v6ops.transition.sixtofour_host:
    mode: enabled

- name: Connect the hosts of a closed network that has private addresses
  v6ops.transition.sixtofour_host:
    interface: tun6to4
    mode: enabled
    globally_unique: false
    relay: 10.0.0.1
    accept_relays: configured
    underlay_interfaces: [eth0]
    underlay_addresses: [10.0.0.0/8]
    allowed_endpoints: [10.0.0.0/8]
    tunnel_mtu: dynamic
    mtu: 1480
    ttl: 32
    dscp: inherit
    wait: 10

- name: Use no 6to4 any more
  v6ops.transition.sixtofour_host:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create sixtofour_host default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether there are a public address and the relay's address, or 6to4 is idle as
        O(mode) wants it.
      type: bool
      sample: true
    summary:
      description: One line for people; says why 6to4 is idle.
      type: str
      sample: 2002:836b:1::836b:1; relay 192.0.2.1
    interface:
      description: The tunnel interface.
      type: str
      sample: sixtofour0
    mode:
      description: As set.
      type: str
      sample: automatic
    active:
      description: Whether 6to4 is in use.
      type: bool
      sample: true
    addresses:
      description: The 6to4 addresses, one for each public IPv4 address.
      type: list
      elements: dict
      sample:
        - address: 2002:836b:1::836b:1
    relay:
      description: The IPv4 address of the relay in use; V(null) if there is none.
      type: str
      sample: 192.0.2.1
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    SIXTOFOUR_OPTIONS,
    THROUGH_RELAY_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    **TUNNEL_OPTIONS,
    **SIXTOFOUR_OPTIONS,
    **THROUGH_RELAY_OPTIONS,
    "mode": {
        "type": "str",
        "choices": ["automatic", "enabled", "disabled"],
        "default": "automatic",
    },
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare 6to4 on a host."""
    run_resource_module("sixtofour_host", SPEC)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module teredo_relay."""

from __future__ import annotations

DOCUMENTATION = r"""
module: teredo_relay
short_description: Make a host a Teredo relay
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the Teredo relay (RFC 4380) of a machine to its v6ferry agent, which forwards
    between Teredo clients and the native IPv6 side that the machine has, or for itself alone.
  - Whoever is to reach Teredo clients through the relay needs a route for 2001::/32 to it. The
    relay does not announce one.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: teredo0
  host_specific:
    description:
      - Whether it relays for this machine alone, which then reaches clients directly, without a
        relay between (RFC 4380 section 5.4.3). The machine does not forward then.
    type: bool
    default: false
  port:
    description:
      - The UDP port of the relay.
    type: int
    default: 3545
  behind_nat:
    description:
      - Whether there is a NAT before the relay, which bubbles to clients have to open.
    type: bool
    default: false
  globally_unique:
    description:
      - Whether only globally unique IPv4 addresses are spoken to, as RFC 4380 wants it on the
        Internet.
      - V(false) is for a closed network, where private addresses are unique.
    type: bool
    default: true
  route_metric:
    description:
      - The metric of the route for 2001::/32.
    type: int
    default: 256
  most_peers:
    description:
      - How many clients the relay remembers at a time.
    type: int
    default: 65536
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.teredo_server
  - module: v6ops.transition.teredo_client
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Relay between Teredo clients and native IPv6
  v6ops.transition.teredo_relay:
    wait: 10

- name: Reach Teredo clients directly, from behind a NAT on a closed network
  v6ops.transition.teredo_relay:
    interface: teredo1
    host_specific: true
    port: 34567
    behind_nat: true
    globally_unique: false
    route_metric: 512
    most_peers: 1024

- name: Relay for the clients of one network, on one of several addresses
  v6ops.transition.teredo_relay:
    underlay_interfaces: [eth0]
    underlay_addresses: [203.0.113.5]
    allowed_endpoints: [203.0.113.0/24]
    ttl: 128
    dscp: inherit
    tunnel_mtu: dynamic
    mtu: 1400

- name: Be no Teredo relay any more
  v6ops.transition.teredo_relay:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create teredo_relay default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether the machine has an IPv4 and a native IPv6 address.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: relays between Teredo clients and native IPv6 at 194.207.1.5:3545
    interface:
      description: The tunnel interface.
      type: str
      sample: teredo0
    peers:
      description: How many clients are remembered.
      type: int
      sample: 240
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    "interface": {"type": "str", "default": "teredo0"},
    **TUNNEL_OPTIONS,
    "host_specific": {"type": "bool", "default": False},
    "port": {"type": "int", "default": 3545},
    "behind_nat": {"type": "bool", "default": False},
    "globally_unique": {"type": "bool", "default": True},
    "route_metric": {"type": "int", "default": 256},
    "most_peers": {"type": "int", "default": 65536},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the Teredo relay."""
    run_resource_module("teredo_relay", SPEC)


if __name__ == "__main__":
    main()

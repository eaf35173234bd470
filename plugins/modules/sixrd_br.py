#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module sixrd_br."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sixrd_br
short_description: Make a host a 6rd border relay
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the 6rd border relay (RFC 5969) of a machine to its v6ferry agent, which forwards
    between the customer edges of a 6rd domain and the machine's other IPv6 interfaces.
  - It keeps no state of customers, so any number of relays may share one anycast IPv4 address.
  - A packet from the domain whose IPv6 source is not that of its IPv4 source is dropped and
    counted.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: sixrd0
  prefix:
    description:
      - The 6rd prefix of the domain (6rdPrefix and 6rdPrefixLen). Required while
        O(state=present).
      - With the bits of the IPv4 address that follow it, it must not be longer than 64 bits.
    type: str
  ipv4_prefix:
    description:
      - The IPv4 prefix that all customer edges are in. Its bits are left out of their IPv6
        prefixes (its length is IPv4MaskLen), and nobody outside of it is spoken to.
    type: str
    default: 0.0.0.0/0
  forwarding:
    description:
      - Whether the machine forwards IPv6 packets.
      - An interface that lives on router advertisements keeps accepting them.
    type: bool
    default: true
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.sixrd_ce
  - module: v6ops.transition.transition_info
  - plugin: v6ops.transition.sixrd_prefix
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Relay for customer edges in 10.0.0.0/8, which get a /56 each
  v6ops.transition.sixrd_br:
    prefix: 2001:db8::/32
    ipv4_prefix: 10.0.0.0/8
    underlay_addresses: [10.0.0.1]

- name: Be one of several relays with an anycast address on the loopback interface
  v6ops.transition.sixrd_br:
    prefix: 2001:db8::/28
    underlay_addresses: [192.0.2.1]
    interface: sixrd1
    mtu: 1480
    wait: 10

- name: Relay for a part of the customers, on one uplink, with other outer headers
  v6ops.transition.sixrd_br:
    prefix: 2001:db8::/32
    ipv4_prefix: 10.0.0.0/8
    underlay_interfaces: [eth0]
    allowed_endpoints: [10.64.0.0/10]
    forwarding: true
    tunnel_mtu: dynamic
    ttl: 32
    dscp: inherit

- name: Be no border relay any more
  v6ops.transition.sixrd_br:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create sixrd_br default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether there is an IPv4 address to relay from.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: relays 2001:db8::/32 for customer edges in 10.0.0.0/8 at 10.0.0.1
    interface:
      description: The tunnel interface.
      type: str
      sample: sixrd0
    underlay_addresses:
      description: The IPv4 addresses of the relay, the one that it sends from first.
      type: list
      elements: str
      sample: [10.0.0.1]
    addresses:
      description: The IPv6 addresses of the tunnel interface.
      type: list
      elements: dict
      sample:
        - address: 2001:db8:0:100::a00:1
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
    "interface": {"type": "str", "default": "sixrd0"},
    **TUNNEL_OPTIONS,
    "prefix": {"type": "str"},
    "ipv4_prefix": {"type": "str", "default": "0.0.0.0/0"},
    "forwarding": {"type": "bool", "default": True},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the 6rd border relay."""
    run_resource_module("sixrd_br", SPEC)


if __name__ == "__main__":
    main()

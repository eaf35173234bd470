#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module sixrd_ce."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sixrd_ce
short_description: Make a host a 6rd customer edge
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the 6rd customer edge (RFC 5969) of a machine to its v6ferry agent, which forms the
    delegated prefix from the machine's IPv4 address, reaches other customer edges directly, and
    everything else through a border relay.
  - When the IPv4 address changes, the delegated prefix follows within a second.
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
  ipv4_mask_length:
    description:
      - How many high bits the IPv4 addresses of all customer edges have in common, from 0 to 32;
        they are left out of the delegated prefix (IPv4MaskLen).
    type: int
    default: 0
  border_relays:
    description:
      - The IPv4 addresses or names of the domain's border relays (6rdBRIPv4Address), the most
        preferred first. Required while O(state=present).
      - Packets with any IPv6 source are accepted from all of them.
    type: list
    elements: str
    default: []
  private_interfaces:
    description:
      - The interfaces behind the customer edge. Each gets a C(/64) of the delegated prefix, whose
        hosts form addresses from router advertisements.
      - When the IPv4 address changes, hosts hear at once that the old prefix is deprecated.
    type: list
    elements: dict
    default: []
    suboptions:
      interface:
        description:
          - The name of the interface.
        type: str
        required: true
      subnet_id:
        description:
          - The number of its C(/64) in the delegated prefix. If not given, it is the lowest number
            from 1 on that is free, and V(0) where there is no other.
        type: int
      identifier:
        description:
          - The machine's own interface identifier there.
        type: str
        default: '::1'
      advertise:
        description:
          - Whether the prefix is advertised; without, the machine only has its own address in it.
        type: bool
        default: true
  forwarding:
    description:
      - Whether the machine forwards IPv6 packets between the tunnel and its private interfaces.
    type: bool
    default: true
  default_route:
    description:
      - Whether there is a default route through the border relay. Without, hosts behind are not
        offered one.
    type: bool
    default: true
  route_metric:
    description:
      - The metric of that default route; smaller ones win.
    type: int
    default: 2048
  reachability_interval:
    description:
      - How many seconds a border relay may leave packets without an answer before it is asked to
        send one back (RFC 5969 section 8). One that does not is left for the next, and tried
        again after six times as long.
    type: int
    default: 5
  name_refresh_interval:
    description:
      - After how many seconds the names of border relays are looked up again.
    type: int
    default: 3600
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
  - v6ops.transition._site
seealso:
  - module: v6ops.transition.sixrd_br
  - module: v6ops.transition.transition_info
  - plugin: v6ops.transition.sixrd_prefix
    plugin_type: filter
  - plugin: v6ops.transition.sixrd_dhcp_option
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Be a customer edge with a /56 of its own
  v6ops.transition.sixrd_ce:
    prefix: 2001:db8::/32
    ipv4_mask_length: 8
    border_relays: [10.0.0.1]

- name: Give two networks behind it a /64 each
  v6ops.transition.sixrd_ce:
    prefix: 2001:db8::/32
    ipv4_mask_length: 8
    border_relays: [10.0.0.1]
    private_interfaces:
      - interface: lan0
      - interface: lan1
        subnet_id: 16
        identifier: ::53
        advertise: false

- name: Tell hosts everything that a router can tell
  v6ops.transition.sixrd_ce:
    prefix: 2001:db8::/32
    border_relays: [192.0.2.1]
    private_interfaces:
      - interface: lan0
    forwarding: true
    router_lifetime: 900
    preference: high
    preferred_lifetime: 1800
    valid_lifetime: 3600
    advertisement_interval: 300
    advertised_mtu: 1280
    dns_servers: [2001:db8::53]
    dns_search: [corp.example.com]
    dns_lifetime: 900

- name: Take the domain from what the DHCP server says, option 212 in hexadecimal
  v6ops.transition.sixrd_ce:
    prefix: "{{ domain.prefix }}"
    ipv4_mask_length: "{{ domain.ipv4_mask_length }}"
    border_relays: "{{ domain.border_relays }}"
  vars:
    domain: "{{ option_212 | v6ops.transition.sixrd_dhcp_option }}"

- name: Use the second relay while the first is silent, and wait until the tunnel is there
  v6ops.transition.sixrd_ce:
    prefix: 2001:db8::/32
    border_relays: [192.0.2.1, relay2.isp.example]
    reachability_interval: 10
    name_refresh_interval: 600
    wait: 10

- name: Reach other customers only, on one uplink, with larger packets
  v6ops.transition.sixrd_ce:
    prefix: 2001:db8::/32
    ipv4_mask_length: 8
    border_relays: [10.0.0.1]
    default_route: false
    interface: sixrd1
    underlay_interfaces: [wan0]
    underlay_addresses: [10.0.0.0/8]
    allowed_endpoints: [10.0.0.0/8]
    tunnel_mtu: dynamic
    mtu: 1480
    ttl: 32
    dscp: '46'

- name: Prefer it over the default route of another router
  v6ops.transition.sixrd_ce:
    prefix: 2001:db8::/32
    border_relays: [192.0.2.1]
    route_metric: 512

- name: Be no customer edge any more
  v6ops.transition.sixrd_ce:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create sixrd_ce default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether there is a delegated prefix and a border relay.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: 2001:db8:6464:100::/56 for lan0 at 10.100.100.1, border relay 10.0.0.1
    interface:
      description: The tunnel interface.
      type: str
      sample: sixrd0
    delegated_prefix:
      description: The IPv6 prefix of this customer edge.
      type: str
      sample: 2001:db8:6464:100::/56
    addresses:
      description: The IPv6 addresses of the tunnel interface.
      type: list
      elements: dict
      sample:
        - address: 2001:db8:6464:100::a64:6401
    border_relays:
      description: The border relays, which of them is used, and whether it forwards.
      type: list
      elements: dict
      sample:
        - address: 10.0.0.1
          name: 10.0.0.1
          reachability: reachable
          in_use: true
          probes_without_answer: 0
    private_interfaces:
      description: What is advertised on each private interface, and what keeps it from that.
      type: dict
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    SITE_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    "interface": {"type": "str", "default": "sixrd0"},
    **TUNNEL_OPTIONS,
    **SITE_OPTIONS,
    "prefix": {"type": "str"},
    "ipv4_mask_length": {"type": "int", "default": 0},
    "border_relays": {"type": "list", "elements": "str", "default": []},
    "private_interfaces": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "interface": {"type": "str", "required": True},
            "subnet_id": {"type": "int"},
            "identifier": {"type": "str", "default": "::1"},
            "advertise": {"type": "bool", "default": True},
        },
    },
    "forwarding": {"type": "bool", "default": True},
    "default_route": {"type": "bool", "default": True},
    "route_metric": {"type": "int", "default": 2048},
    "reachability_interval": {"type": "int", "default": 5},
    "name_refresh_interval": {"type": "int", "default": 3600},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the 6rd customer edge."""
    run_resource_module("sixrd_ce", SPEC)


if __name__ == "__main__":
    main()

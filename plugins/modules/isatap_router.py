#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module isatap_router."""

from __future__ import annotations

DOCUMENTATION = r"""
module: isatap_router
short_description: Make a host an ISATAP router
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the ISATAP router (RFC 5214) of a machine to its v6ferry agent, which forwards between
    the machine's tunnel interface and its other IPv6 interfaces and answers the router
    solicitations of ISATAP hosts.
  - When it is removed it first tells the hosts that know it to let go of its prefixes and of the
    default route.
  - What C(netsh interface ipv6 set interface ISATAP forwarding=enabled advertise=enabled) and
    C(netsh interface ipv6 add route ... publish=yes) configure on Windows.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: isatap0
  prefixes:
    description:
      - The IPv6 prefixes of the ISATAP subnet, any number of them.
      - Without one the router only has link-local addresses.
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description:
          - The prefix, which must have a length of 64, as the other half of an ISATAP address is
            its interface identifier.
          - What C(netsh interface ipv6 add route PREFIX ISATAP publish=yes) publishes.
        type: str
        required: true
      on_link:
        description:
          - Whether hosts reach each other's addresses of this prefix directly, without the router.
        type: bool
        default: true
      autonomous:
        description:
          - Whether hosts form addresses from this prefix.
        type: bool
        default: true
      preferred_lifetime:
        description:
          - How many seconds addresses stay preferred after an advertisement; V(4294967295) means
            for ever.
          - If not given, it is 604800, or O(prefixes[].valid_lifetime) where that is less. It must
            not be longer than that.
          - What C(netsh interface ipv6 add route preferredlifetime=) sets.
        type: int
      valid_lifetime:
        description:
          - How many seconds addresses stay valid after an advertisement; V(4294967295) means for
            ever.
          - What C(netsh interface ipv6 add route validlifetime=) sets.
        type: int
        default: 2592000
  forwarding:
    description:
      - Whether the machine forwards IPv6 packets.
      - An interface that lives on router advertisements keeps accepting them.
      - What C(netsh interface ipv6 set interface ISATAP forwarding=) sets.
    type: bool
    default: true
  advertise:
    description:
      - Whether router solicitations are answered.
      - What C(netsh interface ipv6 set interface ISATAP advertise=) sets.
    type: bool
    default: true
  default_route:
    description:
      - Whether the router offers itself as a default router, a published default route.
      - What C(netsh interface ipv6 set interface ISATAP advertisedefaultroute=) sets.
    type: bool
    default: true
  router_lifetime:
    description:
      - How many seconds hosts keep the default route after an advertisement, up to 9000.
      - What C(netsh interface ipv6 set interface ISATAP advertisedrouterlifetime=) sets.
    type: int
    default: 1800
  advertised_mtu:
    description:
      - The MTU in bytes that hosts are told to use on the tunnel; by default they are told none.
    type: int
  hop_limit:
    description:
      - The hop limit that hosts are told to use; V(0) tells them none.
      - What C(netsh interface ipv6 set interface ISATAP currenthoplimit=) sets.
    type: int
    default: 64
  reachable_time:
    description:
      - How many milliseconds hosts are told to consider a neighbour reachable after it has shown
        to be; V(0) tells them none.
      - What C(netsh interface ipv6 set interface ISATAP basereachabletime=) sets.
    type: int
    default: 0
  retransmit_timer:
    description:
      - How many milliseconds hosts are told to leave between neighbour solicitations; V(0) tells
        them none.
      - What C(netsh interface ipv6 set interface ISATAP retransmittime=) sets.
    type: int
    default: 0
  routes:
    description:
      - More specific routes that hosts are offered through this router (RFC 4191).
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description:
          - The destination, an IPv6 prefix.
        type: str
        required: true
      preference:
        description:
          - How much hosts prefer this router over others for the destination.
        type: str
        choices:
          - low
          - medium
          - high
        default: medium
      lifetime:
        description:
          - How many seconds hosts keep the route after an advertisement; V(4294967295) means for
            ever.
        type: int
        default: 1800
  peer_routers:
    description:
      - The IPv4 addresses or names of the other ISATAP routers of the site, the rest of its
        potential router list.
      - Packets with any IPv6 source are accepted from them (RFC 5214 section 7.3).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
  - v6ops.transition._advertising
seealso:
  - module: v6ops.transition.isatap_host
  - module: v6ops.transition.isatap_dns
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Advertise a prefix and a default route
  v6ops.transition.isatap_router:
    prefixes:
      - prefix: 2001:db8:0:7::/64

- name: Be the second router of the site, for when the first is silent
  v6ops.transition.isatap_router:
    prefixes:
      - prefix: 2001:db8:0:7::/64
    preference: low
    peer_routers:
      - 10.0.0.1

- name: Connect ISATAP hosts with each other and with one subnet, but not with the Internet
  v6ops.transition.isatap_router:
    prefixes:
      - prefix: 2001:db8:0:7::/64
    default_route: false
    routes:
      - prefix: 2001:db8:0:8::/64

- name: Tell hosts everything that a router can tell, and wait until it runs
  v6ops.transition.isatap_router:
    prefixes:
      - prefix: 2001:db8:0:7::/64
    router_lifetime: 600
    advertised_mtu: 1400
    hop_limit: 32
    reachable_time: 30000
    retransmit_timer: 1000
    dns_servers: [2001:db8:0:c::53]
    dns_search: [corp.example.com]
    dns_lifetime: 1200
    wait: 10

- name: Only forward; radvd advertises on the tunnel interface
  v6ops.transition.isatap_router:
    advertise: false
    forwarding: true
    interface: isatap1
    underlay_interfaces: [eth0]
    underlay_addresses: [10.0.0.0/8]
    allowed_endpoints: [10.0.0.0/8]
    tunnel_mtu: dynamic
    mtu: 1400
    ttl: 32
    dscp: '46'

- name: Withdraw the prefixes from the hosts and be no ISATAP router any more
  v6ops.transition.isatap_router:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create isatap_router default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether the router answers solicitations and forwards.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: advertises 2001:db8:0:7::/64 as a default router from 10.0.0.1
    interface:
      description: The tunnel interface.
      type: str
      sample: isatap0
    addresses:
      description: The IPv6 addresses of the tunnel interface.
      type: list
      elements: dict
      sample:
        - address: 2001:db8:0:7:0:5efe:a00:1
    hosts:
      description: How many hosts have asked for an advertisement.
      type: int
      sample: 2
    peer_routers:
      description: The IPv4 addresses of the site's other routers.
      type: list
      elements: str
    ending_prefixes:
      description: Withdrawn prefixes, and for how many seconds they are still advertised.
      type: dict
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    ADVERTISING_OPTIONS,
    RESOURCE_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    "interface": {"type": "str", "default": "isatap0"},
    **TUNNEL_OPTIONS,
    **ADVERTISING_OPTIONS,
    "prefixes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "prefix": {"type": "str", "required": True},
            "on_link": {"type": "bool", "default": True},
            "autonomous": {"type": "bool", "default": True},
            "preferred_lifetime": {"type": "int"},
            "valid_lifetime": {"type": "int", "default": 2592000},
        },
    },
    "forwarding": {"type": "bool", "default": True},
    "advertise": {"type": "bool", "default": True},
    "default_route": {"type": "bool", "default": True},
    "router_lifetime": {"type": "int", "default": 1800},
    "advertised_mtu": {"type": "int"},
    "hop_limit": {"type": "int", "default": 64},
    "reachable_time": {"type": "int", "default": 0},
    "retransmit_timer": {"type": "int", "default": 0},
    "routes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "prefix": {"type": "str", "required": True},
            "preference": ADVERTISING_OPTIONS["preference"],
            "lifetime": {"type": "int", "default": 1800},
        },
    },
    "peer_routers": {"type": "list", "elements": "str", "default": []},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the ISATAP router."""
    run_resource_module("isatap_router", SPEC)


if __name__ == "__main__":
    main()

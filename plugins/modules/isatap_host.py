#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module isatap_host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: isatap_host
short_description: Make a host an ISATAP host
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the ISATAP host (RFC 5214) of a machine to its v6ferry agent, which gives the machine
    a tunnel interface over its IPv4 network.
  - The agent asks the ISATAP routers for advertisements, configures the addresses and routes they
    offer, follows changes of the IPv4 addresses, and moves to another router when one falls silent.
  - What C(netsh interface isatap) configures on Windows.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: isatap0
  routers:
    description:
      - The potential router list, IPv4 addresses or names of ISATAP routers, all of which are
        asked; of those that are equally good the first is preferred.
      - A name stands for all addresses it resolves to, through the hosts file and DNS; a name
        without dots, such as V(isatap), is tried in each domain of the resolver's search list.
      - What C(netsh interface isatap set router) sets.
    type: list
    elements: str
    default:
      - isatap
  link_local:
    description:
      - When the interface has its link-local ISATAP addresses, one for each IPv4 address.
      - With V(when_router_known) once a router's IPv4 address is known, as since Windows Server
        2008; with V(always) also without a router, so that hosts of the site can reach each other
        in any case.
    type: str
    choices:
      - when_router_known
      - always
    default: when_router_known
  default_route:
    description:
      - Whether a default route through the routers that offer one is accepted.
      - V(false) is C(netsh interface ipv6 set interface ISATAP ignoredefaultroutes=enabled).
    type: bool
    default: true
  route_metric:
    description:
      - The metric of the routes through the tunnel; a higher one than that of native IPv6 routes
        keeps native IPv6 preferred.
      - What C(netsh interface ipv6 set interface ISATAP metric=) sets.
    type: int
    default: 2048
  rdnss:
    description:
      - Whether DNS servers and search lists from router advertisements (RFC 8106) are used.
    type: bool
    default: true
  reachability_interval:
    description:
      - The seconds between checks whether the routers in use still answer (RFC 4861 section 7.3),
        from 1 to 3600.
    type: int
    default: 3
  solicitation_interval:
    description:
      - The least number of seconds between router solicitations to one router that has answered,
        MinRouterSolicitInterval of RFC 5214, from 4 to 86400.
    type: int
    default: 120
  name_refresh_interval:
    description:
      - The seconds after which the names in O(routers) are resolved again, PrlRefreshInterval of
        RFC 5214, from 10 to 86400.
      - What C(netsh interface isatap set router interval=) sets, in minutes there.
    type: int
    default: 3600
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.isatap_router
  - module: v6ops.transition.isatap_dns
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Find the router by the name isatap, wait until it has answered
  v6ops.transition.isatap_host:
    wait: 30

- name: Use two routers by address
  v6ops.transition.isatap_host:
    routers:
      - 10.0.0.1
      - 10.0.0.2

- name: Use the office network only, with the largest packets that fit
  v6ops.transition.isatap_host:
    underlay_addresses:
      - 192.168.47.0/24
    tunnel_mtu: dynamic

- name: Leave the default route and the name servers alone, and notice a dead router sooner
  v6ops.transition.isatap_host:
    default_route: false
    rdnss: false
    reachability_interval: 1
    solicitation_interval: 30
    name_refresh_interval: 600

- name: Reach the neighbours without any router, over an interface of another name
  v6ops.transition.isatap_host:
    link_local: always
    interface: tun-v6
    underlay_interfaces: [eth0]
    allowed_endpoints: [192.168.0.0/16]
    mtu: 1400
    ttl: 32
    dscp: inherit
    route_metric: 4096

- name: Be no ISATAP host any more
  v6ops.transition.isatap_host:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create isatap_host default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether the tunnel carries packets, with a router and an address.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: addresses from 2001:db8:0:7::/64, default router 10.0.0.1
    interface:
      description: The tunnel interface.
      type: str
      sample: isatap0
    addresses:
      description: The IPv6 addresses of the tunnel interface, with their lifetimes in seconds.
      type: list
      elements: dict
      sample:
        - address: 2001:db8:0:7:0:5efe:c0a8:2f63
          preferred_lifetime: 604800
          valid_lifetime: 2592000
    routers:
      description: The routers and what is known of them.
      type: list
      elements: raw
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
    "interface": {"type": "str", "default": "isatap0"},
    **TUNNEL_OPTIONS,
    "routers": {"type": "list", "elements": "str", "default": ["isatap"]},
    "link_local": {
        "type": "str",
        "choices": ["when_router_known", "always"],
        "default": "when_router_known",
    },
    "default_route": {"type": "bool", "default": True},
    "route_metric": {"type": "int", "default": 2048},
    "rdnss": {"type": "bool", "default": True},
    "reachability_interval": {"type": "int", "default": 3},
    "solicitation_interval": {"type": "int", "default": 120},
    "name_refresh_interval": {"type": "int", "default": 3600},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the ISATAP host."""
    run_resource_module("isatap_host", SPEC)


if __name__ == "__main__":
    main()

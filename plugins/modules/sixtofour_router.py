#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module sixtofour_router."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sixtofour_router
short_description: Make a host a 6to4 router
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the 6to4 router (RFC 3056) of a machine to its v6ferry agent. Each public IPv4 address
    of the machine gives its site a prefix 2002:WWXX:YYZZ::/48, of which the agent advertises a /64
    on every private interface. Hosts there need nothing but stateless address autoconfiguration.
  - When the public address changes, hosts get the new prefix and hear that the old one is
    deprecated at once.
  - Packets are checked on both sides as RFC 3964 says. In particular, only sources of the site
    leave, and only destinations in it are accepted.
  - What Internet Connection Sharing makes of a Windows machine that has a public address; with
    O(ipv4_sharing) and DHCP on private interfaces also for IPv4.
  - When it is removed it first tells hosts to let go of its prefixes and of the default route.
options:
  private_interfaces:
    description:
      - The interfaces behind the router. Their own IPv4 addresses never make a prefix.
      - One that is not there yet is served when it comes.
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
          - The fourth 16 bits of the prefix, from 1 to 65535.
          - If not given, it is the index of the interface, as on Windows. For 131.107.23.89 and
            index 5 the prefix is 2002:836b:1759:5::/64.
        type: int
      identifier:
        description:
          - The interface identifier of the router's own address there.
        type: str
        default: "::1"
      advertise:
        description:
          - Whether prefixes are advertised there; V(false) only puts the router's own address on
            the interface, for when another daemon advertises.
        type: bool
        default: true
      dhcp:
        description:
          - Whether hosts there get IPv4 addresses from this machine, by dnsmasq, which must be
            installed (package dnsmasq; on Debian and Ubuntu dnsmasq-base starts no service).
          - The agent runs it for the private interfaces alone, keeps it running, and keeps its
            leases across restarts and reboots.
          - The interface needs an IPv4 address of its own, such as 192.168.0.1/24, which is the
            hosts' router.
        type: bool
        default: false
      dhcp_range:
        description:
          - The first and the last address that hosts get, as in V(192.168.0.100-192.168.0.199).
          - If not given, all of the interface's subnet but the router's own.
        type: str
  ipv4_sharing:
    description:
      - Whether hosts on the private interfaces reach the IPv4 Internet with the public address of
        this machine (masquerading, a network address translation).
      - The program C(nft) must be installed (package nftables). The agent has a table of its own,
        C(ip v6ferry/sixtofour_router/NAME), and leaves all others alone. A firewall that drops
        forwarded packets must let these pass.
      - IPv4 forwarding is switched on for the private and public interfaces alone.
    type: bool
    default: false
  public_interfaces:
    description:
      - The interfaces through which hosts reach the IPv4 Internet, with O(ipv4_sharing).
      - An empty list means those that have the public addresses of the 6to4 site.
    type: list
    elements: str
    default: []
  dhcp_lease_time:
    description:
      - For how many seconds hosts get their IPv4 addresses, 120 at least.
    type: int
    default: 3600
  dhcp_dns_servers:
    description:
      - The IPv4 addresses of the DNS servers that hosts get by DHCP.
      - An empty list means this machine, where dnsmasq asks the machine's own DNS servers on the
        hosts' behalf, as Internet Connection Sharing does.
    type: list
    elements: str
    default: []
  forwarding:
    description:
      - Whether the machine forwards IPv6 packets.
      - An interface that lives on router advertisements keeps accepting them.
    type: bool
    default: true
  default_route:
    description:
      - Whether hosts are told to use this router as a default router; they are only as long as
        there is a prefix.
    type: bool
    default: true
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
  - v6ops.transition._sixtofour
  - v6ops.transition._through_relay
  - v6ops.transition._site
seealso:
  - module: v6ops.transition.isatap_router
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Bring IPv6 to the hosts on lan0, through the relay of the provider
  v6ops.transition.sixtofour_router:
    private_interfaces:
      - interface: lan0
    relay: 6to4.example.net

- name: Choose the subnets of two private interfaces; radvd advertises on the second one
  v6ops.transition.sixtofour_router:
    private_interfaces:
      - interface: lan0
        subnet_id: 1
        identifier: ::53
      - interface: lan1
        subnet_id: 2
        advertise: false
    relay: 192.0.2.1
    relay_refresh_interval: 3600
    route_metric: 1024

- name: Connect the sites of a closed network that has private addresses
  v6ops.transition.sixtofour_router:
    interface: tun6to4
    globally_unique: false
    relay: 10.0.0.1
    accept_relays: configured
    underlay_interfaces: [eth0]
    underlay_addresses: [10.0.0.0/8]
    allowed_endpoints: [10.0.0.0/8]
    private_interfaces:
      - interface: eth1
    tunnel_mtu: dynamic
    mtu: 1480
    ttl: 32
    dscp: inherit

- name: Share the IPv4 address of the machine as well, as Internet Connection Sharing does
  v6ops.transition.sixtofour_router:
    private_interfaces:
      - interface: lan0
        dhcp: true
      - interface: lan1
        dhcp: true
        dhcp_range: 192.168.1.100-192.168.1.199
    ipv4_sharing: true
    public_interfaces: [eth0]
    dhcp_lease_time: 86400
    dhcp_dns_servers: [192.0.2.53]
    relay: 6to4.example.net

- name: Tell hosts everything that a router can tell, and wait until it runs
  v6ops.transition.sixtofour_router:
    private_interfaces:
      - interface: lan0
    forwarding: true
    default_route: true
    router_lifetime: 900
    preference: high
    preferred_lifetime: 600
    valid_lifetime: 1800
    advertisement_interval: 300
    advertised_mtu: 1480
    dns_servers: [2001:db8::53]
    dns_search: [corp.example.com]
    dns_lifetime: 900
    wait: 10

- name: Withdraw the prefixes from the hosts and be no 6to4 router any more
  v6ops.transition.sixtofour_router:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create sixtofour_router default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether there are a public address, the relay's address and the private
        interfaces.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: routes 2002:836b:1759::/48 for lan0; relay 192.0.2.1
    interface:
      description: The tunnel interface.
      type: str
      sample: sixtofour0
    prefixes:
      description: The prefixes of the site, one for each public address.
      type: list
      elements: str
      sample:
        - 2002:836b:1759::/48
    relay:
      description: The IPv4 address of the relay in use; V(null) if there is none.
      type: str
      sample: 192.0.2.1
    private_interfaces:
      description: For each private interface its prefixes, those that are ending with the seconds
        that they last, the router's addresses, what keeps it from advertising, and how often it
        has advertised.
      type: dict
    ipv4_sharing:
      description: With whom IPv4 is shared, and through which interfaces; V(null) if it is not.
      type: dict
      sample:
        private_interfaces: [lan0]
        public_interfaces: [eth0]
    dhcp:
      description: The IPv4 addresses that hosts get, by private interface.
      type: dict
      sample:
        lan0: 192.168.0.1-192.168.0.254
    problems:
      description: What keeps private interfaces from being served.
      type: list
      elements: str
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    SITE_OPTIONS,
    SIXTOFOUR_OPTIONS,
    THROUGH_RELAY_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    **TUNNEL_OPTIONS,
    **SIXTOFOUR_OPTIONS,
    **THROUGH_RELAY_OPTIONS,
    **SITE_OPTIONS,
    "private_interfaces": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "interface": {"type": "str", "required": True},
            "subnet_id": {"type": "int"},
            "identifier": {"type": "str", "default": "::1"},
            "advertise": {"type": "bool", "default": True},
            "dhcp": {"type": "bool", "default": False},
            "dhcp_range": {"type": "str"},
        },
    },
    "ipv4_sharing": {"type": "bool", "default": False},
    "public_interfaces": {"type": "list", "elements": "str", "default": []},
    "dhcp_lease_time": {"type": "int", "default": 3600},
    "dhcp_dns_servers": {"type": "list", "elements": "str", "default": []},
    "forwarding": {"type": "bool", "default": True},
    "default_route": {"type": "bool", "default": True},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the 6to4 router."""
    run_resource_module("sixtofour_router", SPEC)


if __name__ == "__main__":
    main()

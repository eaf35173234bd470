#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module teredo_client."""

from __future__ import annotations

DOCUMENTATION = r"""
module: teredo_client
short_description: Give a host behind a NAT a Teredo address
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the Teredo client (RFC 4380, RFC 5991, RFC 6081) of a machine to its v6ferry agent. It
    has an IPv6 address from a Teredo server, reaches other clients through both NATs, and native
    hosts by relays.
  - Teredo is the last resort; see O(last_resort).
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: teredo0
  type:
    description:
      - V(client) has an address whatever NAT there is, but none in a managed network; see
        O(managed_network_names).
      - V(enterpriseclient) has one in managed networks, too.
      - V(natawareclient) is a V(client) behind a NAT only, and V(disabled) keeps the declaration
        but does nothing.
      - What C(netsh interface teredo set state type=) sets.
    type: str
    choices:
      - client
      - enterpriseclient
      - natawareclient
      - disabled
    default: client
  servers:
    description:
      - Addresses or names of Teredo servers, the most preferred first. When one does not
        answer, the next one is asked. Required, but for O(type=disabled).
      - What C(netsh interface teredo set state servername=) sets.
    type: list
    elements: str
    default: []
  secondary_server:
    description:
      - The other IPv4 address of the first of O(servers).
      - If not given, it is the one after its address.
    type: str
  client_port:
    description:
      - The UDP port of the client. V(0) has the agent choose one, which it keeps.
      - What C(netsh interface teredo set state clientport=) sets.
    type: int
    default: 0
  refresh_interval:
    description:
      - After how many seconds the server is asked again, at most, so that the NAT keeps its
        mapping. The client chooses at random from three quarters of it on.
      - What C(netsh interface teredo set state refreshinterval=) sets.
    type: int
    default: 30
  longest_refresh_interval:
    description:
      - Find out how long the NAT remembers, from a second UDP port, and ask the server as seldom as
        that allows, but every so many seconds at least (RFC 4380 section 5.2.7, where 120 is the
        greatest value).
      - O(refresh_interval) is tried first and then the double of it, and so on; if the NAT forgets
        sooner than that, the half.
      - If not given, O(refresh_interval) is used as it is.
    type: int
  cone_bit:
    description:
      - Whether to find out if the NAT is a cone NAT, and to say so in the address, as in RFC
        4380. RFC 5991 advises against it.
    type: bool
    default: false
  last_resort:
    description:
      - Whether Teredo is idle while another interface has a global IPv6 address, be it native, of
        ISATAP or of 6to4.
    type: bool
    default: true
  managed_network_names:
    description:
      - Names that have an IPv4 address in a managed network and nowhere else, such as that of a
        domain of Active Directory, which is the name of its controllers.
      - While one of them has an address, the host is in a managed network, where O(type=client) and
        O(type=natawareclient) are off. The host looks again after a minute at the latest.
      - Without any, no network is taken for a managed one.
    type: list
    elements: str
    default: []
  dormant_after:
    description:
      - After how many seconds without use the client is dormant, 60 at least. It is dormant in the
        beginning, too, and asks no server until something is sent to an IPv6 host, as the
        client of Windows Vista.
      - V(0) is for never. That is for hosts that are to be reached, and for whatever runs all the
        time, as others cannot reach a dormant client.
    type: int
    default: 0
  local_discovery:
    description:
      - Whether the client says on its own links that it is there, by a multicast every 200 to 300
        seconds, so that clients behind the same NAT find each other without a server (RFC 4380
        section 5.2.8).
    type: bool
    default: true
  globally_unique:
    description:
      - Whether only globally unique IPv4 addresses are spoken to, as RFC 4380 wants it on the
        Internet.
      - V(false) is for a closed network, where private addresses are unique.
    type: bool
    default: true
  client_identifier:
    description:
      - How the server knows this client, if the two share a O(key) (RFC 4380 section 5.2.2).
    type: str
  key:
    description:
      - The key that the server knows.
    type: str
  route_metric:
    description:
      - The metric of the default route through the tunnel.
    type: int
    default: 3072
  server_refresh_interval:
    description:
      - After how many seconds names of servers are looked up again, at the latest.
    type: int
    default: 3600
  most_peers:
    description:
      - How many hosts the client remembers at a time.
    type: int
    default: 4096
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.teredo_server
  - module: v6ops.transition.teredo_relay
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Have a Teredo address
  v6ops.transition.teredo_client:
    servers: [teredo.example.com, 206.73.118.1]
    wait: 15

- name: Use Teredo in a closed network, beside other IPv6, with a key
  v6ops.transition.teredo_client:
    interface: teredo1
    type: natawareclient
    servers: [10.0.0.1]
    secondary_server: 10.0.0.9
    client_port: 34567
    refresh_interval: 60
    longest_refresh_interval: 120
    cone_bit: true
    last_resort: false
    dormant_after: 900
    local_discovery: false
    globally_unique: false
    client_identifier: laptop
    key: "{{ vault_laptop_key }}"
    route_metric: 4096
    server_refresh_interval: 600
    most_peers: 256

- name: Have it on the road, and off in the company's own network
  v6ops.transition.teredo_client:
    type: client
    servers: [teredo.example.com]
    managed_network_names: [corp.example.com]

- name: Have it on one uplink, with peers of one network alone
  v6ops.transition.teredo_client:
    servers: [203.0.113.1]
    underlay_interfaces: [eth0]
    underlay_addresses: [192.168.1.2]
    allowed_endpoints: [203.0.113.0/24]
    ttl: 128
    dscp: inherit
    tunnel_mtu: dynamic
    mtu: 1400

- name: Have no Teredo address any more
  v6ops.transition.teredo_client:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create teredo_client default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether there is an address, or none is wanted now.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: "2001:0:ce49:7601:2cad:dfff:7c94:fffe from the server 206.73.118.1; NAT: restricted"
    interface:
      description: The tunnel interface.
      type: str
      sample: teredo0
    state:
      description: V(offline), V(dormant), V(probe) or V(qualified), as netsh says it.
      type: str
      sample: qualified
    nat:
      description: >-
        What NAT there is, as far as is known: V(none), V(cone), V(restricted), V(symmetric) or
        V(unknown).
      type: str
      sample: restricted
    port_choice:
      description: >-
        How the NAT chooses ports, as far as is known: V(preserving), V(sequential), V(random),
        V(unknown), or V(null) without a NAT.
      type: str
      sample: unknown
    mapped_address:
      description: The IPv4 address at which the server sees the client.
      type: str
      sample: 131.107.0.1
    mapped_port:
      description: The UDP port at which the server sees the client.
      type: int
      sample: 8192
    refresh_interval:
      description: After how many seconds the server is asked again, at most.
      type: int
      sample: 60
    refresh_interval_is_learned:
      description: Whether the NAT has been seen to remember for so long.
      type: bool
      sample: true
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
    "type": {
        "type": "str",
        "choices": ["client", "enterpriseclient", "natawareclient", "disabled"],
        "default": "client",
    },
    "servers": {"type": "list", "elements": "str", "default": []},
    "secondary_server": {"type": "str"},
    "client_port": {"type": "int", "default": 0},
    "refresh_interval": {"type": "int", "default": 30},
    "longest_refresh_interval": {"type": "int"},
    "cone_bit": {"type": "bool", "default": False},
    "last_resort": {"type": "bool", "default": True},
    "managed_network_names": {"type": "list", "elements": "str", "default": []},
    "dormant_after": {"type": "int", "default": 0},
    "local_discovery": {"type": "bool", "default": True},
    "globally_unique": {"type": "bool", "default": True},
    "client_identifier": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "route_metric": {"type": "int", "default": 3072},
    "server_refresh_interval": {"type": "int", "default": 3600},
    "most_peers": {"type": "int", "default": 4096},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the Teredo client."""
    run_resource_module("teredo_client", SPEC)


if __name__ == "__main__":
    main()

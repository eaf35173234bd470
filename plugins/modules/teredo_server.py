#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module teredo_server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: teredo_server
short_description: Make a host a Teredo server
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the Teredo server (RFC 4380) of a machine to its v6ferry agent. A server tells clients
    their mapped address, sends on the bubbles by which clients find each other, and the echo
    requests by which they find relays. It keeps no state of them, and carries none of their
    traffic.
  - The machine needs two public IPv4 addresses, and native IPv6 if its clients are to reach
    native hosts.
  - Every check of RFC 4380 section 5.3.1 is made. RV(status.discarded) counts what they
    refused.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: teredo0
  server_address:
    description:
      - The IPv4 address at which clients know the server; it becomes part of their addresses.
      - It has to be an address of the machine. Required unless O(state=absent).
    type: str
  secondary_address:
    description:
      - Another IPv4 address of the machine, which clients use to find out what NAT they have.
      - If not given, it is the one after O(server_address), which is where clients look for it.
    type: str
  globally_unique:
    description:
      - Whether only globally unique IPv4 addresses are spoken to, as RFC 4380 wants it on the
        Internet.
      - V(false) is for a closed network, where private addresses are unique.
    type: bool
    default: true
  forwarding:
    description:
      - Whether echo requests of clients go on to native IPv6 hosts, for which the machine
        forwards IPv6 packets. Without that its clients reach other clients only.
    type: bool
    default: true
  rate_limit:
    description:
      - How many packets a second one IPv4 address is sent at most, so that nobody can have the
        server flood others. V(0) sets no limit.
    type: int
    default: 500
  clients:
    description:
      - Clients that share a key with the server (RFC 4380 section 5.2.2). To those the server
        proves who it is.
    type: list
    elements: dict
    default: []
    suboptions:
      client_identifier:
        description:
          - How the client calls itself.
        type: str
        required: true
      key:
        description:
          - The key.
        type: str
        required: true
  require_authentication:
    description:
      - Whether solicitations without a key of O(clients) are left without an answer.
    type: bool
    default: false
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.teredo_client
  - module: v6ops.transition.teredo_relay
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Serve Teredo clients
  v6ops.transition.teredo_server:
    server_address: 206.73.118.1
    wait: 10

- name: Serve the clients of a closed network that have a key, without native IPv6
  v6ops.transition.teredo_server:
    interface: teredo-server
    server_address: 10.0.0.1
    secondary_address: 10.0.0.9
    globally_unique: false
    forwarding: false
    rate_limit: 100
    clients:
      - client_identifier: laptop
        key: "{{ vault_laptop_key }}"
    require_authentication: true

- name: Serve the clients of one network on one interface
  v6ops.transition.teredo_server:
    server_address: 203.0.113.1
    underlay_interfaces: [eth0]
    underlay_addresses: [203.0.113.1, 203.0.113.2]
    allowed_endpoints: [203.0.113.0/24]
    ttl: 128
    dscp: inherit
    tunnel_mtu: dynamic
    mtu: 1400

- name: Be no Teredo server any more
  v6ops.transition.teredo_server:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create teredo_server default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether the machine has both addresses.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: serves Teredo clients at 206.73.118.1 and 206.73.118.2
    interface:
      description: The tunnel interface.
      type: str
      sample: teredo0
    answered:
      description: How many advertisements, bubbles and echo requests were sent.
      type: dict
    discarded:
      description: How many datagrams were refused, by reason.
      type: dict
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
    "server_address": {"type": "str"},
    "secondary_address": {"type": "str"},
    "globally_unique": {"type": "bool", "default": True},
    "forwarding": {"type": "bool", "default": True},
    "rate_limit": {"type": "int", "default": 500},
    "clients": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "client_identifier": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": True},
        },
    },
    "require_authentication": {"type": "bool", "default": False},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the Teredo server."""
    run_resource_module("teredo_server", SPEC)


if __name__ == "__main__":
    main()

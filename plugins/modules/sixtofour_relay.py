#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module sixtofour_relay."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sixtofour_relay
short_description: Make a host a 6to4 relay
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares the 6to4 relay (RFC 3056) of a machine to its v6ferry agent, which forwards between
    6to4 sites and the native IPv6 side that the machine has.
  - Packets are checked on both sides as RFC 3964 section 5.2 says. From a site come only sources
    that embed the outer source; nothing is carried from one 6to4 site to another.
  - Whoever is to reach 6to4 sites through the relay needs a route for 2002::/16 to it. The relay
    does not announce one.
options:
  forwarding:
    description:
      - Whether the machine forwards IPv6 packets. A relay that does not is not ready.
    type: bool
    default: true
  anycast:
    description:
      - Whether the relay answers at 192.88.99.1 as well, the anycast address of 6to4 relays
        (RFC 3068). It has been deprecated (RFC 7526), as nobody knows who answers there; the module
        warns of it. For a network whose old 6to4 routers cannot be told another relay.
      - The address is on the tunnel interface. Routers around need a route for 192.88.99.0/24 to
        this machine, which must not leave your network. The relay sends from its own address.
    type: bool
    default: false
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
  - v6ops.transition._sixtofour
seealso:
  - module: v6ops.transition.sixtofour_router
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Relay between 6to4 sites and native IPv6
  v6ops.transition.sixtofour_relay:
    forwarding: true
    wait: 10

- name: Relay on a closed network that has private addresses
  v6ops.transition.sixtofour_relay:
    interface: tun6to4
    globally_unique: false
    underlay_interfaces: [eth0]
    underlay_addresses: [10.0.0.0/8]
    allowed_endpoints: [10.0.0.0/8]
    tunnel_mtu: dynamic
    mtu: 1480
    ttl: 32
    dscp: inherit

- name: Serve old 6to4 routers that know nothing but the anycast address
  v6ops.transition.sixtofour_relay:
    anycast: true

- name: Be no 6to4 relay any more
  v6ops.transition.sixtofour_relay:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create sixtofour_relay default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether there is a public address, and forwarding is on.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: relays between 6to4 sites and native IPv6 at 131.107.23.89
    interface:
      description: The tunnel interface.
      type: str
      sample: sixtofour0
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    SIXTOFOUR_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    **TUNNEL_OPTIONS,
    **SIXTOFOUR_OPTIONS,
    "forwarding": {"type": "bool", "default": True},
    "anycast": {"type": "bool", "default": False},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the 6to4 relay."""
    run_resource_module("sixtofour_relay", SPEC)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every tunnel interface has."""

from __future__ import annotations


class ModuleDocFragment:
    """The tunnel interface, its underlay and its outer IPv4 header."""

    DOCUMENTATION = r"""
options:
  underlay_interfaces:
    description:
      - The interfaces whose IPv4 addresses the tunnel uses as endpoints.
      - An empty list means all of them.
    type: list
    elements: str
    default: []
  underlay_addresses:
    description:
      - The IPv4 addresses that the tunnel uses as endpoints, or prefixes they must lie in, such as
        V(10.0.0.0/8).
      - An empty list means all addresses of the underlay interfaces.
    type: list
    elements: str
    default: []
  tunnel_mtu:
    description:
      - How the MTU of the tunnel is found (RFC 4213 section 3.2).
      - With V(static) it is O(mtu), and the IPv4 network may fragment packets on their way.
      - With V(dynamic) it follows the IPv4 path MTU to each endpoint, from 1280 up to O(mtu).
    type: str
    choices:
      - static
      - dynamic
    default: static
  mtu:
    description:
      - The MTU of the tunnel interface in bytes, from 1280 to 65515; with
        O(tunnel_mtu=dynamic) the upper bound.
      - If not given, it is 1280 with O(tunnel_mtu=static), and with O(tunnel_mtu=dynamic) the MTU
        of the underlay less the 20 bytes of the IPv4 header.
      - What C(netsh interface ipv6 set subinterface ISATAP mtu=) sets.
    type: int
  ttl:
    description:
      - The time to live of the outer IPv4 header, from 1 to 255.
    type: int
    default: 64
  dscp:
    description:
      - The differentiated services code point of the outer IPv4 header, from V(0) to V(63), or
        V(inherit) to copy that of the packet inside.
      - Explicit congestion notification is always carried over (RFC 6040).
    type: str
    default: "0"
  allowed_endpoints:
    description:
      - The IPv4 prefixes that the far ends of the tunnel must lie in. Packets from elsewhere are
        dropped, and nothing is sent elsewhere.
      - On the fast path tunnel packets do not meet the IPv4 firewall rules of the machine, so this
        is the place to say from whom they are accepted.
      - An empty list allows all.
    type: list
    elements: str
    default: []
"""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The link-local addresses of configured tunnels (RFC 4213 section 3.7)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

_LINK_LOCAL_PREFIX = 0xFE80 << 112


def configured_tunnel_link_local(ipv4: IPv4Address) -> IPv6Address:
    """Return fe80::w.x.y.z, the address of the end of a tunnel that has the IPv4 address."""
    return IPv6Address(_LINK_LOCAL_PREFIX | int(ipv4))

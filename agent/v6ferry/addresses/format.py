# SPDX-License-Identifier: GPL-3.0-or-later
"""How people like to read addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from .isatap import embedded_ipv4


def format_with_ipv4(address: IPv6Address) -> str:
    """Return ``address`` with its last 32 bits in dotted decimal (RFC 5952 section 5)."""
    # With the last two groups not zero, what the library compresses lies before them.
    head = str(IPv6Address(int(address) | 0xFFFFFFFF)).removesuffix("ffff:ffff")
    zone = f"%{address.scope_id}" if address.scope_id else ""
    return f"{head}{IPv4Address(int(address) & 0xFFFFFFFF)}{zone}"


def format_isatap(address: IPv6Address) -> str:
    """Return an ISATAP address as 2001:db8:0:7:0:5efe:192.168.47.99, any other as usual."""
    return str(address) if embedded_ipv4(address) is None else format_with_ipv4(address)

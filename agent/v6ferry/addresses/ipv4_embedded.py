# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 addresses that hold nothing but an IPv4 address (RFC 4291 section 2.5.5)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

IPV4_MAPPED_PREFIX = IPv6Network("::ffff:0:0/96")
IPV4_COMPATIBLE_PREFIX = IPv6Network("::/96")

_MAPPED = 0xFFFF
_LOOPBACK = 1


def ipv4_mapped(ipv4: IPv4Address) -> IPv6Address:
    """Return ::ffff:w.x.y.z, an IPv4 node in the notation of IPv6."""
    return IPv6Address(_MAPPED << 32 | int(ipv4))


def ipv4_compatible(ipv4: IPv4Address) -> IPv6Address:
    """Return ::w.x.y.z, the deprecated address for automatic tunnels."""
    return IPv6Address(int(ipv4))


def mapped_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address in an IPv4-mapped ``address``, None for any other."""
    value = int(address)
    return IPv4Address(value & 0xFFFFFFFF) if value >> 32 == _MAPPED else None


def compatible_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address in an IPv4-compatible ``address``, None for any other.

    The unspecified address :: and the loopback address ::1 are not IPv4-compatible.
    """
    value = int(address)
    return IPv4Address(value) if _LOOPBACK < value <= 0xFFFFFFFF else None

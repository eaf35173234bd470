# SPDX-License-Identifier: GPL-3.0-or-later
"""6to4 addresses (RFC 3056 section 2): a site's /48 from its router's IPv4 address.

Whether an IPv4 address *may* be used (RFC 3056 wants it globally unique, RFC 3964 lists what to
drop) is the engine's decision; here is only the form.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from .ipv4 import is_unicast_endpoint

SIXTOFOUR_PREFIX = IPv6Network("2002::/16")
ANYCAST_RELAY = IPv4Address("192.88.99.1")
"""RFC 3068 section 2.4; deprecated by RFC 7526."""
SIXTOFOUR_SITE_PREFIX_LENGTH = 48

_SIXTOFOUR = 0x2002


def sixtofour_prefix(ipv4: IPv4Address) -> IPv6Network:
    """Return the /48 of the site whose 6to4 router has ``ipv4``: 2002:WWXX:YYZZ::/48.

    Raises:
        ValueError: ``ipv4`` is not the unicast address of a host.
    """
    if not is_unicast_endpoint(ipv4):
        raise ValueError(
            f"IPv4 address {ipv4}: a 6to4 prefix needs the unicast address of a router, "
            "not a loopback, multicast, broadcast or reserved one"
        )
    return IPv6Network((_SIXTOFOUR << 112 | int(ipv4) << 80, SIXTOFOUR_SITE_PREFIX_LENGTH))


def sixtofour_address(ipv4: IPv4Address) -> IPv6Address:
    """Return the address that Windows gives its 6to4 interface: 2002:WWXX:YYZZ::WWXX:YYZZ.

    Raises:
        ValueError: ``ipv4`` is not the unicast address of a host.
    """
    return sixtofour_prefix(ipv4)[int(ipv4)]


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address of the site's router, None if ``address`` is not a 6to4 one.

    The result may be any 32 bits: a sender must still check it (RFC 3964 section 5.2).
    """
    value = int(address)
    return IPv4Address(value >> 80 & 0xFFFFFFFF) if value >> 112 == _SIXTOFOUR else None

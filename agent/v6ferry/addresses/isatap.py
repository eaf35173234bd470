# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP addresses (RFC 5214 section 6): an IPv4 address in the interface identifier.

The identifier is ``0000:5efe`` or, where the IPv4 address is globally unique, ``0200:5efe``,
followed by the 32 bits of the IPv4 address. It goes with any 64-bit unicast prefix.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from .ipv4 import is_globally_unique, is_unicast_endpoint

ISATAP_PREFIX_LENGTH = 64

_LINK_LOCAL_PREFIX = IPv6Network("fe80::/64")
_IANA_OUI_AND_TYPE = 0x00005EFE
_UNIVERSAL_BIT = 0x02000000


def interface_identifier(ipv4: IPv4Address) -> int:
    """Return the 64-bit ISATAP interface identifier of ``ipv4`` (RFC 5214 section 6.1).

    Raises:
        ValueError: ``ipv4`` is not a unicast address that a host on the underlay may have.
    """
    if not is_unicast_endpoint(ipv4):
        raise ValueError(
            f"IPv4 address {ipv4}: an ISATAP identifier needs the unicast address of a host, "
            "not a loopback, multicast, broadcast or reserved one"
        )
    universal = _UNIVERSAL_BIT if is_globally_unique(ipv4) else 0
    return (_IANA_OUI_AND_TYPE | universal) << 32 | int(ipv4)


def isatap_address(prefix: IPv6Network, ipv4: IPv4Address) -> IPv6Address:
    """Return the ISATAP address of the host with ``ipv4`` in the subnet ``prefix``.

    Raises:
        ValueError: ``prefix`` is not a unicast /64, or ``ipv4`` is no unicast endpoint.
    """
    if prefix.prefixlen != ISATAP_PREFIX_LENGTH:
        raise ValueError(
            f"prefix {prefix}: an ISATAP subnet has a prefix of 64 bits, not {prefix.prefixlen}; "
            "give a /64 (RFC 5214 section 6.1)"
        )
    if prefix.is_multicast:
        raise ValueError(f"prefix {prefix}: is multicast; give a unicast /64")
    return IPv6Address(int(prefix.network_address) | interface_identifier(ipv4))


def isatap_link_local(ipv4: IPv4Address) -> IPv6Address:
    """Return the link-local ISATAP address of the host with ``ipv4`` (RFC 5214 section 6.2).

    Raises:
        ValueError: ``ipv4`` is not a unicast endpoint.
    """
    return isatap_address(_LINK_LOCAL_PREFIX, ipv4)


def is_isatap_identifier(address: IPv6Address) -> bool:
    """Tell whether ``address`` is unicast and its interface identifier has the ISATAP form.

    Either value of the universal bit is accepted, since peers disagree about which IPv4 addresses
    are globally unique; the group bit must be zero.
    """
    value = int(address)
    return (value >> 32) & 0xFFFFFFFF & ~_UNIVERSAL_BIT == _IANA_OUI_AND_TYPE and (
        value >> 120 != 0xFF
    )


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address in the ISATAP identifier of ``address``, None if it has none.

    The result may be any 32 bits: a sender must still check that it is a unicast endpoint.
    """
    return IPv4Address(int(address) & 0xFFFFFFFF) if is_isatap_identifier(address) else None

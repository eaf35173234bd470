# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo addresses (RFC 4380 section 4): server, flags and the client's mapped port and address.

Port and address are stored with every bit inverted, so that no NAT translates them on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

TEREDO_PREFIX = IPv6Network("2001::/32")
OBSOLETE_TEREDO_PREFIX = IPv6Network("3ffe:831f::/32")
"""Of Windows XP before its Service Pack 3, from the 6bone, whose addresses went back to IANA (RFC
3701): nobody is reached there any more."""
TEREDO_CONE_FLAG = 0x8000

_TEREDO, _OBSOLETE = 0x20010000, 0x3FFE831F


@dataclass(frozen=True, slots=True)
class TeredoAddress:
    """The parts of a Teredo address, port and client address in the clear."""

    server: IPv4Address
    client: IPv4Address
    """The client's address as its server saw it, outside of NATs."""
    port: int
    """The client's UDP port as its server saw it."""
    flags: int = 0
    """16 bits: the cone flag, one reserved, and random bits around zero u and g bits (RFC 5991)."""

    @property
    def cone(self) -> bool:
        """Whether the client says that it is behind a cone NAT; deprecated by RFC 5991."""
        return bool(self.flags & TEREDO_CONE_FLAG)

    def encode(self) -> IPv6Address:
        """Return the IPv6 address.

        Raises:
            ValueError: port or flags exceed 16 bits.
        """
        for name, value in (("port", self.port), ("flags", self.flags)):
            if not 0 <= value <= 0xFFFF:
                raise ValueError(f"Teredo {name} {value}: must be 0 to 65535")
        return IPv6Address(
            _TEREDO << 96
            | int(self.server) << 64
            | self.flags << 48
            | (self.port ^ 0xFFFF) << 32
            | int(self.client) ^ 0xFFFFFFFF
        )


def decode(address: IPv6Address) -> TeredoAddress | None:
    """Return the parts of ``address``, None if it is not a Teredo address."""
    return _parts(int(address)) if int(address) >> 96 == _TEREDO else None


def decode_obsolete(address: IPv6Address) -> TeredoAddress | None:
    """Return the parts of an address under the obsolete prefix, None if it is none of those."""
    return _parts(int(address)) if int(address) >> 96 == _OBSOLETE else None


def _parts(value: int) -> TeredoAddress:
    return TeredoAddress(
        server=IPv4Address(value >> 64 & 0xFFFFFFFF),
        client=IPv4Address(value & 0xFFFFFFFF ^ 0xFFFFFFFF),
        port=value >> 32 & 0xFFFF ^ 0xFFFF,
        flags=value >> 48 & 0xFFFF,
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv6 header (RFC 8200 section 3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

from v6ferry.wire.parser import WireError

IPV6_HEADER_LENGTH = 40
IPV6_MINIMUM_MTU = 1280
"""Every link carries IPv6 packets of so many bytes (RFC 8200 section 5)."""
NEXT_HEADER_TCP = 6
NEXT_HEADER_UDP = 17
NEXT_HEADER_ICMPV6 = 58

# Version, traffic class and flow label, payload length, next header, hop limit, addresses.
_HEADER = struct.Struct("!IHBB16s16s")

# The first value that no longer fits each field.
_LIMITS = {
    "traffic_class": 1 << 8,
    "flow_label": 1 << 20,
    "payload_length": 1 << 16,
    "next_header": 1 << 8,
    "hop_limit": 1 << 8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Header:
    """An IPv6 header without extension headers."""

    source: IPv6Address
    destination: IPv6Address
    next_header: int
    payload_length: int
    """Bytes after this header."""
    hop_limit: int = 64
    traffic_class: int = 0
    """DSCP in the upper six bits, ECN in the lower two."""
    flow_label: int = 0

    @property
    def dscp(self) -> int:
        """Differentiated services code point, 0 to 63 (RFC 2474)."""
        return self.traffic_class >> 2

    @property
    def ecn(self) -> int:
        """Explicit congestion notification, 0 to 3 (RFC 3168)."""
        return self.traffic_class & 0b11

    @classmethod
    def parse(cls, data: bytes | memoryview, *, quoted: bool = False) -> Ipv6Header:
        """Read the header at the start of ``data``; bytes after the payload are ignored.

        Args:
            data: a packet from its IPv6 header on.
            quoted: the packet is one that an ICMP error quotes: its end may be missing.

        Raises:
            WireError: this is no IPv6 header, or the packet is truncated.
        """
        if len(data) < IPV6_HEADER_LENGTH:
            raise WireError("ipv6_header", f"needs 40 bytes, the packet has {len(data)}")
        first_word, payload_length, next_header, hop_limit, source, destination = (
            _HEADER.unpack_from(data)
        )
        if first_word >> 28 != 6:
            raise WireError("version", f"is {first_word >> 28}, not 6")
        if not quoted and IPV6_HEADER_LENGTH + payload_length > len(data):
            raise WireError(
                "payload_length",
                f"is {payload_length}, but the packet has {len(data) - IPV6_HEADER_LENGTH} bytes",
            )
        return cls(
            source=IPv6Address(source),
            destination=IPv6Address(destination),
            next_header=next_header,
            payload_length=payload_length,
            hop_limit=hop_limit,
            traffic_class=first_word >> 20 & 0xFF,
            flow_label=first_word & 0xFFFFF,
        )

    def build(self) -> bytes:
        """Return the 40 bytes of the header.

        Raises:
            WireError: a value does not fit its field.
        """
        for field, limit in _LIMITS.items():
            if not 0 <= getattr(self, field) < limit:
                raise WireError(field, f"is {getattr(self, field)}, allowed are 0 to {limit - 1}")
        return _HEADER.pack(
            6 << 28 | self.traffic_class << 20 | self.flow_label,
            self.payload_length,
            self.next_header,
            self.hop_limit,
            self.source.packed,
            self.destination.packed,
        )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv4 header (RFC 791; RFC 2474 and 3168 for DSCP and ECN)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from v6ferry.wire.checksum import internet_checksum
from v6ferry.wire.parser import WireError

IPV4_HEADER_LENGTH = 20
"""Without options."""
IPV4_MAXIMUM_LENGTH = 65535
PROTOCOL_ICMP = 1
PROTOCOL_UDP = 17
PROTOCOL_IPV6 = 41
"""IPv6 in IPv4: ISATAP, 6to4, 6rd and configured tunnels (RFC 4213)."""

# Version and IHL, type of service, total length, identification, flags and fragment offset, time to
# live, protocol, checksum, source, destination.
_FIXED_HEADER = struct.Struct("!BBHHHBBH4s4s")
_DONT_FRAGMENT = 0x4000
_MORE_FRAGMENTS = 0x2000
_FRAGMENT_OFFSET = 0x1FFF

# The first value that no longer fits each field.
_LIMITS = {
    "dscp": 1 << 6,
    "ecn": 1 << 2,
    "identification": 1 << 16,
    "fragment_offset": 1 << 13,
    "ttl": 1 << 8,
    "protocol": 1 << 8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4Header:
    """An IPv4 header; version, header length and checksum follow from the rest."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    ttl: int = 64
    dscp: int = 0
    """Differentiated services code point, 0 to 63."""
    ecn: int = 0
    """Explicit congestion notification, 0 to 3."""
    identification: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    fragment_offset: int = 0
    """As on the wire, in units of 8 bytes."""
    total_length: int = 0
    """Bytes of header and payload as received; ``build`` computes it anew."""
    options: bytes = b""
    """The options with their padding: a multiple of 4, at most 40 bytes."""

    @property
    def header_length(self) -> int:
        """Bytes of the header with its options, 20 to 60."""
        return IPV4_HEADER_LENGTH + len(self.options)

    @property
    def is_fragment(self) -> bool:
        """Whether the packet is only a part of a datagram."""
        return self.more_fragments or self.fragment_offset != 0

    @classmethod
    def parse(cls, data: bytes | memoryview, *, quoted: bool = False) -> Ipv4Header:
        """Read the header at the start of ``data``; bytes after ``total_length`` are ignored.

        Args:
            data: a packet from its IPv4 header on.
            quoted: the packet is one that an ICMP error quotes: its end may be missing, and its
                checksum is not verified, since routers report packets that they already changed.

        Raises:
            WireError: this is no IPv4 header, its checksum is wrong, or the packet is truncated.
        """
        if len(data) < IPV4_HEADER_LENGTH:
            raise WireError("ipv4_header", f"needs 20 bytes, the packet has {len(data)}")
        (
            version_and_length,
            type_of_service,
            total_length,
            identification,
            flags_and_offset,
            ttl,
            protocol,
            _checksum,
            source,
            destination,
        ) = _FIXED_HEADER.unpack_from(data)
        if version_and_length >> 4 != 4:
            raise WireError("version", f"is {version_and_length >> 4}, not 4")
        header_length = (version_and_length & 0x0F) * 4
        if not IPV4_HEADER_LENGTH <= header_length <= len(data):
            raise WireError(
                "header_length", f"is {header_length} bytes, allowed are 20 to {len(data)}"
            )
        if total_length < header_length:
            raise WireError(
                "total_length", f"is {total_length}, less than the header's {header_length} bytes"
            )
        if not quoted:
            if total_length > len(data):
                raise WireError(
                    "total_length", f"is {total_length}, but the packet has {len(data)} bytes"
                )
            if internet_checksum(data[:header_length]) != 0:
                raise WireError("header_checksum", "is wrong")
        return cls(
            source=IPv4Address(source),
            destination=IPv4Address(destination),
            protocol=protocol,
            ttl=ttl,
            dscp=type_of_service >> 2,
            ecn=type_of_service & 0b11,
            identification=identification,
            dont_fragment=bool(flags_and_offset & _DONT_FRAGMENT),
            more_fragments=bool(flags_and_offset & _MORE_FRAGMENTS),
            fragment_offset=flags_and_offset & _FRAGMENT_OFFSET,
            total_length=total_length,
            options=bytes(data[IPV4_HEADER_LENGTH:header_length]),
        )

    def build(self, payload_length: int) -> bytes:
        """Return the header, checksum included, of a packet with ``payload_length`` bytes after it.

        Raises:
            WireError: a value does not fit its field, or the packet would exceed 65535 bytes.
        """
        for field, limit in _LIMITS.items():
            if not 0 <= getattr(self, field) < limit:
                raise WireError(field, f"is {getattr(self, field)}, allowed are 0 to {limit - 1}")
        if len(self.options) % 4 or len(self.options) > 40:
            raise WireError("options", f"are {len(self.options)} bytes, not a multiple of 4 to 40")
        header_length = self.header_length
        total_length = header_length + payload_length
        if payload_length < 0 or total_length > IPV4_MAXIMUM_LENGTH:
            raise WireError(
                "total_length", f"is {total_length}, allowed are {header_length} to 65535"
            )
        flags = self.dont_fragment * _DONT_FRAGMENT | self.more_fragments * _MORE_FRAGMENTS
        header = bytearray(
            _FIXED_HEADER.pack(
                0x40 | header_length // 4,
                self.dscp << 2 | self.ecn,
                total_length,
                self.identification,
                flags | self.fragment_offset,
                self.ttl,
                self.protocol,
                0,
                self.source.packed,
                self.destination.packed,
            )
        )
        header += self.options
        header[10:12] = internet_checksum(header).to_bytes(2, "big")
        return bytes(header)

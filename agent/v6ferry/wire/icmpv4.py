# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMPv4 error messages (RFC 792, RFC 1191 for the MTU, RFC 4884 for the length)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address

from v6ferry.wire.checksum import internet_checksum
from v6ferry.wire.ipv4 import PROTOCOL_ICMP, Ipv4Header
from v6ferry.wire.parser import Parser, WireError


class Icmpv4Type(enum.IntEnum):
    """The error messages of ICMPv4 (RFC 1122 section 3.2.2)."""

    DESTINATION_UNREACHABLE = 3
    SOURCE_QUENCH = 4
    REDIRECT = 5
    TIME_EXCEEDED = 11
    PARAMETER_PROBLEM = 12


FRAGMENTATION_NEEDED = 4
"""The code of Destination Unreachable that carries an MTU (RFC 1191)."""

_ERROR_TYPES = frozenset(Icmpv4Type)
# RFC 4884 section 4 gives these three a length of the quoted datagram.
_TYPES_WITH_LENGTH = frozenset(
    {
        Icmpv4Type.DESTINATION_UNREACHABLE,
        Icmpv4Type.TIME_EXCEEDED,
        Icmpv4Type.PARAMETER_PROBLEM,
    }
)


@dataclass(frozen=True, slots=True)
class Icmpv4Error:
    """An ICMPv4 error and the beginning of the packet that it is about."""

    type: int
    code: int
    mtu: int
    """Next-hop MTU in bytes of a Fragmentation Needed (0 from old routers), else 0."""
    reporter: IPv4Address
    """The source of the error: a router on the path, or the endpoint."""
    quoted: bytes
    """The packet in question from its IPv4 header on: 8 bytes of payload or more, or all of it."""

    @property
    def quoted_header(self) -> Ipv4Header:
        """The header of that packet, whose ``total_length`` may exceed what is quoted."""
        return Ipv4Header.parse(self.quoted, quoted=True)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Icmpv4Error:
        """Read an IPv4 packet with an ICMP error message.

        Args:
            data: the packet from its IPv4 header on, as a raw socket gives it.

        Raises:
            WireError: the packet is not a whole and right ICMPv4 error message, or it does not
                quote at least the IPv4 header of the packet in question.
        """
        header = Ipv4Header.parse(data)
        if header.protocol != PROTOCOL_ICMP:
            raise WireError("protocol", f"is {header.protocol}, not ICMP (1)")
        if header.is_fragment:
            raise WireError("fragment_offset", "the ICMP message is only a fragment")
        message = memoryview(data)[header.header_length : header.total_length]
        parser = Parser(message)
        message_type = parser.u8("type")
        if message_type not in _ERROR_TYPES:
            raise WireError("type", f"is {message_type}, not an ICMP error")
        code = parser.u8("code")
        parser.skip(2, "checksum")
        if internet_checksum(message) != 0:
            raise WireError("checksum", "is wrong")
        parser.skip(1, "unused")
        length = parser.u8("length") * 4
        mtu = parser.u16("next_hop_mtu")
        if not (
            message_type == Icmpv4Type.DESTINATION_UNREACHABLE and code == FRAGMENTATION_NEEDED
        ):
            mtu = 0
        quoted = parser.bytes(parser.remaining, "quoted")
        if length and message_type in _TYPES_WITH_LENGTH:
            # Extensions such as MPLS labels follow the quoted packet.
            quoted = quoted[:length]
        try:
            quoted_header = Ipv4Header.parse(quoted, quoted=True)
        except WireError as error:
            raise WireError("quoted", f"packet has a bad header: {error}") from None
        # RFC 4884 pads short packets with zeros: the packet's own length ends it, too.
        quoted = quoted[: quoted_header.total_length]
        return cls(message_type, code, mtu, header.source, quoted)

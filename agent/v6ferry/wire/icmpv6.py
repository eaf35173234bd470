# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMPv6 messages in general and its error messages (RFC 4443)."""

from __future__ import annotations

import enum
from ipaddress import IPv6Address

from v6ferry.wire.checksum import icmpv6_checksum
from v6ferry.wire.ipv6 import (
    IPV6_HEADER_LENGTH,
    IPV6_MINIMUM_MTU,
    NEXT_HEADER_ICMPV6,
    Ipv6Header,
)
from v6ferry.wire.parser import Parser, WireError

ICMPV6_ERROR_HEADER_LENGTH = 8

_FIRST_INFORMATIONAL_TYPE = 128
_FRAGMENT_HEADER = 44
# Hop-by-hop options, routing and destination options: next header, length in 8 bytes beyond 8.
_EXTENSION_HEADERS = frozenset({0, 43, 60})


class Icmpv6Type(enum.IntEnum):
    """The message types that this agent knows by name."""

    DESTINATION_UNREACHABLE = 1
    PACKET_TOO_BIG = 2
    TIME_EXCEEDED = 3
    PARAMETER_PROBLEM = 4
    ECHO_REQUEST = 128
    ECHO_REPLY = 129
    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOR_SOLICITATION = 135
    NEIGHBOR_ADVERTISEMENT = 136
    REDIRECT = 137


class UnreachableCode(enum.IntEnum):
    """Codes of Destination Unreachable (RFC 4443 section 3.1)."""

    NO_ROUTE = 0
    ADMINISTRATIVELY_PROHIBITED = 1
    BEYOND_SCOPE_OF_SOURCE = 2
    ADDRESS_UNREACHABLE = 3
    PORT_UNREACHABLE = 4
    SOURCE_ADDRESS_FAILED_POLICY = 5
    REJECT_ROUTE = 6


class TimeExceededCode(enum.IntEnum):
    """Codes of Time Exceeded (RFC 4443 section 3.3)."""

    HOP_LIMIT_EXCEEDED = 0
    FRAGMENT_REASSEMBLY_TIME_EXCEEDED = 1


class ParameterProblemCode(enum.IntEnum):
    """Codes of Parameter Problem (RFC 4443 section 3.4)."""

    ERRONEOUS_HEADER_FIELD = 0
    UNRECOGNIZED_NEXT_HEADER = 1
    UNRECOGNIZED_OPTION = 2


def icmpv6_packet(
    source: IPv6Address, destination: IPv6Address, message: bytes, hop_limit: int
) -> bytes:
    """Return the IPv6 packet with the ICMPv6 ``message``, whose checksum it fills in.

    Args:
        source: the packet's source.
        destination: the packet's destination.
        message: type, code, two bytes for the checksum (overwritten), body.
        hop_limit: 255 for Neighbor Discovery.

    Raises:
        WireError: the message is too long for a packet or the hop limit for its field.
    """
    blank = message[:2] + b"\0\0" + message[4:]
    checksum = icmpv6_checksum(source, destination, blank)
    header = Ipv6Header(
        source=source,
        destination=destination,
        next_header=NEXT_HEADER_ICMPV6,
        payload_length=len(message),
        hop_limit=hop_limit,
    )
    return header.build() + message[:2] + checksum.to_bytes(2, "big") + message[4:]


def icmpv6_error(
    type: int,  # noqa: A002 - the RFC's name of the field
    code: int,
    value32: int,
    source: IPv6Address,
    original_packet: bytes | memoryview,
    *,
    destination: IPv6Address | None = None,
) -> bytes:
    """Return an IPv6 packet with the ICMPv6 error that answers ``original_packet``.

    It quotes as much of the packet as the minimum MTU of 1280 bytes leaves room for (RFC 4443
    section 2.4 (c)). Ask ``may_answer_with_error`` first whether the packet may be answered.

    Args:
        type: 1 to 4, see ``Icmpv6Type``.
        code: the meaning depends on the type.
        value32: the 32 bits after the checksum: the MTU of Packet Too Big, the pointer of Parameter
            Problem, else 0.
        source: an address of the node that reports.
        original_packet: the packet that could not be delivered, from its IPv6 header on.
        destination: whom to tell; the source of ``original_packet`` unless given.

    Raises:
        WireError: ``original_packet`` has no IPv6 header, or a number does not fit its field.
    """
    for field, number, limit in (
        ("type", type, _FIRST_INFORMATIONAL_TYPE),
        ("code", code, 1 << 8),
        ("value32", value32, 1 << 32),
    ):
        if not 0 <= number < limit:
            raise WireError(field, f"is {number}, allowed are 0 to {limit - 1}")
    if destination is None:
        destination = Ipv6Header.parse(original_packet, quoted=True).source
    room = IPV6_MINIMUM_MTU - IPV6_HEADER_LENGTH - ICMPV6_ERROR_HEADER_LENGTH
    message = bytes((type, code, 0, 0)) + value32.to_bytes(4, "big") + bytes(original_packet[:room])
    return icmpv6_packet(source, destination, message, hop_limit=64)


def icmpv6_type(packet: bytes | memoryview) -> int | None:
    """Return the ICMPv6 type of the IPv6 ``packet``, whatever extension headers it has.

    None if it is not ICMPv6, is a later fragment, or ends (or is hidden by encryption) before the
    type. Never raises, so it is safe on any bytes.
    """
    if len(packet) < IPV6_HEADER_LENGTH or packet[0] >> 4 != 6:
        return None
    parser = Parser(packet[IPV6_HEADER_LENGTH:])
    next_header = packet[6]
    try:
        while next_header != NEXT_HEADER_ICMPV6:
            if next_header == _FRAGMENT_HEADER:
                next_header = parser.u8("next_header")
                parser.skip(1, "reserved")
                if parser.u16("fragment_offset") & 0xFFF8:
                    return None
                parser.skip(4, "identification")
            elif next_header in _EXTENSION_HEADERS:
                next_header = parser.u8("next_header")
                parser.skip(6 + 8 * parser.u8("header_extension_length"), "extension_header")
            else:
                return None
        return parser.u8("type")
    except WireError:
        return None


def is_icmpv6_error(packet: bytes | memoryview) -> bool:
    """Tell whether the IPv6 ``packet`` is an ICMPv6 error message; never raises."""
    message_type = icmpv6_type(packet)
    return message_type is not None and message_type < _FIRST_INFORMATIONAL_TYPE


def may_answer_with_error(
    original_packet: bytes | memoryview,
    type: int,  # noqa: A002 - the RFC's name of the field
    code: int = 0,
) -> bool:
    """Tell whether RFC 4443 section 2.4 (e) lets an ICMPv6 error answer ``original_packet``.

    Errors and redirects are never answered, nor packets whose source is not one node; packets to a
    multicast address only with Packet Too Big or Parameter Problem code 2. Never raises.
    """
    try:
        header = Ipv6Header.parse(original_packet, quoted=True)
    except WireError:
        return False
    original_type = icmpv6_type(original_packet)
    if original_type is not None and (
        original_type < _FIRST_INFORMATIONAL_TYPE or original_type == Icmpv6Type.REDIRECT
    ):
        return False
    if header.source.is_multicast or header.source.is_unspecified:
        return False
    return not header.destination.is_multicast or (
        type == Icmpv6Type.PACKET_TOO_BIG
        or (
            type == Icmpv6Type.PARAMETER_PROBLEM
            and code == ParameterProblemCode.UNRECOGNIZED_OPTION
        )
    )

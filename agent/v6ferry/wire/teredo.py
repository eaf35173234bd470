# SPDX-License-Identifier: GPL-3.0-or-later
"""What Teredo sends in UDP: an IPv6 packet, encapsulations before it, trailers behind it.

RFC 4380 section 5.1.1 has the encapsulations, RFC 6081 section 4 the trailers. A *bubble* is an
IPv6 packet without a payload (RFC 4380 section 2.8).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, Ipv6Header
from v6ferry.wire.parser import Parser, WireError

TEREDO_PORT = 3544
"""The UDP port of servers (RFC 4380 section 2.7)."""
NONCE_LENGTH = 8
AUTHENTICATION_LENGTH = 13
"""Octets of the authentication encapsulation without identifier and value."""
NEXT_HEADER_NONE = 59

_ORIGIN_INDICATION = 0x0000
_AUTHENTICATION = 0x0001
_MOST_ALTERNATE_ADDRESSES = 4
_ACTION_MASK = 0xC0
_DISCARD = 0x40


class Confirmation(IntEnum):
    """What a server thinks of the client's key; a client sends 0 (RFC 4380 section 5.1.1)."""

    ACCEPTED = 0
    NEW_KEY_NEEDED = 1


@dataclass(frozen=True, slots=True)
class Authentication:
    """The authentication encapsulation (RFC 4380 section 5.1.1)."""

    nonce: bytes
    """8 random octets of the client, which the server's answer repeats."""
    confirmation: int = Confirmation.ACCEPTED
    """Zero unless the server does not know the key."""
    client_identifier: bytes = b""
    value: bytes = b""
    """From ``authentication_value``; empty without a shared key. Both are 255 octets at most."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin indication: whence the server got what it sends on (RFC 4380 section 5.1.1)."""

    address: IPv4Address
    port: int

    def build(self) -> bytes:
        """Return the 8 octets; address and port have every bit inverted."""
        _check("origin_port", self.port, 0xFFFF)
        address = int(self.address) ^ 0xFFFF_FFFF
        return (
            _ORIGIN_INDICATION.to_bytes(2, "big")
            + (self.port ^ 0xFFFF).to_bytes(2, "big")
            + address.to_bytes(4, "big")
        )


class DiscoveryType(IntEnum):
    """What a neighbor discovery option trailer is (RFC 6081 section 4.4)."""

    SOLICITATION = 0
    ADVERTISEMENT = 1


@dataclass(frozen=True, slots=True)
class Trailers:
    """The trailers of RFC 6081 section 4; those that are None or empty are not there."""

    nonce: int | None = None
    """32 bits (section 4.2)."""
    alternate_addresses: tuple[Origin, ...] = ()
    """Where else the sender may be reached, four at most (section 4.3)."""
    discovery: DiscoveryType | None = None
    """Section 4.4."""
    random_port: int | None = None
    """The external port that the sender expects to have for the receiver (section 4.5)."""


NO_TRAILERS = Trailers()


class _TrailerType(IntEnum):
    NONCE = 0x01
    ALTERNATE_ADDRESS = 0x03
    NEIGHBOR_DISCOVERY_OPTION = 0x04
    RANDOM_PORT = 0x05


@dataclass(frozen=True, slots=True)
class TeredoDatagram:
    """The payload of a UDP datagram of Teredo."""

    packet: bytes
    """The IPv6 packet."""
    origin: Origin | None = None
    authentication: Authentication | None = None
    trailers: Trailers = NO_TRAILERS

    @classmethod
    def parse(cls, data: bytes | memoryview) -> TeredoDatagram:
        """Read the payload of a UDP datagram.

        Trailers that make no sense are as if they were not there: RFC 4380 knows none, and its
        implementations pass on whatever is behind a packet.

        Raises:
            WireError: it is none of Teredo, or a trailer has it discarded (RFC 6081 section 4.1).
        """
        view = memoryview(data)
        parser = Parser(view)
        authentication = _read_authentication(parser) if _begins(view, _AUTHENTICATION) else None
        rest = view[len(view) - parser.remaining :]
        origin = _read_origin(parser) if _begins(rest, _ORIGIN_INDICATION) else None
        rest = view[len(view) - parser.remaining :]
        length = IPV6_HEADER_LENGTH + Ipv6Header.parse(rest).payload_length
        trailers = _read_trailers(rest[length:])
        return cls(bytes(rest[:length]), origin, authentication, trailers)

    def build(self) -> bytes:
        """Return the payload.

        Raises:
            WireError: a value does not fit its field.
        """
        parts = []
        if self.authentication is not None:
            parts.append(_build_authentication(self.authentication))
        if self.origin is not None:
            parts.append(self.origin.build())
        parts += [self.packet, _build_trailers(self.trailers)]
        return b"".join(parts)


def authentication_value(
    key: bytes, nonce: bytes, confirmation: int, origin: Origin | None, packet: bytes
) -> bytes:
    """Return the authentication value: HMAC with SHA-1 (RFC 4380 section 5.2.2).

    Args:
        key: the secret that client and server share.
        nonce: that of the authentication encapsulation.
        confirmation: that of the authentication encapsulation.
        origin: what follows it, if there.
        packet: the IPv6 packet.
    """
    covered = nonce + bytes((confirmation,)) + (origin.build() if origin else b"") + packet
    return hmac.digest(key, covered, "sha1")


def is_authentic(key: bytes, datagram: TeredoDatagram) -> bool:
    """Whether the authentication value of a datagram has been made with ``key``."""
    given = datagram.authentication
    if given is None:
        return False
    value = authentication_value(
        key, given.nonce, given.confirmation, datagram.origin, datagram.packet
    )
    return hmac.compare_digest(value, given.value)


def bubble(source: IPv6Address, destination: IPv6Address) -> bytes:
    """Return an IPv6 packet without a payload (RFC 4380 section 2.8)."""
    return Ipv6Header(
        source=source,
        destination=destination,
        next_header=NEXT_HEADER_NONE,
        payload_length=0,
        hop_limit=255,
    ).build()


def is_bubble(packet: bytes | memoryview) -> bool:
    """Whether an IPv6 packet is a bubble; never raises."""
    return len(packet) >= IPV6_HEADER_LENGTH and packet[6] == NEXT_HEADER_NONE


def _begins(data: memoryview, indicator: int) -> bool:
    return len(data) > 1 and int.from_bytes(data[:2], "big") == indicator


def _read_authentication(parser: Parser) -> Authentication:
    parser.skip(2, "authentication")
    identifier_length = parser.u8("client_identifier_length")
    value_length = parser.u8("authentication_value_length")
    identifier = parser.bytes(identifier_length, "client_identifier")
    value = parser.bytes(value_length, "authentication_value")
    nonce = parser.bytes(NONCE_LENGTH, "nonce")
    return Authentication(nonce, parser.u8("confirmation"), identifier, value)


def _build_authentication(one: Authentication) -> bytes:
    if len(one.nonce) != NONCE_LENGTH:
        raise WireError("nonce", f"has {len(one.nonce)} octets, not {NONCE_LENGTH}")
    _check("client_identifier_length", len(one.client_identifier), 0xFF)
    _check("authentication_value_length", len(one.value), 0xFF)
    _check("confirmation", one.confirmation, 0xFF)
    lengths = bytes((len(one.client_identifier), len(one.value)))
    return b"".join(
        (
            _AUTHENTICATION.to_bytes(2, "big"),
            lengths,
            one.client_identifier,
            one.value,
            one.nonce,
            bytes((one.confirmation,)),
        )
    )


def _read_origin(parser: Parser) -> Origin:
    parser.skip(2, "origin_indication")
    port = parser.u16("origin_port") ^ 0xFFFF
    return Origin(IPv4Address(parser.u32("origin_address") ^ 0xFFFF_FFFF), port)


def _read_trailers(data: memoryview) -> Trailers:
    parser = Parser(data)
    found: dict[int, Parser] = {}
    while parser.remaining:
        try:
            kind = parser.u8("trailer_type")
            body = parser.restrict(parser.u8("trailer_length"), "trailer")
        except WireError:
            return NO_TRAILERS
        if kind not in list(_TrailerType) and kind & _ACTION_MASK == _DISCARD:
            raise WireError("trailer_type", f"{kind} is unknown and has the packet discarded")
        found.setdefault(kind, body)
    return Trailers(
        nonce=_trailer(found, _TrailerType.NONCE, _read_nonce),
        alternate_addresses=_trailer(found, _TrailerType.ALTERNATE_ADDRESS, _read_alternates) or (),
        discovery=_trailer(found, _TrailerType.NEIGHBOR_DISCOVERY_OPTION, _read_discovery),
        random_port=_trailer(found, _TrailerType.RANDOM_PORT, _read_random_port),
    )


T = TypeVar("T")


def _trailer(found: dict[int, Parser], kind: _TrailerType, read: Callable[[Parser], T]) -> T | None:
    body = found.get(kind)
    try:
        return None if body is None else read(body)
    except ValueError:
        return None


def _read_nonce(body: Parser) -> int:
    _check_length(body, 4)
    return body.u32("nonce")


def _read_alternates(body: Parser) -> tuple[Origin, ...]:
    body.skip(2, "reserved")
    if body.remaining not in range(6, 6 * _MOST_ALTERNATE_ADDRESSES + 1, 6):
        raise WireError("trailer_length", f"leaves {body.remaining} octets for addresses")
    addresses = []
    while body.remaining:
        address = body.ipv4_address("alternate_address")
        addresses.append(Origin(address, body.u16("alternate_port")))
    return tuple(addresses)


def _read_discovery(body: Parser) -> DiscoveryType:
    _check_length(body, 4)
    return DiscoveryType(body.u8("discovery_type"))


def _read_random_port(body: Parser) -> int:
    _check_length(body, 2)
    return body.u16("random_port")


def _check_length(body: Parser, octets: int) -> None:
    if body.remaining != octets:
        raise WireError("trailer_length", f"is {body.remaining}, not {octets}")


def _build_trailers(trailers: Trailers) -> bytes:
    parts: list[bytes] = []
    if trailers.nonce is not None:
        _check("nonce", trailers.nonce, 0xFFFF_FFFF)
        parts.append(_tlv(_TrailerType.NONCE, trailers.nonce.to_bytes(4, "big")))
    if trailers.alternate_addresses:
        parts.append(
            _tlv(_TrailerType.ALTERNATE_ADDRESS, _alternates(trailers.alternate_addresses))
        )
    if trailers.discovery is not None:
        body = bytes((trailers.discovery, 0, 0, 0))
        parts.append(_tlv(_TrailerType.NEIGHBOR_DISCOVERY_OPTION, body))
    if trailers.random_port is not None:
        _check("random_port", trailers.random_port, 0xFFFF)
        parts.append(_tlv(_TrailerType.RANDOM_PORT, trailers.random_port.to_bytes(2, "big")))
    return b"".join(parts)


def _alternates(addresses: Iterable[Origin]) -> bytes:
    parts = [bytes(2)]
    for one in addresses:
        _check("alternate_port", one.port, 0xFFFF)
        parts.append(one.address.packed + one.port.to_bytes(2, "big"))
    _check("alternate_addresses", len(parts) - 1, _MOST_ALTERNATE_ADDRESSES)
    return b"".join(parts)


def _tlv(kind: int, body: bytes) -> bytes:
    return bytes((kind, len(body))) + body


def _check(field: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise WireError(field, f"is {value}, allowed are 0 to {most}")

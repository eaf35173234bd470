# SPDX-License-Identifier: GPL-3.0-or-later
"""Neighbor Discovery messages (RFC 4861): whole IPv6 packets <-> typed values.

Link-layer address options are neither sent nor read: tunnels have no link-layer addresses that
neighbours would have to learn (RFC 4213 section 3.8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from v6ferry.wire.checksum import icmpv6_checksum
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_packet
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, IPV6_MINIMUM_MTU, NEXT_HEADER_ICMPV6, Ipv6Header
from v6ferry.wire.neighbor_discovery_options import (
    INFINITE_LIFETIME,
    DnsSearchList,
    LinkMtu,
    OptionType,
    PrefixInformation,
    RecursiveDnsServer,
    RouteInformation,
    RouterOption,
    RouterPreference,
    decode_router_option,
    encode_router_option,
    split_options,
    u32,
)
from v6ferry.wire.parser import Parser, WireError

__all__ = [
    "INFINITE_LIFETIME",
    "NEIGHBOR_DISCOVERY_HOP_LIMIT",
    "DnsSearchList",
    "NeighborAdvertisement",
    "NeighborDiscoveryMessage",
    "NeighborSolicitation",
    "PrefixInformation",
    "RecursiveDnsServer",
    "Redirect",
    "RouteInformation",
    "RouterAdvertisement",
    "RouterPreference",
    "RouterSolicitation",
    "decode",
    "encode",
    "encode_advertisements",
    "neighbor_discovery_type",
]

NEIGHBOR_DISCOVERY_HOP_LIMIT = 255
"""Proves that no router forwarded the packet (RFC 4861 section 3.1)."""

_LINK_LOCAL = IPv6Network("fe80::/10")
_SOLICITED_NODE = IPv6Network("ff02::1:ff00:0/104")
_MANAGED_FLAG = 0x80
_OTHER_CONFIGURATION_FLAG = 0x40
_ROUTER_FLAG = 0x80000000
_SOLICITED_FLAG = 0x40000000
_OVERRIDE_FLAG = 0x20000000


@dataclass(frozen=True, slots=True)
class RouterSolicitation:
    """Asks routers to advertise themselves (§4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterAdvertisement:
    """What a router tells the hosts of a link (§4.2)."""

    current_hop_limit: int = 0
    """For the hosts' packets; 0 means unspecified."""
    managed: bool = False
    """Addresses are to be had by DHCPv6."""
    other_configuration: bool = False
    """Other configuration is to be had by DHCPv6."""
    preference: RouterPreference = RouterPreference.MEDIUM
    """As default router (RFC 4191)."""
    router_lifetime: int = 0
    """Seconds as default router, up to 65535; 0 means that it is none."""
    reachable_time: int = 0
    """Milliseconds; 0 means unspecified."""
    retransmit_timer: int = 0
    """Milliseconds; 0 means unspecified."""
    prefixes: tuple[PrefixInformation, ...] = ()
    routes: tuple[RouteInformation, ...] = ()
    mtu: int | None = None
    """Of the link, in bytes, 1280 at least."""
    dns_servers: tuple[RecursiveDnsServer, ...] = ()
    dns_search: tuple[DnsSearchList, ...] = ()


@dataclass(frozen=True, slots=True)
class NeighborSolicitation:
    """Asks whether the neighbour ``target`` is there (§4.3)."""

    target: IPv6Address


@dataclass(frozen=True, slots=True)
class NeighborAdvertisement:
    """Says that ``target`` is there (§4.4)."""

    target: IPv6Address
    router: bool = False
    solicited: bool = False
    override: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """Names ``target`` as a better first hop to ``destination`` (§4.5)."""

    target: IPv6Address
    destination: IPv6Address


NeighborDiscoveryMessage = (
    RouterSolicitation
    | RouterAdvertisement
    | NeighborSolicitation
    | NeighborAdvertisement
    | Redirect
)


def encode(
    message: NeighborDiscoveryMessage, source: IPv6Address, destination: IPv6Address
) -> bytes:
    """Return the whole IPv6 packet with ``message``: hop limit 255, checksum filled in.

    Raises:
        WireError: a value does not fit its field.
    """
    match message:
        case RouterSolicitation():
            message_type, body = Icmpv6Type.ROUTER_SOLICITATION, bytes(4)
        case RouterAdvertisement():
            message_type = Icmpv6Type.ROUTER_ADVERTISEMENT
            body = _advertisement_header(message) + b"".join(_encoded_options(message))
        case NeighborSolicitation():
            message_type, body = Icmpv6Type.NEIGHBOR_SOLICITATION, bytes(4) + message.target.packed
        case NeighborAdvertisement():
            flags = (
                message.router * _ROUTER_FLAG
                | message.solicited * _SOLICITED_FLAG
                | message.override * _OVERRIDE_FLAG
            )
            message_type = Icmpv6Type.NEIGHBOR_ADVERTISEMENT
            body = u32("flags", flags) + message.target.packed
        case Redirect():
            message_type = Icmpv6Type.REDIRECT
            body = bytes(4) + message.target.packed + message.destination.packed
    header = bytes((message_type, 0, 0, 0))
    return icmpv6_packet(source, destination, header + body, NEIGHBOR_DISCOVERY_HOP_LIMIT)


def encode_advertisements(
    message: RouterAdvertisement,
    source: IPv6Address,
    destination: IPv6Address,
    maximum_length: int = IPV6_MINIMUM_MTU,
) -> tuple[bytes, ...]:
    """Return ``message`` in as many packets as its options need (RFC 4861 section 6.2.3).

    Each packet has ``maximum_length`` bytes at most, the same header and a part of the options, in
    their order; a receiver adds up what it is told.

    Raises:
        WireError: a value does not fit its field, or one option alone is too long.
    """
    header = bytes((Icmpv6Type.ROUTER_ADVERTISEMENT, 0, 0, 0)) + _advertisement_header(message)
    room = maximum_length - IPV6_HEADER_LENGTH - len(header)
    bodies = [b""]
    for option in _encoded_options(message):
        if len(option) > room:
            raise WireError(
                OptionType(option[0]).name.lower(),
                f"the option takes {len(option)} bytes, a packet has room for {room}; "
                "use several options",
            )
        if len(bodies[-1]) + len(option) > room:
            bodies.append(b"")
        bodies[-1] += option
    return tuple(
        icmpv6_packet(source, destination, header + body, NEIGHBOR_DISCOVERY_HOP_LIMIT)
        for body in bodies
    )


def _advertisement_header(message: RouterAdvertisement) -> bytes:
    """Return the 12 bytes between the checksum and the options."""
    for field, value, limit in (
        ("current_hop_limit", message.current_hop_limit, 0xFF),
        ("router_lifetime", message.router_lifetime, 0xFFFF),
    ):
        if not 0 <= value <= limit:
            raise WireError(field, f"is {value}, allowed are 0 to {limit}")
    # RFC 4191 section 2.2: a router that is no default router has no preference as one.
    preference = message.preference if message.router_lifetime else RouterPreference.MEDIUM
    flags = (
        message.managed * _MANAGED_FLAG
        | message.other_configuration * _OTHER_CONFIGURATION_FLAG
        | preference.to_bits() << 3
    )
    return (
        bytes((message.current_hop_limit, flags))
        + message.router_lifetime.to_bytes(2, "big")
        + u32("reachable_time", message.reachable_time)
        + u32("retransmit_timer", message.retransmit_timer)
    )


def _encoded_options(message: RouterAdvertisement) -> list[bytes]:
    mtu = () if message.mtu is None else (LinkMtu(message.mtu),)
    options: tuple[RouterOption, ...] = (
        *mtu,
        *message.prefixes,
        *message.routes,
        *message.dns_servers,
        *message.dns_search,
    )
    return [encode_router_option(option) for option in options]


def neighbor_discovery_type(packet: bytes | memoryview) -> int | None:
    """Return the ICMPv6 type, 133 to 137, if ``packet`` looks like Neighbor Discovery, else None.

    A cheap look for the data path at plain IPv6 with ICMPv6 right after its header: nothing is
    validated, and it never raises.
    """
    if (
        len(packet) > IPV6_HEADER_LENGTH
        and packet[6] == NEXT_HEADER_ICMPV6
        and packet[0] >> 4 == 6
        and Icmpv6Type.ROUTER_SOLICITATION <= packet[IPV6_HEADER_LENGTH] <= Icmpv6Type.REDIRECT
    ):
        return packet[IPV6_HEADER_LENGTH]
    return None


def decode(packet: bytes | memoryview) -> tuple[Ipv6Header, NeighborDiscoveryMessage]:
    """Read and validate a Neighbor Discovery packet (RFC 4861 sections 6.1, 7.1 and 8.1).

    What depends on the receiver's state is left to it: whether a Redirect comes from its first hop,
    whether it is a host or a router.

    Raises:
        WireError: the message must be silently discarded; the error says for what.
    """
    header = Ipv6Header.parse(packet)
    if header.next_header != NEXT_HEADER_ICMPV6:
        raise WireError("next_header", f"is {header.next_header}, not ICMPv6 (58)")
    if header.hop_limit != NEIGHBOR_DISCOVERY_HOP_LIMIT:
        raise WireError("hop_limit", f"is {header.hop_limit}, not 255: a router forwarded it")
    message = memoryview(packet)[IPV6_HEADER_LENGTH : IPV6_HEADER_LENGTH + header.payload_length]
    parser = Parser(message)
    message_type = parser.u8("type")
    decoder = _DECODERS.get(message_type)
    if decoder is None:
        raise WireError("type", f"is {message_type}, not Neighbor Discovery (133 to 137)")
    code = parser.u8("code")
    if code != 0:
        raise WireError("code", f"is {code}, not 0")
    parser.skip(2, "checksum")
    if icmpv6_checksum(header.source, header.destination, message) != 0:
        raise WireError("checksum", "is wrong")
    return header, decoder(header, parser)


def _check_options(header: Ipv6Header, parser: Parser) -> None:
    """Check that the options are well delimited, and that no unspecified source is resolved."""
    for option_type, _body in split_options(parser):
        if option_type == OptionType.SOURCE_LINK_LAYER_ADDRESS and header.source.is_unspecified:
            raise WireError(
                "source_link_layer_address", "must not come from the unspecified address"
            )


def _check_link_local_source(header: Ipv6Header) -> None:
    if header.source not in _LINK_LOCAL:
        raise WireError("source", f"is {header.source}, a router's is link-local")


def _decode_router_solicitation(header: Ipv6Header, parser: Parser) -> RouterSolicitation:
    parser.skip(4, "reserved")
    _check_options(header, parser)
    return RouterSolicitation()


def _decode_router_advertisement(header: Ipv6Header, parser: Parser) -> RouterAdvertisement:
    _check_link_local_source(header)
    current_hop_limit = parser.u8("current_hop_limit")
    flags = parser.u8("flags")
    router_lifetime = parser.u16("router_lifetime")
    reachable_time = parser.u32("reachable_time")
    retransmit_timer = parser.u32("retransmit_timer")
    # RFC 4191 section 2.2: the reserved preference counts as medium, and none counts without a
    # router lifetime.
    preference = RouterPreference.from_bits(flags >> 3 & 0b11) if router_lifetime else None
    options: list[RouterOption] = [
        option
        for option_type, body in split_options(parser)
        if (option := decode_router_option(option_type, body)) is not None
    ]
    return RouterAdvertisement(
        current_hop_limit=current_hop_limit,
        managed=bool(flags & _MANAGED_FLAG),
        other_configuration=bool(flags & _OTHER_CONFIGURATION_FLAG),
        preference=RouterPreference.MEDIUM if preference is None else preference,
        router_lifetime=router_lifetime,
        reachable_time=reachable_time,
        retransmit_timer=retransmit_timer,
        prefixes=tuple(option for option in options if isinstance(option, PrefixInformation)),
        routes=tuple(option for option in options if isinstance(option, RouteInformation)),
        mtu=next((option.mtu for option in options if isinstance(option, LinkMtu)), None),
        dns_servers=tuple(option for option in options if isinstance(option, RecursiveDnsServer)),
        dns_search=tuple(option for option in options if isinstance(option, DnsSearchList)),
    )


def _decode_target(parser: Parser) -> IPv6Address:
    target = parser.ipv6_address("target")
    if target.is_multicast:
        raise WireError("target", f"is the multicast address {target}")
    return target


def _decode_neighbor_solicitation(header: Ipv6Header, parser: Parser) -> NeighborSolicitation:
    parser.skip(4, "reserved")
    target = _decode_target(parser)
    if header.source.is_unspecified and header.destination not in _SOLICITED_NODE:
        raise WireError(
            "destination", f"is {header.destination}, not a solicited-node multicast address"
        )
    _check_options(header, parser)
    return NeighborSolicitation(target)


def _decode_neighbor_advertisement(header: Ipv6Header, parser: Parser) -> NeighborAdvertisement:
    flags = parser.u32("flags")
    target = _decode_target(parser)
    solicited = bool(flags & _SOLICITED_FLAG)
    if solicited and header.destination.is_multicast:
        raise WireError("solicited", "must not be set in a multicast advertisement")
    _check_options(header, parser)
    return NeighborAdvertisement(
        target,
        router=bool(flags & _ROUTER_FLAG),
        solicited=solicited,
        override=bool(flags & _OVERRIDE_FLAG),
    )


def _decode_redirect(header: Ipv6Header, parser: Parser) -> Redirect:
    _check_link_local_source(header)
    parser.skip(4, "reserved")
    target = parser.ipv6_address("target")
    destination = parser.ipv6_address("destination")
    if destination.is_multicast:
        raise WireError("destination", f"is the multicast address {destination}")
    if target != destination and target not in _LINK_LOCAL:
        raise WireError("target", f"is {target}, neither link-local nor the destination")
    _check_options(header, parser)
    return Redirect(target, destination)


_DECODERS: dict[int, Callable[[Ipv6Header, Parser], NeighborDiscoveryMessage]] = {
    Icmpv6Type.ROUTER_SOLICITATION: _decode_router_solicitation,
    Icmpv6Type.ROUTER_ADVERTISEMENT: _decode_router_advertisement,
    Icmpv6Type.NEIGHBOR_SOLICITATION: _decode_neighbor_solicitation,
    Icmpv6Type.NEIGHBOR_ADVERTISEMENT: _decode_neighbor_advertisement,
    Icmpv6Type.REDIRECT: _decode_redirect,
}

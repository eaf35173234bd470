# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of Router Advertisements (RFC 4861 section 4.6, RFC 4191, RFC 8106).

An option whose length breaks the message makes the whole message invalid; one that is well
delimited but makes no sense inside is ignored, as an unknown one is, so that a single odd option
does not cost a host its router.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU
from v6ferry.wire.parser import Parser, WireError

INFINITE_LIFETIME = 0xFFFFFFFF
"""A lifetime that never ends; all other lifetimes are seconds."""

_LINK_LOCAL = IPv6Network("fe80::/10")
_ON_LINK_FLAG = 0x80
_AUTONOMOUS_FLAG = 0x40
_RESERVED_PREFERENCE = 0b10
_MAXIMUM_OPTION_LENGTH = 255 * 8
_MAXIMUM_LABEL_LENGTH = 63
_MAXIMUM_NAME_LENGTH = 255
# Names from the network end up in resolv.conf, so nothing but host name characters may pass.
_LABEL = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class OptionType(enum.IntEnum):
    """Neighbor Discovery option types that are read or checked."""

    SOURCE_LINK_LAYER_ADDRESS = 1
    PREFIX_INFORMATION = 3
    MTU = 5
    ROUTE_INFORMATION = 24
    RECURSIVE_DNS_SERVER = 25
    DNS_SEARCH_LIST = 31


class RouterPreference(enum.IntEnum):
    """How much a router wants to be used (RFC 4191 section 2.1); the greater is preferred.

    ``RouterPreference("low")`` and ``str(preference)`` convert from and to the name.
    """

    LOW = -1
    MEDIUM = 0
    HIGH = 1

    @classmethod
    def _missing_(cls, value: object) -> RouterPreference | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None

    def __str__(self) -> str:
        return self.name.lower()

    def to_bits(self) -> int:
        """Return the two bits of the wire: a signed number in two's complement."""
        return self & 0b11

    @classmethod
    def from_bits(cls, bits: int) -> RouterPreference | None:
        """Return the preference that two bits mean, None for the reserved value 10."""
        return None if bits == _RESERVED_PREFERENCE else cls(bits - 4 if bits & 0b10 else bits)


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """A prefix of the link, for on-link determination and autoconfiguration (§4.6.2)."""

    prefix: IPv6Network
    on_link: bool = True
    autonomous: bool = True
    valid_lifetime: int = 2592000
    """Seconds, or INFINITE_LIFETIME."""
    preferred_lifetime: int = 604800
    """Seconds, or INFINITE_LIFETIME; not above ``valid_lifetime``."""


@dataclass(frozen=True, slots=True)
class RouteInformation:
    """A route through the router that says so (RFC 4191 section 2.3)."""

    prefix: IPv6Network
    preference: RouterPreference = RouterPreference.MEDIUM
    lifetime: int = 1800
    """Seconds, or INFINITE_LIFETIME; 0 withdraws the route."""


@dataclass(frozen=True, slots=True)
class RecursiveDnsServer:
    """DNS servers (RFC 8106 section 5.1)."""

    servers: tuple[IPv6Address, ...]
    lifetime: int = 1800
    """Seconds, or INFINITE_LIFETIME; 0 withdraws the servers."""


@dataclass(frozen=True, slots=True)
class DnsSearchList:
    """DNS search domains, without the final dot (RFC 8106 section 5.2)."""

    domains: tuple[str, ...]
    lifetime: int = 1800
    """Seconds, or INFINITE_LIFETIME; 0 withdraws the domains."""


@dataclass(frozen=True, slots=True)
class LinkMtu:
    """The MTU of the link in bytes (§4.6.4)."""

    mtu: int


RouterOption = LinkMtu | PrefixInformation | RouteInformation | RecursiveDnsServer | DnsSearchList
"""What the options of a Router Advertisement mean."""


def split_options(parser: Parser) -> Iterator[tuple[int, Parser]]:
    """Yield type and body (what follows type and length) of each option to the message's end.

    Raises:
        WireError: an option's length is 0 or exceeds the message (RFC 4861 section 6.1.1).
    """
    while parser.remaining:
        option_type = parser.u8("option_type")
        length = parser.u8("option_length")
        if length == 0:
            raise WireError("option_length", f"of option {option_type} is 0")
        yield option_type, parser.restrict(length * 8 - 2, "option")


def decode_router_option(option_type: int, body: Parser) -> RouterOption | None:
    """Return what an option of a Router Advertisement says, None if it is to be ignored."""
    decoder = _DECODERS.get(option_type)
    if decoder is None:
        return None
    try:
        return decoder(body)
    except WireError:
        return None


def _network(address: bytes, prefix_length: int) -> IPv6Network:
    """Return the prefix of ``address``; bits after its length are reserved and do not count."""
    return IPv6Network((int.from_bytes(address.ljust(16, b"\0"), "big"), prefix_length), False)


def _decode_prefix_information(body: Parser) -> PrefixInformation | None:
    prefix_length = body.u8("prefix_length")
    flags = body.u8("flags")
    valid_lifetime = body.u32("valid_lifetime")
    preferred_lifetime = body.u32("preferred_lifetime")
    body.skip(4, "reserved")
    address = body.bytes(16, "prefix")
    # RFC 4861 section 6.3.4 and RFC 4862 section 5.5.3 (b), (c): silently ignored.
    if prefix_length > 128 or preferred_lifetime > valid_lifetime:
        return None
    prefix = _network(address, prefix_length)
    if prefix.network_address in _LINK_LOCAL or prefix.network_address.is_multicast:
        return None
    return PrefixInformation(
        prefix,
        on_link=bool(flags & _ON_LINK_FLAG),
        autonomous=bool(flags & _AUTONOMOUS_FLAG),
        valid_lifetime=valid_lifetime,
        preferred_lifetime=preferred_lifetime,
    )


def _decode_link_mtu(body: Parser) -> LinkMtu | None:
    body.skip(2, "reserved")
    mtu = body.u32("mtu")
    # RFC 4861 section 6.3.4: only a value that an IPv6 link may have is used.
    return LinkMtu(mtu) if mtu >= IPV6_MINIMUM_MTU else None


def _decode_route_information(body: Parser) -> RouteInformation | None:
    prefix_length = body.u8("prefix_length")
    preference = RouterPreference.from_bits(body.u8("preference") >> 3 & 0b11)
    lifetime = body.u32("route_lifetime")
    # The option carries 0, 8 or 16 bytes of the prefix, enough for its length.
    if preference is None or body.remaining > 16 or prefix_length > body.remaining * 8:
        return None
    prefix = _network(body.bytes(body.remaining, "prefix"), prefix_length)
    return RouteInformation(prefix, preference, lifetime)


def _decode_recursive_dns_server(body: Parser) -> RecursiveDnsServer | None:
    body.skip(2, "reserved")
    lifetime = body.u32("lifetime")
    addresses = []
    while body.remaining:
        address = body.ipv6_address("recursive_dns_server")
        # RFC 8106 section 5.3.1: the addresses are unicast.
        if not (address.is_multicast or address.is_unspecified):
            addresses.append(address)
    return RecursiveDnsServer(tuple(addresses), lifetime) if addresses else None


def _decode_dns_search_list(body: Parser) -> DnsSearchList | None:
    body.skip(2, "reserved")
    lifetime = body.u32("lifetime")
    domains = []
    while body.remaining:
        domain = _decode_domain(body)
        if domain:
            domains.append(domain)
    return DnsSearchList(tuple(domains), lifetime) if domains else None


def _decode_domain(body: Parser) -> str:
    """Read a name in the form of RFC 1035 section 3.1, uncompressed; padding reads as ''."""
    labels: list[bytes] = []
    while length := body.u8("domain_name"):
        label = body.bytes(length, "domain_name")
        if length > _MAXIMUM_LABEL_LENGTH or not _LABEL.fullmatch(label):
            raise WireError("domain_name", f"has the label {label!r}")
        labels.append(label)
    # Each label costs its length byte, and the root one more.
    if sum(len(label) + 1 for label in labels) + 1 > _MAXIMUM_NAME_LENGTH:
        raise WireError("domain_name", "exceeds 255 bytes")
    return b".".join(labels).decode("ascii")


_DECODERS: dict[int, Callable[[Parser], RouterOption | None]] = {
    OptionType.PREFIX_INFORMATION: _decode_prefix_information,
    OptionType.MTU: _decode_link_mtu,
    OptionType.ROUTE_INFORMATION: _decode_route_information,
    OptionType.RECURSIVE_DNS_SERVER: _decode_recursive_dns_server,
    OptionType.DNS_SEARCH_LIST: _decode_dns_search_list,
}


def encode_router_option(option: RouterOption) -> bytes:
    """Return the option's bytes with type, length and padding.

    Raises:
        WireError: a value does not fit; the error names the field.
    """
    match option:
        case PrefixInformation():
            flags = option.on_link * _ON_LINK_FLAG | option.autonomous * _AUTONOMOUS_FLAG
            if option.preferred_lifetime > option.valid_lifetime:
                raise WireError(
                    "preferred_lifetime",
                    f"of {option.prefix} is {option.preferred_lifetime}, "
                    f"more than the valid lifetime {option.valid_lifetime}",
                )
            return _option(
                OptionType.PREFIX_INFORMATION,
                bytes((option.prefix.prefixlen, flags))
                + u32("valid_lifetime", option.valid_lifetime)
                + u32("preferred_lifetime", option.preferred_lifetime)
                + bytes(4)
                + option.prefix.network_address.packed,
            )
        case RouteInformation():
            prefix_length = option.prefix.prefixlen
            carried = -(-prefix_length // 64) * 8
            return _option(
                OptionType.ROUTE_INFORMATION,
                bytes((prefix_length, option.preference.to_bits() << 3))
                + u32("route_lifetime", option.lifetime)
                + option.prefix.network_address.packed[:carried],
            )
        case RecursiveDnsServer():
            if not option.servers:
                raise WireError("recursive_dns_server", "the option needs an address at least")
            return _option(
                OptionType.RECURSIVE_DNS_SERVER,
                bytes(2)
                + u32("lifetime", option.lifetime)
                + b"".join(server.packed for server in option.servers),
            )
        case DnsSearchList():
            if not option.domains:
                raise WireError("domain_name", "the search list needs a domain at least")
            return _option(
                OptionType.DNS_SEARCH_LIST,
                bytes(2)
                + u32("lifetime", option.lifetime)
                + b"".join(map(_encode_domain, option.domains)),
            )
        case LinkMtu(mtu):
            if mtu < IPV6_MINIMUM_MTU:
                raise WireError("mtu", f"is {mtu}, an IPv6 link has 1280 at least")
            return _option(OptionType.MTU, bytes(2) + u32("mtu", mtu))


def _option(option_type: OptionType, body: bytes) -> bytes:
    length = -(-(2 + len(body)) // 8) * 8
    if length > _MAXIMUM_OPTION_LENGTH:
        raise WireError(
            option_type.name.lower(),
            f"the option takes {length} bytes, at most are {_MAXIMUM_OPTION_LENGTH}; "
            "use several options",
        )
    return (bytes((option_type, length // 8)) + body).ljust(length, b"\0")


def _encode_domain(domain: str) -> bytes:
    encoded = bytearray()
    for label in domain.removesuffix(".").split("."):
        # A character outside ASCII becomes one that the pattern refuses.
        raw = label.encode("ascii", "replace")
        if not _LABEL.fullmatch(raw):
            raise WireError(
                "domain_name",
                f"{domain!r} is no domain name: labels have 1 to 63 letters, digits, '-' or '_' "
                "(international names in their xn-- form)",
            )
        encoded += bytes((len(raw),)) + raw
    encoded.append(0)
    if len(encoded) > _MAXIMUM_NAME_LENGTH:
        raise WireError("domain_name", f"{domain!r} exceeds 255 bytes")
    return bytes(encoded)


def u32(field: str, value: int) -> bytes:
    """Return ``value`` in 32 bits, big-endian.

    Raises:
        WireError: it does not fit.
    """
    if not 0 <= value <= 0xFFFFFFFF:
        raise WireError(field, f"is {value}, allowed are 0 to {0xFFFFFFFF}")
    return value.to_bytes(4, "big")

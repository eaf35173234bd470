# SPDX-License-Identifier: GPL-3.0-or-later
"""The forwarding and ingress tables of a tunnel interface: data that every plane executes.

A *forwarding rule* says how to find the IPv4 endpoint for an inner destination; an *ingress rule*
says which outer source may carry which inner source. Both are found by longest prefix. How to get
from an IPv6 address to an IPv4 endpoint is a *selector*: it lies inside the address, is always the
same, or is looked up in the tunnel's *peer table*. What may never pass, whatever those say, is in
*endpoint rules* and *near rules*. A new technology is a new mixture of these few, not new code in a
plane.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic, TypeVar

from v6ferry.wire.ipv4 import IPV4_HEADER_LENGTH
from v6ferry.wire.udp import UDP_HEADER_LENGTH

_IPV4_MASK = 0xFFFF_FFFF
_IPV6_MASK = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class BitPattern:
    """Bits that an IPv6 address must have: ``address & mask == value``."""

    value: int
    mask: int

    def matches(self, address: int) -> bool:
        """Whether the 128-bit ``address`` has the pattern's bits."""
        return address & self.mask == self.value


ISATAP_PATTERN = BitPattern(value=0x0000_5EFE << 32, mask=0xFDFF_FFFF << 32)
"""The ISATAP interface identifier with either value of the u bit (RFC 5214 section 6.1)."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The endpoint is inside the IPv6 address, from ``bit_offset`` on (0 is the highest bit).

    Where all endpoints have their first ``common_length`` bits in common, only the others are
    inside (RFC 5969 section 4).
    """

    bit_offset: int
    pattern: BitPattern | None = None
    common: int = 0
    """The bits that all endpoints have in common, in their place; the others are zero."""
    common_length: int = 0
    port_offset: int | None = None
    """Where the 16 bits of the endpoint's UDP port begin; None if the address has none."""
    inverted: bool = False
    """Whether endpoint and port have every bit inverted (RFC 4380 section 4)."""

    @property
    def shift(self) -> int:
        """How far to the right the address has to go."""
        return 96 + self.common_length - self.bit_offset

    @property
    def mask(self) -> int:
        """The bits of the endpoint that the address has then."""
        return _IPV4_MASK >> self.common_length

    def endpoint(self, address: int) -> int | None:
        """The IPv4 endpoint inside the 128-bit ``address``; None where the pattern is absent."""
        if self.pattern is not None and not self.pattern.matches(address):
            return None
        if self.inverted:
            address ^= _IPV6_MASK
        return (address >> self.shift) & self.mask | self.common

    def port(self, address: int) -> int | None:
        """The UDP port inside the 128-bit ``address``; None where addresses have none."""
        if self.port_offset is None:
            return None
        if self.inverted:
            address ^= _IPV6_MASK
        return address >> 112 - self.port_offset & 0xFFFF


ISATAP = Embedded(bit_offset=96, pattern=ISATAP_PATTERN)
COMPATIBLE = Embedded(bit_offset=96, pattern=BitPattern(value=0, mask=_IPV6_MASK ^ _IPV4_MASK))
"""IPv4-compatible addresses, ::w.x.y.z (RFC 2893 section 5)."""
SIXTOFOUR = Embedded(bit_offset=16, pattern=BitPattern(value=0x2002 << 112, mask=0xFFFF << 112))


TEREDO = Embedded(
    bit_offset=96,
    pattern=BitPattern(value=0x2001_0000 << 96, mask=0xFFFF_FFFF << 96),
    port_offset=80,
    inverted=True,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The far end of a tunnel."""

    address: IPv4Address
    port: int = 0
    """UDP port; 0 in protocol 41, which has none."""
    local_port: int = 0
    """The port of ours that it is spoken to from; 0 for the one of ``Encapsulation.port``."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The endpoint is the same for every address under the prefix."""

    address: IPv4Address
    port: int = 0
    """UDP port; 0 in protocol 41, which has none."""


@dataclass(frozen=True, slots=True)
class Peers:
    """The endpoint is that of the inner address in the tunnel's peer table."""


PEERS = Peers()


@dataclass(frozen=True, slots=True)
class Anybody:
    """Any outer source is accepted, such as any 6to4 relay (RFC 3056 section 5.2)."""


ANYBODY = Anybody()


@dataclass(frozen=True, slots=True)
class Listed:
    """Any of some outer sources is accepted (the potential router list, RFC 5214 section 7.3)."""

    addresses: frozenset[IPv4Address]


@dataclass(frozen=True, slots=True)
class ForwardingRule:
    """Where packets for ``prefix`` go; ``selector`` None refuses them."""

    prefix: IPv6Network
    selector: Embedded | Fixed | Peers | None
    name: str
    """Unique within its table; counters and ``explain`` use it."""


@dataclass(frozen=True, slots=True)
class IngressRule:
    """Which outer sources may carry inner sources under ``prefix``: any that a selector names."""

    prefix: IPv6Network
    accept: tuple[Embedded | Listed | Peers | Anybody, ...]
    name: str


@dataclass(frozen=True, slots=True)
class EndpointRule:
    """Whether far ends under ``prefix`` are spoken to and listened to; longest prefix wins."""

    prefix: IPv4Network
    allowed: bool


@dataclass(frozen=True, slots=True)
class NearRule:
    """Which inner addresses under ``prefix`` may be on the near side of the tunnel.

    Those are the sources of what is sent, and the destinations of what is received. An address that
    a rule accepts leads to the near side and no further, so it is never a loop (RFC 6324), even if
    it embeds our endpoint: make rules for prefixes of which this is so.
    """

    prefix: IPv6Network
    accept: Embedded | bool
    """All or none of them; or those that embed our endpoint (RFC 3964 section 5): on the way out
    any of ours, on the way in the one that the outer packet came to."""


ANSWERED = "answered"
"""What a plane has answered itself is counted as if a rule had this name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to every datagram that is alike: Teredo's solicitations (RFC 4380 §5.3.2).

    A plane may answer them itself, with the nonce of the datagram and its origin; what it does not
    answer it hands up.
    """

    request: bytes
    """The IPv6 packet after an authentication encapsulation without a key."""
    destination: IPv4Address
    """Of ours."""
    reply: bytes
    """The IPv6 packet after the same encapsulation and an origin indication."""
    source: IPv4Address
    """Of ours."""


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """How the outer header is written (RFC 4213 section 3)."""

    ttl: int = 64
    dscp: int | None = 0
    """Differentiated services code point, 0 to 63; None copies the inner one (RFC 2983)."""
    dynamic_mtu: bool = False
    """Follow the IPv4 path MTU with DF set (section 3.2.2) or leave DF clear (section 3.2.1)."""
    sources: tuple[Embedded, ...] = ()
    """Selectors tried on the inner source; an address of ours that one names is the outer source,
    because the receiver's ingress check compares the two."""
    default_source: IPv4Address | None = None
    """The outer source otherwise; None leaves the choice to the kernel's routing."""
    port: int = 0
    """Our UDP port (RFC 4380 section 5); 0 encapsulates in protocol 41 (RFC 4213 section 3)."""
    more_ports: frozenset[int] = frozenset()
    """Other UDP ports of ours, for peers that have one to themselves (RFC 6081 section 5.3)."""

    @property
    def ports(self) -> tuple[int, ...]:
        """All UDP ports of ours, the usual one first; 0 alone in protocol 41."""
        return (self.port, *sorted(self.more_ports))

    def local_port(self, port: int) -> int:
        """What an ``Endpoint`` has for a port of ours."""
        return 0 if port == self.port else port

    @property
    def overhead(self) -> int:
        """Octets of the outer headers."""
        return IPV4_HEADER_LENGTH + (UDP_HEADER_LENGTH if self.port else 0)


Rule = TypeVar("Rule", ForwardingRule, IngressRule, EndpointRule, NearRule)


class PrefixIndex(Generic[Rule]):
    """Rules by prefix, to find the longest prefix of an address whatever their number is."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        by_shift: dict[int, dict[int, Rule]] = {}
        for rule in rules:
            shift = rule.prefix.max_prefixlen - rule.prefix.prefixlen
            network = int(rule.prefix.network_address) >> shift
            by_shift.setdefault(shift, {}).setdefault(network, rule)
        self._by_shift: list[tuple[int, dict[int, Rule]]] = sorted(by_shift.items())

    def match(self, address: int) -> Rule | None:
        """The rule with the longest prefix that holds ``address``, of rules with one the first."""
        for shift, rules in self._by_shift:
            rule = rules.get(address >> shift)
            if rule is not None:
                return rule
        return None


@dataclass(frozen=True)
class TunnelTable:
    """All that a plane needs to carry the packets of one tunnel interface."""

    interface: str
    forwarding: tuple[ForwardingRule, ...] = ()
    ingress: tuple[IngressRule, ...] = ()
    encapsulation: Encapsulation = field(default_factory=Encapsulation)
    local_endpoints: frozenset[IPv4Address] = frozenset()
    """Underlay addresses of this tunnel: the outer destinations that it accepts."""
    host_endpoints: frozenset[IPv4Address] = frozenset()
    """Every IPv4 address of the host: none of them may be the far end (RFC 6324)."""
    local_addresses: frozenset[IPv6Address] = frozenset()
    """IPv6 addresses of the tunnel interface; ICMPv6 errors come from one of them."""
    host_addresses: frozenset[IPv6Address] = frozenset()
    """Every IPv6 address of the host: what is for them is never a loop."""
    endpoint_rules: tuple[EndpointRule, ...] = ()
    """Far ends that no rule holds are allowed."""
    source_rules: tuple[NearRule, ...] = ()
    """Inner sources on the way out; those that no rule holds may pass."""
    destination_rules: tuple[NearRule, ...] = ()
    """Inner destinations on the way in; those that no rule holds may pass."""
    automatic: tuple[Embedded, ...] = (ISATAP, SIXTOFOUR)
    """How tunnels of this host and of others find endpoints inside addresses: what would come back
    to this host by one of them is a loop (RFC 6324 section 3.3)."""
    site_prefixes: tuple[IPv6Network, ...] = ()
    """What the host routes within its site, such as 2002:V4::/48 of a 6to4 router: an address there
    is no loop for any tunnel of the host, though it embeds our endpoint."""
    handed_up: frozenset[int] = frozenset()
    """ICMPv6 neighbor discovery types that go to the engine and not to the kernel."""
    on_demand: bool = False
    """Whether an engine finds peers as they are needed: it is given what has no peer on the way out
    and, on the way in, what no rule accepts or is more or less than an IPv6 packet."""
    group: Endpoint | None = None
    """Multicast group and UDP port whose datagrams the engine is given, too (``on_demand``)."""
    answers: tuple[Answer, ...] = ()
    answer_limit: int = 0
    """Answers a second to one IPv4 address; 0 sets no limit."""
    multicast: bool = False
    """Whether multicast is carried, as on a link that has but two ends (RFC 4213 section 3); with
    it goes the unspecified source of duplicate address detection (section 3.6)."""
    ipv4_compatible: bool = False
    """Whether inner addresses may be IPv4-compatible, ::w.x.y.z, which RFC 4213 section 3.6 refuses
    and the automatic tunnels of RFC 2893 section 5 are made of."""

    @cached_property
    def forwarding_index(self) -> PrefixIndex[ForwardingRule]:
        """``forwarding`` by inner destination."""
        return PrefixIndex(self.forwarding)

    @cached_property
    def ingress_index(self) -> PrefixIndex[IngressRule]:
        """``ingress`` by inner source."""
        return PrefixIndex(self.ingress)

    @cached_property
    def endpoint_index(self) -> PrefixIndex[EndpointRule]:
        """``endpoint_rules`` by far end."""
        return PrefixIndex(self.endpoint_rules)

    @cached_property
    def source_index(self) -> PrefixIndex[NearRule]:
        """``source_rules`` by inner source."""
        return PrefixIndex(self.source_rules)

    @cached_property
    def destination_index(self) -> PrefixIndex[NearRule]:
        """``destination_rules`` by inner destination."""
        return PrefixIndex(self.destination_rules)

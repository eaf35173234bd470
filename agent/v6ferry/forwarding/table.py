# SPDX-License-Identifier: GPL-3.0-or-later
"""The forwarding and ingress tables of a tunnel interface: data that every plane executes.

A *forwarding rule* says how to find the IPv4 endpoint for an inner destination; an *ingress rule*
says which outer source may carry which inner source. Both are found by longest prefix. How to get
from an IPv6 address to an IPv4 endpoint is a *selector*; a new technology is a new mixture of
these few selectors, not new code in a plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TypeVar

_IPV4_MASK = 0xFFFF_FFFF


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
        return (address >> self.shift) & self.mask | self.common


ISATAP = Embedded(bit_offset=96, pattern=ISATAP_PATTERN)
SIXTOFOUR = Embedded(bit_offset=16, pattern=BitPattern(value=0x2002 << 112, mask=0xFFFF << 112))


@dataclass(frozen=True, slots=True)
class Fixed:
    """The endpoint is the same for every address under the prefix."""

    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Listed:
    """Any of some outer sources is accepted (the potential router list, RFC 5214 section 7.3)."""

    addresses: frozenset[IPv4Address]


@dataclass(frozen=True, slots=True)
class ForwardingRule:
    """Where packets for ``prefix`` go; ``selector`` None refuses them."""

    prefix: IPv6Network
    selector: Embedded | Fixed | None
    name: str
    """Unique within its table; counters and ``explain`` use it."""


@dataclass(frozen=True, slots=True)
class IngressRule:
    """Which outer sources may carry inner sources under ``prefix``: any that a selector names."""

    prefix: IPv6Network
    accept: tuple[Embedded | Listed, ...]
    name: str


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


@dataclass(frozen=True, slots=True)
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
    handed_up: frozenset[int] = frozenset()
    """ICMPv6 neighbor discovery types that go to the engine and not to the kernel."""


Rule = TypeVar("Rule", ForwardingRule, IngressRule)


def longest_match(rules: Sequence[Rule], address: int) -> Rule | None:
    """The rule with the longest prefix that holds the 128-bit ``address``.

    A walk over the rules: planes remember the answer for each pair of addresses, so this runs
    once a flow and not once a packet.
    """
    best: Rule | None = None
    for rule in rules:
        shift = 128 - rule.prefix.prefixlen
        if address >> shift == int(rule.prefix.network_address) >> shift and (
            best is None or rule.prefix.prefixlen > best.prefix.prefixlen
        ):
            best = rule
    return best

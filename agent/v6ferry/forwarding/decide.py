# SPDX-License-Identifier: GPL-3.0-or-later
"""What a table says of one packet: the reference that every plane must agree with.

Pure functions of addresses. A plane may remember their answer for a pair of addresses until the
table changes; ``explain`` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.table import (
    ISATAP,
    SIXTOFOUR,
    Embedded,
    Fixed,
    ForwardingRule,
    TunnelTable,
    longest_match,
)

ALL_NODES = IPv6Address("ff02::1")
ALL_ROUTERS = IPv6Address("ff02::2")


@dataclass(frozen=True, slots=True)
class Encapsulate:
    """Send to ``endpoint``, from ``source`` or, where that is None, from the kernel's choice."""

    endpoint: IPv4Address
    source: IPv4Address | None
    rule: str


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the inner packet."""

    rule: str
    control_only: bool = False
    """Only neighbor discovery may pass (the inner destination is a link-local multicast group)."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The packet goes no further."""

    reason: DropReason
    rule: str | None = None


def decide_encapsulation(
    table: TunnelTable, source: IPv6Address, destination: IPv6Address
) -> Encapsulate | Drop:
    """Where a packet that was routed into the tunnel interface goes."""
    if destination.is_multicast:
        # ISATAP has no multicast (RFC 5214 section 6.3); what a kernel sends unasked, such as
        # MLD reports, ends here.
        return Drop(DropReason.MULTICAST)
    rule = longest_match(table.forwarding, int(destination))
    if rule is None:
        return Drop(DropReason.NO_RULE)
    endpoint = _endpoint(rule, destination)
    if isinstance(endpoint, DropReason):
        return Drop(endpoint, rule.name)
    if endpoint in table.host_endpoints:
        return Drop(DropReason.LOOP_ENDPOINT, rule.name)
    if not is_unicast_endpoint(endpoint):
        return Drop(DropReason.ENDPOINT_NOT_UNICAST, rule.name)
    if source not in table.host_addresses and _embeds_ours(table, source):
        return Drop(DropReason.LOOP_SOURCE, rule.name)
    return Encapsulate(endpoint, outer_source(table, source), rule.name)


def outer_source(table: TunnelTable, source: IPv6Address) -> IPv4Address | None:
    """The outer source for an inner one: the address it embeds if ours, else the default."""
    for selector in table.encapsulation.sources:
        endpoint = selector.endpoint(int(source))
        if endpoint is not None and IPv4Address(endpoint) in table.local_endpoints:
            return IPv4Address(endpoint)
    return table.encapsulation.default_source


def decide_decapsulation(
    table: TunnelTable,
    outer_source: IPv4Address,
    outer_destination: IPv4Address,
    source: IPv6Address,
    destination: IPv6Address,
) -> Accept | Drop:
    """Whether a packet from the underlay may enter through the tunnel interface."""
    refused = _outer_refused(table, outer_source, outer_destination)
    if refused is not None:
        return Drop(refused)
    if source.is_multicast or _never_on_a_link(source):
        return Drop(DropReason.INNER_SOURCE)
    control_only = destination in (ALL_NODES, ALL_ROUTERS)
    if (destination.is_multicast and not control_only) or _never_on_a_link(destination):
        return Drop(DropReason.INNER_DESTINATION)
    if (
        not destination.is_link_local
        and destination not in table.host_addresses
        and _embeds_ours(table, destination)
    ):
        # Forwarding it would bring it back to us through some tunnel (RFC 6324 section 3.3).
        return Drop(DropReason.LOOP_DESTINATION)
    rule = longest_match(table.ingress, int(source))
    if rule is None:
        return Drop(DropReason.SOURCE_MISMATCH)
    for selector in rule.accept:
        if isinstance(selector, Embedded):
            accepted = selector.endpoint(int(source)) == int(outer_source)
        else:
            accepted = outer_source in selector.addresses
        if accepted:
            return Accept(rule.name, control_only)
    return Drop(DropReason.SOURCE_MISMATCH, rule.name)


def _outer_refused(
    table: TunnelTable, outer_source: IPv4Address, outer_destination: IPv4Address
) -> DropReason | None:
    if outer_destination not in table.local_endpoints:
        return DropReason.OUTER_DESTINATION
    if outer_source in table.host_endpoints:
        return DropReason.OUTER_SOURCE_IS_OURS
    if not is_unicast_endpoint(outer_source):
        return DropReason.OUTER_SOURCE
    return None


def _endpoint(rule: ForwardingRule, destination: IPv6Address) -> IPv4Address | DropReason:
    selector = rule.selector
    if selector is None:
        return DropReason.REFUSED_BY_RULE
    if isinstance(selector, Fixed):
        return selector.address
    endpoint = selector.endpoint(int(destination))
    return DropReason.DESTINATION_NOT_EMBEDDED if endpoint is None else IPv4Address(endpoint)


def _embeds_ours(table: TunnelTable, address: IPv6Address) -> bool:
    return any(endpoint in table.host_endpoints for endpoint in _embedded_endpoints(address))


def _embedded_endpoints(address: IPv6Address) -> Iterator[IPv4Address]:
    """The endpoints that any automatic tunnel would send ``address`` to (RFC 6324 section 3.3)."""
    for selector in (ISATAP, SIXTOFOUR):
        endpoint = selector.endpoint(int(address))
        if endpoint is not None:
            yield IPv4Address(endpoint)


def _never_on_a_link(address: IPv6Address) -> bool:
    """Unspecified, loopback, IPv4-compatible and IPv4-mapped addresses (RFC 4213 section 3.6)."""
    high = int(address) >> 32
    return high in (0, 0xFFFF)

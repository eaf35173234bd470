# SPDX-License-Identifier: GPL-3.0-or-later
"""What a table says of one packet: the reference that every plane must agree with.

Pure functions of addresses. A plane may remember their answer for a pair of addresses until the
table changes; ``explain`` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

from v6ferry.addresses import compatible_ipv4
from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.table import (
    Embedded,
    Endpoint,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    NearRule,
    Peers,
    TunnelTable,
)

PeerTable = Mapping[IPv6Address, Endpoint]
"""Endpoints by inner address."""

NO_PEERS: PeerTable = MappingProxyType({})

ALL_NODES = IPv6Address("ff02::1")
ALL_ROUTERS = IPv6Address("ff02::2")


@dataclass(frozen=True, slots=True)
class Encapsulate:
    """Send to ``endpoint``, from ``source`` or, where that is None, from the kernel's choice."""

    endpoint: IPv4Address
    source: IPv4Address | None
    rule: str
    port: int = 0
    """The UDP port of the endpoint; 0 in protocol 41."""
    local_port: int = 0
    """Ours; 0 for the usual one."""


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
    table: TunnelTable,
    source: IPv6Address,
    destination: IPv6Address,
    peers: PeerTable = NO_PEERS,
) -> Encapsulate | Drop:
    """Where a packet that was routed into the tunnel interface goes."""
    if destination.is_multicast and not table.multicast:
        # ISATAP has no multicast (RFC 5214 section 6.3); what a kernel sends unasked, such as
        # MLD reports, ends here.
        return Drop(DropReason.MULTICAST)
    near = table.source_index.match(int(source))
    if near is not None and not _is_near(near, source, table.local_endpoints):
        return Drop(DropReason.INNER_SOURCE)
    rule = table.forwarding_index.match(int(destination))
    if rule is None:
        return Drop(DropReason.NO_RULE)
    endpoint = _endpoint(rule, destination, peers)
    if isinstance(endpoint, DropReason):
        return Drop(endpoint, rule.name)
    port = endpoint.port if table.encapsulation.port else 0
    if table.encapsulation.port and not port:
        return Drop(DropReason.DESTINATION_NOT_EMBEDDED, rule.name)
    if endpoint.address in table.host_endpoints:
        return Drop(DropReason.LOOP_ENDPOINT, rule.name)
    if not is_unicast_endpoint(endpoint.address):
        return Drop(DropReason.ENDPOINT_NOT_UNICAST, rule.name)
    if not _is_allowed(table, endpoint.address):
        return Drop(DropReason.ENDPOINT_REFUSED, rule.name)
    # What a near rule accepts is ours, such as a prefix on the interfaces behind us: no loop.
    if near is None and source not in table.host_addresses and embeds_ours(table, source):
        return Drop(DropReason.LOOP_SOURCE, rule.name)
    outer = outer_source(table, source)
    local_port = endpoint.local_port if port else 0
    return Encapsulate(endpoint.address, outer, rule.name, port, local_port)


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
    *,
    port: int = 0,
    local_port: int = 0,
    peers: PeerTable = NO_PEERS,
) -> Accept | Drop:
    """Whether a packet from the underlay may enter through the tunnel interface.

    Args:
        table: of the tunnel; the packet has come to a UDP port of its own, if it has any.
        outer_source: of the packet.
        outer_destination: of the packet.
        source: the inner one.
        destination: the inner one.
        port: the UDP port that the packet came from; 0 in protocol 41.
        local_port: the one that it came to; 0 for the usual one.
        peers: of the tunnel.
    """
    refused = outer_refused(table, outer_source, outer_destination)
    if refused is not None:
        return Drop(refused)
    asks_for_itself = table.multicast and source.is_unspecified and destination.is_multicast
    if source.is_multicast or (_never_on_a_link(table, source) and not asks_for_itself):
        return Drop(DropReason.INNER_SOURCE)
    control_only = destination in (ALL_NODES, ALL_ROUTERS) and not table.multicast
    is_refused_group = destination.is_multicast and not (table.multicast or control_only)
    if is_refused_group or _never_on_a_link(table, destination):
        return Drop(DropReason.INNER_DESTINATION)
    near = table.destination_index.match(int(destination))
    if control_only and near is not None and not near.prefix.is_multicast:
        near = None  # only a rule for multicast groups means this one
    if near is not None and not _is_near(near, destination, frozenset({outer_destination})):
        return Drop(DropReason.INNER_DESTINATION)
    if (
        near is None
        and not destination.is_link_local
        and destination not in table.host_addresses
        and embeds_ours(table, destination)
    ):
        # Forwarding it would bring it back to us through some tunnel (RFC 6324 section 3.3).
        return Drop(DropReason.LOOP_DESTINATION)
    rule = table.ingress_index.match(int(source))
    if rule is None:
        return Drop(DropReason.SOURCE_MISMATCH)
    if _accepts(rule, source, Endpoint(outer_source, port, local_port), peers):
        return Accept(rule.name, control_only)
    return Drop(DropReason.SOURCE_MISMATCH, rule.name)


def _accepts(rule: IngressRule, source: IPv6Address, outer: Endpoint, peers: PeerTable) -> bool:
    """Whether a rule lets the outer source carry the inner one."""
    for selector in rule.accept:
        if isinstance(selector, Embedded):
            embedded_port = selector.port(int(source))
            accepted = selector.endpoint(int(source)) == int(outer.address) and (
                embedded_port is None or embedded_port == outer.port
            )
        elif isinstance(selector, Listed):
            accepted = outer.address in selector.addresses
        elif isinstance(selector, Peers):
            accepted = peers.get(source) == outer
        else:
            accepted = True
        if accepted:
            return True
    return False


def outer_refused(
    table: TunnelTable, outer_source: IPv4Address, outer_destination: IPv4Address
) -> DropReason | None:
    """Why nothing is accepted between two endpoints; None where something may be."""
    if outer_destination not in table.local_endpoints:
        return DropReason.OUTER_DESTINATION
    if outer_source in table.host_endpoints:
        return DropReason.OUTER_SOURCE_IS_OURS
    if not is_unicast_endpoint(outer_source):
        return DropReason.OUTER_SOURCE
    if not _is_allowed(table, outer_source):
        return DropReason.ENDPOINT_REFUSED
    return None


def _endpoint(
    rule: ForwardingRule, destination: IPv6Address, peers: PeerTable
) -> Endpoint | DropReason:
    selector = rule.selector
    if selector is None:
        return DropReason.REFUSED_BY_RULE
    if isinstance(selector, Fixed):
        return Endpoint(selector.address, selector.port)
    if isinstance(selector, Peers):
        return peers.get(destination, DropReason.NO_PEER)
    endpoint = selector.endpoint(int(destination))
    if endpoint is None:
        return DropReason.DESTINATION_NOT_EMBEDDED
    return Endpoint(IPv4Address(endpoint), selector.port(int(destination)) or 0)


def _is_allowed(table: TunnelTable, endpoint: IPv4Address) -> bool:
    rule = table.endpoint_index.match(int(endpoint))
    return rule is None or rule.allowed


def _is_near(rule: NearRule, address: IPv6Address, ours: frozenset[IPv4Address]) -> bool:
    """Whether an inner address may be on the near side, where ``ours`` may be embedded in it."""
    if isinstance(rule.accept, bool):
        return rule.accept
    endpoint = rule.accept.endpoint(int(address))
    return endpoint is not None and IPv4Address(endpoint) in ours


def embeds_ours(table: TunnelTable, address: IPv6Address) -> bool:
    """Whether any automatic tunnel would send ``address`` to this host (RFC 6324 section 3.3)."""
    endpoints = (selector.endpoint(int(address)) for selector in table.automatic)
    return any(one is not None and IPv4Address(one) in table.host_endpoints for one in endpoints)


def _never_on_a_link(table: TunnelTable, address: IPv6Address) -> bool:
    """Unspecified, loopback, IPv4-compatible and IPv4-mapped addresses (RFC 4213 section 3.6)."""
    if table.ipv4_compatible and compatible_ipv4(address) is not None:
        return False
    high = int(address) >> 32
    return high in (0, 0xFFFF)

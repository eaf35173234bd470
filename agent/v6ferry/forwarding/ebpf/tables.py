# SPDX-License-Identifier: GPL-3.0-or-later
"""From a tunnel's table to the entries of the BPF maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from v6ferry.forwarding.candidates import Ends
from v6ferry.forwarding.decide import embeds_ours
from v6ferry.forwarding.ebpf import layout
from v6ferry.forwarding.ebpf.layout import Accept, MemberSet, Near, TunnelFlag, Way
from v6ferry.forwarding.table import (
    ANSWERED,
    Anybody,
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
from v6ferry.system.errors import SystemFault

MapEntries = dict[bytes, bytes]

_OTHERS = {Listed: Accept.LISTED, Peers: Accept.PEERS, Anybody: Accept.ANYBODY}


class Identifiers:
    """Numbers for rules: the same for a rule as long as its tunnel has one of its name."""

    def __init__(self, salt: int = 0) -> None:
        self.salt = salt
        """32 bits that say which addresses share a budget of answers: nobody is to know them."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._free: list[int] = []

    def of(self, interface: str, rule: str) -> int:
        """Return the number of a rule."""
        key = (interface, rule)
        number = self._numbers.get(key)
        if number is None:
            number = self._free.pop() if self._free else len(self._numbers) + 1
            self._numbers[key] = number
        return number

    def release(self, interface: str, rules: Iterable[str]) -> None:
        """Give the numbers of rules that are gone to others."""
        for rule in rules:
            self._free.append(self._numbers.pop((interface, rule)))


@dataclass(slots=True)
class TunnelEntries:
    """All that the maps have to hold for a tunnel, but for its counters."""

    rules: dict[str, int]
    """Names and numbers."""
    maps: dict[str, MapEntries] = field(default_factory=dict)


def tunnel_entries(
    table: TunnelTable,
    index: int,
    identifiers: Identifiers,
    *,
    watched: Iterable[IPv4Address] = (),
    hand_up_refused: bool = False,
) -> TunnelEntries:
    """Say what the maps have to hold for a table.

    Args:
        table: of the tunnel.
        index: of its interface.
        identifiers: number the rules.
        watched: endpoints whose next packet the userspace plane wants to see.
        hand_up_refused: leave what no table accepts to others.

    Raises:
        SystemFault: the programs cannot execute the table.
    """
    interface = table.interface
    names = [rule.name for rule in table.forwarding] + [rule.name for rule in table.ingress]
    names += [ANSWERED] if table.answers else []
    entries = TunnelEntries({name: identifiers.of(interface, name) for name in names})
    watched = list(watched)
    entries.maps = {
        "members": _members(table, index, entries.rules, watched),
        "forwarding": {
            layout.prefix_key(index, rule.prefix): _forwarding(rule, entries.rules[rule.name])
            for rule in table.forwarding
        },
        "ingress": {
            layout.prefix_key(index, rule.prefix): _ingress(rule, entries.rules[rule.name])
            for rule in table.ingress
        },
        "near_sources": _near_rules(table.source_rules, index),
        "near_destinations": _near_rules(table.destination_rules, index),
        "endpoints": {
            layout.endpoint_key(index, rule.prefix): layout.index_key(rule.allowed)
            for rule in table.endpoint_rules
        },
        "answers": {
            layout.solicitation(one): layout.answer(
                one, index, table.answer_limit, identifiers.salt, entries.rules[ANSWERED]
            )
            for one in table.answers
            if len(one.request) == layout.SOLICITATION_LENGTH
            and len(one.reply) == layout.ADVERTISEMENT_LENGTH
        },
        "tunnels": {layout.index_key(index): _tunnel(table, bool(watched), hand_up_refused)},
    }
    return entries


def candidate_entries(
    found: Mapping[Ends, tuple[str, ...]], indexes: Mapping[str, int]
) -> MapEntries:
    """Say what the map ``candidates`` has to hold.

    Args:
        found: tunnel interfaces by the endpoints of packets.
        indexes: of tunnel interfaces, by name.
    """
    return {
        layout.candidates_key(
            destination.packed, bytes(4) if source is None else source.packed, port
        ): layout.candidates([indexes[name] for name in names])
        for (destination, source, port), names in found.items()
    }


def _tunnel(table: TunnelTable, watches: bool, hand_up_refused: bool) -> bytes:
    encapsulation = table.encapsulation
    for what, given, most in (
        ("source", encapsulation.sources, layout.SOURCE_SELECTORS),
        ("automatic", table.automatic, layout.AUTOMATIC_SELECTORS),
    ):
        if len(given) > most:
            raise SystemFault(
                f"{table.interface}: the eBPF plane has {most} {what} selectors a tunnel, the table"
                f" {len(given)}"
            )
    flags = TunnelFlag(0)
    if encapsulation.dscp is None:
        flags |= TunnelFlag.COPIES_DSCP
    if encapsulation.dynamic_mtu:
        flags |= TunnelFlag.FOLLOWS_PATH_MTU
    if watches:
        flags |= TunnelFlag.WATCHES_ENDPOINTS
    if hand_up_refused:
        flags |= TunnelFlag.HANDS_UP_REFUSED
    if table.ipv4_compatible:
        flags |= TunnelFlag.CARRIES_COMPATIBLE
    return layout.tunnel(
        flags,
        encapsulation.ttl,
        (encapsulation.dscp or 0) << 2,
        encapsulation.default_source,
        encapsulation.port,
        encapsulation.sources,
        table.automatic,
    )


def _forwarding(rule: ForwardingRule, identifier: int) -> bytes:
    selector = rule.selector
    if selector is None:
        return layout.forwarding_rule(identifier, Way.REFUSED)
    if isinstance(selector, Fixed):
        endpoint = layout.endpoint(Endpoint(selector.address, selector.port))
        return layout.forwarding_rule(identifier, Way.FIXED, endpoint)
    if isinstance(selector, Peers):
        return layout.forwarding_rule(identifier, Way.PEER)
    return layout.forwarding_rule(identifier, Way.EMBEDDED, None, selector)


def _near_rules(rules: Iterable[NearRule], index: int) -> MapEntries:
    return {layout.prefix_key(index, rule.prefix): _near(rule.accept) for rule in rules}


def _near(accept: Embedded | bool) -> bytes:
    if isinstance(accept, bool):
        return layout.near_rule(Near.ACCEPTED if accept else Near.REFUSED)
    return layout.near_rule(Near.EMBEDDED, accept)


def _ingress(rule: IngressRule, identifier: int) -> bytes:
    embedded = tuple(one for one in rule.accept if isinstance(one, Embedded))
    if len(embedded) > layout.ACCEPTED_SELECTORS:
        raise SystemFault(
            f"ingress rule {rule.name}: the eBPF plane has {layout.ACCEPTED_SELECTORS} selectors a"
            f" rule, this one has {len(embedded)}"
        )
    others = Accept(0)
    for one in rule.accept:
        others |= _OTHERS.get(type(one), Accept(0))
    return layout.ingress_rule(identifier, embedded, others)


def _members(
    table: TunnelTable, index: int, rules: Mapping[str, int], watched: Iterable[IPv4Address]
) -> MapEntries:
    # The programs ask for no others, and a host with a thousand tunnels has a thousand addresses,
    # which every tunnel would have.
    asked_for = [one for one in table.host_addresses if embeds_ours(table, one)]
    keys = [
        layout.member_key(index, member_set, address.packed)
        for member_set, addresses in (
            (MemberSet.LOCAL_ENDPOINT, table.local_endpoints),
            (MemberSet.HOST_ENDPOINT, table.host_endpoints),
            (MemberSet.HOST_ADDRESS, asked_for),
            (MemberSet.WATCHED_ENDPOINT, watched),
        )
        for address in addresses
    ]
    keys += [
        layout.member_key(rules[rule.name], MemberSet.LISTED, address.packed)
        for rule in table.ingress
        for one in rule.accept
        if isinstance(one, Listed)
        for address in one.addresses
    ]
    return dict.fromkeys(keys, layout.PRESENT)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnels may accept what comes from the underlay, before they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.forwarding.table import Listed, TunnelTable

Ends = tuple[IPv4Address, IPv4Address | None, int]
"""Outer destination, outer source, and the UDP port of ours that the packet came to.

The source is None for every source that is not there with destination and port; the port is 0 in
protocol 41.
"""


class Candidates:
    """Knows tunnel interfaces by the endpoints of packets, in the order in which to ask them.

    Most tunnels accept from anywhere what their rules allow. But one that lists all its far
    ends, as a configured tunnel does, need not be asked about others: so a thousand of them cost
    no more than one. Nor does a change of one cost more beside a thousand others.
    """

    def __init__(self) -> None:
        self.found: dict[Ends, tuple[str, ...]] = {}
        """Tunnel interfaces by ends; those that came first are asked first."""
        self._positions: dict[str, int] = {}
        self._next_position = 0
        self._ends: dict[str, frozenset[Ends]] = {}
        self._names: dict[Ends, set[str]] = {}
        self._sources: dict[tuple[IPv4Address, int], set[Ends]] = {}
        """Ends with a source, by destination and port."""

    def change(self, name: str, table: TunnelTable) -> None:
        """Have a tunnel with a table, or another table for it, which keeps its place."""
        if name not in self._positions:
            self._positions[name] = self._next_position
            self._next_position += 1
        self._replace(name, frozenset(_ends(table)))

    def remove(self, name: str) -> None:
        """Have a tunnel no more."""
        self._replace(name, frozenset())
        self._positions.pop(name, None)
        self._ends.pop(name, None)

    def _replace(self, name: str, ends: frozenset[Ends]) -> None:
        before, self._ends[name] = self._ends.get(name, frozenset()), ends
        affected: set[Ends] = set()
        for one in before ^ ends:
            names, (destination, source, port) = self._names.setdefault(one, set()), one
            names.symmetric_difference_update((name,))
            affected.add(one)
            with_source = self._sources.setdefault((destination, port), set())
            if source is None:
                affected |= with_source  # who accepts from anybody is asked there, too
            elif names:
                with_source.add(one)
            else:
                with_source.discard(one)
            if not names:
                del self._names[one]
        for one in affected:
            self._find(one)

    def _find(self, ends: Ends) -> None:
        names = self._names.get(ends)
        if not names:
            self.found.pop(ends, None)
            return
        destination, _source, port = ends
        asked = names | self._names.get((destination, None, port), set())
        self.found[ends] = tuple(sorted(asked, key=self._positions.__getitem__))


def _ends(table: TunnelTable) -> Iterator[Ends]:
    sources = _only_sources(table)
    for endpoint in table.local_endpoints:
        for source in (None,) if sources is None else sources:
            for port in table.encapsulation.ports:
                yield endpoint, source, port


def _only_sources(table: TunnelTable) -> frozenset[IPv4Address] | None:
    """All outer sources that a table can accept; None if they are not listed."""
    sources: set[IPv4Address] = set()
    for rule in table.ingress:
        for selector in rule.accept:
            if not isinstance(selector, Listed):
                return None
            # No table accepts from others, and 0.0.0.0 is "any" in the maps of the eBPF plane.
            sources |= set(filter(is_unicast_endpoint, selector.addresses))
    return frozenset(sources) if sources else None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnels may accept what comes from the underlay, before they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.forwarding.table import Listed, TunnelTable

Ends = tuple[IPv4Address, IPv4Address | None, int]
"""Outer destination, outer source, and the UDP port of ours that the packet came to.

The source is None for every source that is not there with destination and port; the port is 0 in
protocol 41.
"""


def candidates(tables: Mapping[str, TunnelTable]) -> dict[Ends, tuple[str, ...]]:
    """Return tunnel interfaces by the endpoints of packets, in the order in which to ask them.

    Most tunnels accept from anywhere what their rules allow. But one that lists all its far
    ends, as a configured tunnel does, need not be asked about others: so a thousand of them cost
    no more than one.

    Args:
        tables: by interface; the order decides where several accept the same packet.
    """
    anybody: dict[tuple[IPv4Address, int], list[str]] = {}
    somebody: dict[tuple[IPv4Address, IPv4Address, int], list[str]] = {}
    order = {name: position for position, name in enumerate(tables)}
    for name, table in tables.items():
        sources, port = _only_sources(table), table.encapsulation.port
        for endpoint in table.local_endpoints:
            if sources is None:
                anybody.setdefault((endpoint, port), []).append(name)
                continue
            for source in sources:
                somebody.setdefault((endpoint, source, port), []).append(name)
    found: dict[Ends, tuple[str, ...]] = {
        (endpoint, None, port): tuple(names) for (endpoint, port), names in anybody.items()
    }
    for (endpoint, source, port), names in somebody.items():
        asked = [*names, *anybody.get((endpoint, port), ())]
        found[endpoint, source, port] = tuple(sorted(asked, key=order.__getitem__))
    return found


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

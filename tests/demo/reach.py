# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom over IPv6: round-trip time, the way the packets took, TCP throughput.

The way is not believed but seen: one capture on the IPv4 router in the middle of the intranet, and
in it the outer addresses of every packet between two IPv6 addresses.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tests.lab import Capture, Lab, LabError, LabHost
from tests.lab.traffic import iperf_server, tcp_bits_per_second

PINGS = 3
_ROUND_TRIP = re.compile(r"= [\d.]+/([\d.]+)/")

Way = frozenset[tuple[IPv4Address, IPv4Address]]
"""Outer source and destination of the packets between two hosts, both directions."""


@dataclass(frozen=True)
class Station:
    """A host and the IPv6 addresses at which others reach it.

    Attributes:
        host: of the lab.
        address: its global address.
        link_local: its link-local address in the tunnel; None if it has no tunnel.
    """

    host: LabHost
    address: IPv6Address
    link_local: IPv6Address | None = None

    @property
    def addresses(self) -> frozenset[IPv6Address]:
        """All of them."""
        return frozenset({self.address, self.link_local} - {None})


@dataclass(frozen=True)
class Pair:
    """From one host to another, by its global or its link-local address."""

    source: Station
    destination: Station
    link_local: bool = False

    @property
    def address(self) -> IPv6Address:
        """The destination's address."""
        address = self.destination.link_local if self.link_local else self.destination.address
        assert address is not None
        return address

    @property
    def target(self) -> str:
        """The address as programs take it."""
        return f"{self.address}%isatap0" if self.link_local else str(self.address)


@dataclass(frozen=True)
class Reach:
    """What was found out of a pair.

    Attributes:
        pair: of what.
        round_trip: milliseconds, the mean; None if an answer is missing.
        way: as the IPv4 router in the middle saw it.
        megabits: TCP payload a second in 10^6 bits; None if it did not connect.
    """

    pair: Pair
    round_trip: float | None
    way: Way
    megabits: float | None

    @property
    def connects(self) -> bool:
        """Whether ping and TCP both work."""
        return self.round_trip is not None and self.megabits is not None

    def is_direct(self) -> bool:
        """Whether every packet went straight from one host to the other."""
        source, destination = self.pair.source.host.host, self.pair.destination.host.host
        return bool(self.way) and all(
            (one in source.addresses and other in destination.addresses)
            or (other in source.addresses and one in destination.addresses)
            for one, other in self.way
        )


def measure(lab: Lab, pairs: Sequence[Pair]) -> list[Reach]:
    """Measure all pairs, one after the other."""
    round_trips: dict[Pair, float | None] = {}
    with lab["core"].capture("any", "proto 41") as capture:
        for pair in pairs:
            round_trips[pair] = _ping(pair)
    ways = _ways(capture)
    with contextlib.ExitStack() as stack:
        for host in {pair.destination.host for pair in pairs}:
            stack.enter_context(iperf_server(host))
        return [
            Reach(pair, round_trips[pair], _way(pair, ways), _throughput(pair)) for pair in pairs
        ]


def _ping(pair: Pair) -> float | None:
    command = ["ping", "-n", "-c", str(PINGS), "-i", "0.05", "-W", "2", pair.target]
    said = pair.source.host.run(command, check=False).stdout
    match = _ROUND_TRIP.search(said)
    return float(match[1]) if match and f" {PINGS} received" in said else None


def _ways(capture: Capture) -> dict[tuple[IPv6Address, IPv6Address], Way]:
    """The outer addresses that carried each pair of inner ones."""
    from scapy.layers.inet import IP  # noqa: PLC0415 - takes most of a second to import
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415

    ways: dict[tuple[IPv6Address, IPv6Address], Way] = {}
    for packet in capture.packets:
        outer, inner = packet.getlayer(IP), packet.getlayer(IPv6)
        if outer is not None and inner is not None:
            ends = (IPv6Address(inner.src), IPv6Address(inner.dst))
            hop = (IPv4Address(outer.src), IPv4Address(outer.dst))
            ways[ends] = ways.get(ends, frozenset()) | {hop}
    return ways


def _way(pair: Pair, ways: Mapping[tuple[IPv6Address, IPv6Address], Way]) -> Way:
    way: Way = frozenset()
    for ends, outer in ways.items():
        if pair.address in ends and any(end in pair.source.addresses for end in ends):
            way |= outer
    return way


def _throughput(pair: Pair) -> float | None:
    """Send TCP for a second; the megabits that arrived."""
    try:
        return tcp_bits_per_second(pair.source.host, pair.target) / 1e6
    except LabError:
        return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom over IPv6: round-trip time, the way the packets took, TCP throughput.

The way is not believed but seen: packets with few hops to live tell where they end, and a capture
on the IPv4 router in the middle has the outer addresses of every packet between two IPv6 addresses.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from tests.lab import Capture, Lab, LabError, LabHost
from tests.lab.traffic import iperf_server, tcp_bits_per_second

PINGS = 3
_ROUND_TRIP = re.compile(r"= [\d.]+/([\d.]+)/")

_HOP = re.compile(r"^From ([0-9a-f:]+)(?:%\w+)? icmp_seq=1 Time exceeded", re.M)
_MOST_HOPS = 8

Outer = frozenset[tuple[IPv4Address, IPv4Address]]
"""Outer source and destination of the packets between two hosts."""


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
        path: the hosts that packets pass, source and destination among them, as they told.
        outer: how packets of both directions crossed the IPv4 router in the middle.
        megabits: TCP payload a second in 10^6 bits; None if it did not connect.
    """

    pair: Pair
    round_trip: float | None
    path: tuple[LabHost, ...]
    outer: Outer
    megabits: float | None

    @property
    def connects(self) -> bool:
        """Whether ping and TCP both work."""
        return self.round_trip is not None and self.megabits is not None

    @property
    def way(self) -> str:
        """The path in words: ``A - ROUTER = B``, with = for a hop through IPv4."""
        words = self.path[0].name.upper()
        for one, other in pairwise(self.path):
            words += f" {'=' if self.outer & _between(one, other) else '-'} {other.name.upper()}"
        return words

    @property
    def strays(self) -> Outer:
        """What went through IPv4 elsewhere than along the path."""
        hops = (_between(*two) | _between(*reversed(two)) for two in pairwise(self.path))
        return self.outer.difference(*hops)


def _between(one: LabHost, other: LabHost) -> Outer:
    return frozenset(
        (source, destination)
        for source in one.host.addresses
        for destination in other.host.addresses
        if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address)
    )


def measure(lab: Lab, pairs: Sequence[Pair]) -> list[Reach]:
    """Measure all pairs, one after the other."""
    round_trips: dict[Pair, float | None] = {}
    owners = _owners(lab)
    with lab["core"].capture("any", "proto 41") as capture:
        for pair in pairs:
            round_trips[pair] = _ping(pair)
    outer = _outer(capture)
    paths = {pair: _path(pair, owners) for pair in pairs}
    with contextlib.ExitStack() as stack:
        for host in {pair.destination.host for pair in pairs}:
            stack.enter_context(iperf_server(host))
        return [
            Reach(pair, round_trips[pair], paths[pair], _of(pair, outer), _throughput(pair))
            for pair in pairs
        ]


def _owners(lab: Lab) -> dict[IPv6Address, LabHost]:
    """Whose an address is."""
    return {
        IPv6Address(one["local"]): host
        for host in lab.hosts
        for link in json.loads(host.run(["ip", "-j", "-6", "address"]).stdout)
        for one in link.get("addr_info", ())
    }


def _path(pair: Pair, owners: Mapping[IPv6Address, LabHost]) -> tuple[LabHost, ...]:
    """Ask with ever more hops to live, until the destination answers or nobody does."""
    path = [pair.source.host]
    for hops in range(1, _MOST_HOPS + 1):
        command = ["ping", "-n", "-c", "1", "-W", "2", "-t", str(hops), pair.target]
        done = pair.source.host.run(command, check=False)
        if done.returncode == 0:
            return (*path, pair.destination.host)
        told = _HOP.search(done.stdout)
        if told is None:
            break
        path.append(owners[IPv6Address(told[1])])
    return tuple(path)


def _ping(pair: Pair) -> float | None:
    command = ["ping", "-n", "-c", str(PINGS), "-i", "0.05", "-W", "2", pair.target]
    said = pair.source.host.run(command, check=False).stdout
    match = _ROUND_TRIP.search(said)
    return float(match[1]) if match and f" {PINGS} received" in said else None


def _outer(capture: Capture) -> dict[tuple[IPv6Address, IPv6Address], Outer]:
    """The outer addresses that carried each pair of inner ones."""
    from scapy.layers.inet import IP  # noqa: PLC0415 - takes most of a second to import
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415

    found: dict[tuple[IPv6Address, IPv6Address], Outer] = {}
    for packet in capture.packets:
        outer, inner = packet.getlayer(IP), packet.getlayer(IPv6)
        if outer is not None and inner is not None:
            ends = (IPv6Address(inner.src), IPv6Address(inner.dst))
            hop = (IPv4Address(outer.src), IPv4Address(outer.dst))
            found[ends] = found.get(ends, frozenset()) | {hop}
    return found


def _of(pair: Pair, found: Mapping[tuple[IPv6Address, IPv6Address], Outer]) -> Outer:
    return frozenset().union(
        *(
            outer
            for ends, outer in found.items()
            if pair.address in ends and any(end in pair.source.addresses for end in ends)
        )
    )


def _throughput(pair: Pair) -> float | None:
    """Send TCP for a second; the megabits that arrived."""
    try:
        return tcp_bits_per_second(pair.source.host, pair.target) / 1e6
    except LabError:
        return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""An IPv4 Internet and an IPv6 one beside it, in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from itertools import count
from typing import Protocol

from v6ferry.forwarding.table import Endpoint

LINK_DELAY = 0.010
"""Seconds from a host or NAT to the core; so a round trip between two of them takes 40 ms."""
NATIVE_DELAY = 0.001
"""Seconds between native IPv6 hosts, relays and servers, which are neighbours."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A datagram on its way."""

    time: float
    source: Endpoint
    destination: Endpoint
    payload: bytes


class Ipv4Node(Protocol):
    """Whoever has an IPv4 address."""

    def receive(self, carried: Carried) -> None: ...


class Internet:
    """Carries datagrams by IPv4 address, and packets by IPv6 prefix."""

    def __init__(self) -> None:
        self.now = 0.0
        self.carried: list[Carried] = []
        """All datagrams that arrived somewhere in the core, in order."""
        self.remembers = True
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._nodes: dict[IPv4Address, Ipv4Node] = {}
        self._routes: list[tuple[IPv6Network, Callable[[bytes], None]]] = []

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (max(when, self.now), next(self._serial), what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            when, _serial, what = heapq.heappop(self._events)
            self.now = max(self.now, when)  # a clock that has jumped does not go back
            what()
        self.now = end

    def attach(self, address: IPv4Address, node: Ipv4Node) -> None:
        """Have ``node`` receive what is sent to an IPv4 address."""
        self._nodes[address] = node

    def detach(self, address: IPv4Address) -> None:
        """Nobody has the address any more."""
        del self._nodes[address]

    def route(self, prefix: IPv6Network, receive: Callable[[bytes], None]) -> None:
        """Have somebody receive native IPv6 packets; the longest prefix wins."""
        self._routes.append((prefix, receive))
        self._routes.sort(key=lambda entry: -entry[0].prefixlen)

    def send(self, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        """Carry a datagram; to an address that nobody has, it is lost."""
        self.at(self.now + LINK_DELAY, lambda: self._through_core(source, destination, payload))

    def _through_core(self, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        carried = Carried(self.now, source, destination, payload)
        if self.remembers:
            self.carried.append(carried)
        node = self._nodes.get(destination.address)
        if node is not None:
            self.at(self.now + LINK_DELAY, lambda: node.receive(carried))

    def send_native(self, packet: bytes) -> None:
        """Carry an IPv6 packet."""
        destination = IPv6Address(packet[24:40])
        receive = next((one for prefix, one in self._routes if destination in prefix), None)
        if receive is not None:
            self.at(self.now + NATIVE_DELAY, lambda: receive(packet))

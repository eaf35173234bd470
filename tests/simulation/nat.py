# SPDX-License-Identifier: GPL-3.0-or-later
"""Network address translators by what RFC 4787 tells them apart by: mapping and filtering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from random import Random

from v6ferry.forwarding.table import Endpoint

from tests.simulation.internet import Carried, Internet, Ipv4Node

FIRST_PORT, LAST_PORT = 10000, 29999


class Kind(str, Enum):
    """Kinds of NAT; the value is the name."""

    NONE = "none"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    PORT_PRESERVING = "port-preserving symmetric"
    SEQUENTIAL = "sequential symmetric"


_SYMMETRIC = (Kind.SYMMETRIC, Kind.PORT_PRESERVING, Kind.SEQUENTIAL)


@dataclass(slots=True)
class _Mapping:
    inside: Endpoint
    port: int
    used: float
    spoken_to: set[Endpoint] = field(default_factory=set)


class Nat:
    """A NAT with one outside address; hosts inside have any addresses.

    Args:
        internet: outside; or another NAT, and this one is inside it.
        address: outside.
        kind: of NAT.
        random: chooses ports.
        timeout: seconds without an outgoing packet after which a mapping is gone.
        hairpin: whether hosts inside reach each other by the outside address.
    """

    def __init__(
        self,
        internet: Internet | Nat,
        address: IPv4Address,
        kind: Kind,
        random: Random,
        *,
        timeout: float = 180.0,
        hairpin: bool = False,
    ) -> None:
        self.internet = internet
        self.address = address
        self.kind = kind
        self._random = random
        self._timeout = timeout
        self._hairpin = hairpin
        self._next_port = FIRST_PORT
        self._mappings: dict[object, _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._inside: dict[IPv4Address, Ipv4Node] = {}
        internet.attach(address, self)

    @property
    def now(self) -> float:
        """The time, for NATs inside."""
        return self.internet.now

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do something at a time, for NATs inside."""
        self.internet.at(when, what)

    def attach(self, address: IPv4Address, node: Ipv4Node) -> None:
        """Have a host inside, or another NAT."""
        self._inside[address] = node

    def reboot(self) -> None:
        """Forget all mappings; the next ones have other ports."""
        self._mappings.clear()
        self._by_port.clear()

    def send(self, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        """Send what comes from inside."""
        neighbour = self._inside.get(destination.address)
        if neighbour is not None:
            carried = Carried(self.internet.now, source, destination, payload)
            self.internet.at(self.internet.now + 0.001, lambda: neighbour.receive(carried))
            return
        if destination.address.is_multicast:
            for address, node in self._inside.items():
                if address != source.address:
                    node.receive(Carried(self.internet.now, source, destination, payload))
            return
        mapping = self._mapping(source, destination)
        mapping.used = self.internet.now
        mapping.spoken_to.add(destination)
        outside = Endpoint(self.address, mapping.port)
        if destination.address == self.address:
            if self._hairpin:
                self.receive(Carried(self.internet.now, outside, destination, payload))
            return
        self.internet.send(outside, destination, payload)

    def receive(self, carried: Carried) -> None:
        """Let in what comes from outside, or not."""
        mapping = self._by_port.get(carried.destination.port)
        if mapping is None or self._is_gone(mapping) or not self._lets_in(mapping, carried.source):
            return
        node = self._inside.get(mapping.inside.address)
        if node is not None:
            node.receive(
                Carried(self.internet.now, carried.source, mapping.inside, carried.payload)
            )

    def _is_gone(self, mapping: _Mapping) -> bool:
        return self.internet.now - mapping.used > self._timeout

    def _mapping(self, source: Endpoint, destination: Endpoint) -> _Mapping:
        key = (source, destination) if self.kind in _SYMMETRIC else source
        known = self._mappings.get(key)
        if known is not None and not self._is_gone(known):
            return known
        if known is not None:
            self._by_port.pop(known.port, None)
        mapping = _Mapping(source, self._choose(source.port), self.internet.now)
        self._mappings[key] = self._by_port[mapping.port] = mapping
        return mapping

    def _choose(self, inside: int) -> int:
        if self.kind is Kind.PORT_PRESERVING and self._is_free(inside):
            return inside
        if self.kind is Kind.SEQUENTIAL:
            while not self._is_free(self._next_port):
                self._next_port += 1
            return self._next_port
        while True:
            port = self._random.randint(FIRST_PORT, LAST_PORT)
            if self._is_free(port):
                return port

    def _is_free(self, port: int) -> bool:
        return port not in self._by_port or self._is_gone(self._by_port[port])

    def _lets_in(self, mapping: _Mapping, source: Endpoint) -> bool:
        if self.kind is Kind.FULL_CONE:
            return True
        if self.kind is Kind.ADDRESS_RESTRICTED:
            return any(one.address == source.address for one in mapping.spoken_to)
        return source in mapping.spoken_to

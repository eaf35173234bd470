# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients on one link find each other without their server (RFC 4380 section 5.2.8).

Each says now and then, in a bubble to an IPv4 multicast group, which address it has. Only a client
behind the same NAT is believed: whoever is on the link could claim any other address, too. Our
bubbles carry a nonce (RFC 6081 section 4.2), so that an answer is known although its sender's own
bubble to the group has not been heard.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Protocol

from v6ferry.engines.teredo.node import SHORTEST_ANSWER
from v6ferry.engines.teredo.outbox import addresses_of
from v6ferry.engines.teredo.peers import Peer, PeerList, stranger
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.teredo import TEREDO_PORT, TeredoDatagram, Trailers, bubble, is_bubble

GROUP = Endpoint(IPv4Address("224.0.0.253"), TEREDO_PORT)
"""The Teredo IPv4 discovery address (section 2.17)."""
ALL_NODES = IPv6Address("ff02::1")
SHORTEST_INTERVAL, LONGEST_INTERVAL = 200.0, 300.0
"""Seconds between two bubbles to the group, at random so that a link's clients are not in step."""


class Neighbour(Protocol):
    """What discovery needs of its client."""

    peers: PeerList

    def discoverable_address(self) -> IPv6Address | None:
        """Our address, if it is to be said on the link."""

    def endpoints(self) -> tuple[IPv4Address, ...]:
        """Our IPv4 addresses."""

    def shares_nat(self, peer: Peer) -> bool:
        """Whether a peer is behind our own NAT."""

    def send(
        self, datagram: TeredoDatagram, endpoint: Endpoint, source: IPv4Address | None = None
    ) -> None:
        """Send a datagram from one of our addresses."""

    def send_direct_bubble(self, peer: Peer, endpoint: Endpoint, now: float) -> None:
        """Send a bubble straight to a peer."""


class LocalDiscovery:
    """Says on the link that a client is there, and hears others say so.

    Args:
        client: whose discovery it is.
        random: makes the nonce and chooses times.
    """

    def __init__(self, client: Neighbour, random: Random) -> None:
        self._client = client
        self._random = random
        self._nonce = self._random.getrandbits(32)
        self._due: float | None = None

    def group(self) -> Endpoint | None:
        """What the client listens to besides."""
        return GROUP if self._client.discoverable_address() is not None else None

    def announce(self, now: float) -> None:
        """Say on every link of ours that we are there; the next time comes by itself."""
        address, self._due = self._client.discoverable_address(), None
        if address is None:
            return
        self._due = now + self._random.uniform(SHORTEST_INTERVAL, LONGEST_INTERVAL)
        datagram = TeredoDatagram(bubble(address, ALL_NODES), trailers=Trailers(nonce=self._nonce))
        for source in self._client.endpoints():
            self._client.send(datagram, GROUP, source)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._due is not None and now >= self._due:
            self.announce(now)

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` has something to do."""
        return self._due

    def receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        """A datagram has come to the group: its sender is on our link, and hears so.

        Returns:
            Why it is discarded, if it is.
        """
        address, destination = addresses_of(datagram.packet)
        if not is_bubble(datagram.packet) or destination != ALL_NODES:
            return "no discovery bubble to the discovery group"
        if not self._is_neighbour(address, source):
            return "discovery bubble of somebody who is not behind our NAT"
        peer = self._client.peers.find(address)
        self._client.peers.use(peer, now)
        peer.local_endpoint = source
        if datagram.trailers.nonce is not None:
            peer.their_nonce = datagram.trailers.nonce
        if now - peer.last_direct >= SHORTEST_ANSWER:
            self._client.send_direct_bubble(peer, source, now)
        return None

    def note_answer(self, datagram: TeredoDatagram, source: Endpoint) -> None:
        """Whoever repeats the nonce of our bubble to the group is on our link."""
        address, _destination = addresses_of(datagram.packet)
        if datagram.trailers.nonce == self._nonce and self._is_neighbour(address, source):
            self._client.peers.find(address).local_endpoint = source

    def _is_neighbour(self, address: IPv6Address, source: Endpoint) -> bool:
        """Whether an address is behind our NAT, and its sender is not beyond it."""
        ours = self._client.discoverable_address()
        peer = self._client.peers.get(address) or stranger(address)
        parts = peer.parts
        return (
            ours not in (None, address)
            and parts is not None
            and self._client.shares_nat(peer)
            and source.address != parts.client
        )

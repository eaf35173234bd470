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

from v6ferry.engines.teredo.node import SHORTEST_ANSWER
from v6ferry.engines.teredo.outbox import addresses_of
from v6ferry.engines.teredo.symmetric import PredictingNode
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.parser import WireError
from v6ferry.wire.teredo import TEREDO_PORT, TeredoDatagram, Trailers, bubble, is_bubble

GROUP = Endpoint(IPv4Address("224.0.0.253"), TEREDO_PORT)
"""The Teredo IPv4 discovery address (section 2.17)."""
ALL_NODES = IPv6Address("ff02::1")
SHORTEST_INTERVAL, LONGEST_INTERVAL = 200.0, 300.0
"""Seconds between two bubbles to the group, at random so that a link's clients are not in step."""


class DiscoveringNode(PredictingNode):
    """A node that says on its link that it is there.

    Args:
        random: makes nonces and chooses ports and times.
        now: the time at which the engine starts.
        globally_unique: whether only globally unique IPv4 addresses are spoken to.
        most_peers: that are remembered.
    """

    def __init__(
        self, random: Random, now: float, *, globally_unique: bool, most_peers: int
    ) -> None:
        super().__init__(random, now, globally_unique=globally_unique, most_peers=most_peers)
        self._discovery_nonce = self._random.getrandbits(32)
        self._discover_at: float | None = None

    def _discoverable(self) -> IPv6Address | None:
        """Our address, if it is to be said on the link."""
        raise NotImplementedError

    def _group(self) -> Endpoint | None:
        """What we listen to besides."""
        return GROUP if self._discoverable() is not None else None

    def _discover(self, now: float) -> None:
        """Say on every link of ours that we are there; the next time comes by itself."""
        address, self._discover_at = self._discoverable(), None
        if address is None:
            return
        interval = self._random.uniform(SHORTEST_INTERVAL, LONGEST_INTERVAL)
        self._discover_at = now + interval
        trailers = Trailers(nonce=self._discovery_nonce)
        for source in self._endpoints():
            self._send(TeredoDatagram(bubble(address, ALL_NODES), trailers=trailers), GROUP, source)

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        super().handle_timer(now)
        if self._discover_at is not None and now >= self._discover_at:
            self._discover(now)

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        times = (super().next_deadline(), self._discover_at)
        return min((one for one in times if one is not None), default=None)

    def receive_datagram(
        self, payload: bytes, source: Endpoint, destination: IPv4Address, now: float
    ) -> None:
        """See ``DatagramEngine.receive_datagram``."""
        if destination != GROUP.address:
            super().receive_datagram(payload, source, destination, now)
            return
        if source.address in self._facts.host_endpoints:
            return  # our own
        try:
            why = self._discovered(TeredoDatagram.parse(payload), source, now)
        except WireError as error:
            why = f"bad {error.field}"
        if why is not None:
            self._discard(why)

    def _discovered(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        """A bubble has come to the group: its sender is on our link, and hears so."""
        address, destination = addresses_of(datagram.packet)
        if not is_bubble(datagram.packet) or destination != ALL_NODES:
            return "no discovery bubble to the discovery group"
        if self._discoverable() is None or not self._is_neighbour(address, source):
            return "discovery bubble of somebody who is not behind our NAT"
        peer = self._peer(address)
        self._use(peer, now)
        peer.local_endpoint = source
        if datagram.trailers.nonce is not None:
            peer.their_nonce = datagram.trailers.nonce
        if now - peer.last_direct >= SHORTEST_ANSWER:
            self._send_direct_bubble(peer, source, now)
        return None

    def _is_neighbour(self, address: IPv6Address, source: Endpoint) -> bool:
        """Whether an address is behind our NAT, and its sender is not beyond it."""
        peer = self._peers.get(address) or self._stranger(address)
        parts = peer.parts
        return (
            parts is not None
            and self._shares_nat(peer)
            and source.address != parts.client
            and address != self._discoverable()
        )

    def _receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        address, _destination = addresses_of(datagram.packet)
        if (
            datagram.trailers.nonce == self._discovery_nonce
            and self._discoverable() is not None
            and self._is_neighbour(address, source)
        ):
            self._peer(address).local_endpoint = source
        return super()._receive(datagram, source, now)

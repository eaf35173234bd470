# SPDX-License-Identifier: GPL-3.0-or-later
"""The peers of a Teredo node (RFC 4380 section 5.2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from math import inf
from random import Random
from typing import Any

from v6ferry.addresses.teredo import TeredoAddress, decode
from v6ferry.forwarding.table import Endpoint
from v6ferry.forwarding.tunnel import PeerChanges

TRUST = 30.0
"""Seconds after a reception in which packets go to the peer without more ado (section 5.2)."""
LIFETIME = 600.0
"""Seconds that a peer is remembered without a packet."""
MOST_TELLINGS = 8
"""Random ports that a peer may tell in ``TRUST`` seconds and have acted on."""
QUEUE_LENGTH = 16
"""Packets kept for a peer that is being found."""


@dataclass(slots=True)
class Peer:
    """What a node knows of one IPv6 address at the far end.

    Times are seconds on the engine's clock; those of what has never been are -inf.
    """

    address: IPv6Address
    nonce: int
    """The 32 bits by which we know answers to our bubbles (RFC 6081 section 5.1)."""
    parts: TeredoAddress | None = None
    """None for a native host."""
    endpoint: Endpoint | None = None
    """Where it has been heard from, or is to be found."""
    trusted: bool = False
    last_reception: float = -inf
    last_use: float = -inf
    their_nonce: int | None = None
    """The one by which it knows our answers."""
    local_endpoint: Endpoint | None = None
    """Where it is on our own link, as it says there (section 5.2.8)."""
    alternates: tuple[Endpoint, ...] = ()
    """Where else it may be, as it says (RFC 6081 section 5.5)."""
    attempts: int = 0
    """Bubbles or echo requests sent since it was heard last."""
    last_attempt: float = -inf
    solicited_at: float | None = None
    """When it was asked straight after a silence (RFC 6081 section 5.6), and has not answered."""
    last_direct: float = -inf
    """When anything was sent straight to it."""
    last_indirect: float = -inf
    echo_data: bytes | None = None
    """By which we know the answer to our echo request (section 5.2.9)."""
    outgoing: list[bytes] = field(default_factory=list)
    """Packets that wait until it is found, in order."""
    incoming: list[tuple[Endpoint, bytes]] = field(default_factory=list)
    """Packets that wait until it is certain that they are the peer's."""
    last_answer: float = -inf
    """When a bubble of it, through our server, was answered last."""
    admitted: bool = False
    """Whether the plane's peer table has it."""
    admitted_until: float = -inf
    unheard_since: float | None = None
    """When a packet was sent to it that nothing has answered."""
    random_port: int | None = None
    """Where its NAT has it for us, as it says (RFC 6081 section 4.5)."""
    told_at: float = -inf
    tellings: int = 0
    """How often it has said something else, lately."""
    local_port: int = 0
    """A port of ours that it has to itself (RFC 6081 section 5.3); 0 for the usual one."""
    foreseen_port: int | None = None
    """Where our NAT has us for it, as we tell it."""
    pinned_to: Endpoint | None = None
    """Where we have sent to from that port, first of all."""
    pinned_at: float = -inf
    is_offer: bool = False
    """Whether we have told of that port but sent nothing from it yet."""

    def is_reachable(self, now: float) -> bool:
        """Whether packets may be sent to it at once."""
        return self.trusted and now - self.last_reception < TRUST

    def says_it_is_at(self, endpoint: Endpoint) -> bool:
        """Whether its address tells an endpoint, or the peer itself (RFC 6081 section 4.5)."""
        parts = self.parts
        if parts is None or endpoint.address != parts.client:
            return False
        return endpoint.port in (parts.port, self.random_port)

    def is_surely_at(self, endpoint: Endpoint) -> bool:
        """Whether it has been heard from an endpoint for sure, or says on our link it is there."""
        return endpoint == self.local_endpoint or (self.trusted and endpoint == self.endpoint)

    def told_random_port(self, port: int | None, now: float) -> bool:
        """It may have said where its NAT has it; return whether that is news to act on."""
        if port is None:
            return False
        is_news = port != self.random_port or now - self.told_at >= TRUST
        if now - self.told_at >= TRUST:
            self.tellings = 0
        self.random_port, self.told_at = port, now
        self.tellings += is_news
        return is_news and self.tellings <= MOST_TELLINGS

    def is_at(self, local_port: int) -> bool:
        """Whether it is spoken to from a port of ours."""
        return self.endpoint is not None and self.endpoint.local_port == local_port

    def from_its_port(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint, to be spoken to from the port that the peer has to itself."""
        return replace(endpoint, local_port=self.local_port)

    @property
    def waits(self) -> bool:
        """Whether packets wait for it."""
        return bool(self.outgoing or self.incoming)

    def trust(self, endpoint: Endpoint, now: float) -> None:
        """It is certain that the peer has sent from ``endpoint`` just now."""
        self.endpoint, self.trusted = endpoint, True
        self.last_reception = self.last_use = now
        self.attempts, self.last_attempt, self.is_offer = 0, -inf, False
        self.solicited_at = None

    def keep(self, packet: bytes) -> bool:
        """Keep a packet for it; False if an older one had to go."""
        self.outgoing.append(packet)
        if len(self.outgoing) <= QUEUE_LENGTH:
            return True
        del self.outgoing[0]
        return False


class PeerList:
    """Peers by address, with room for so many and no more; the plane knows those *admitted*.

    Args:
        most: peers that are trusted, and as many again that are not: whoever makes peers up can
            push out other strangers only.
        random: makes nonces.
    """

    def __init__(self, most: int, random: Random) -> None:
        self.most = most
        self._random = random
        self._trusted: OrderedDict[IPv6Address, Peer] = OrderedDict()
        self._strangers: OrderedDict[IPv6Address, Peer] = OrderedDict()
        self._changes: dict[IPv6Address, Endpoint | None] = {}

    def __len__(self) -> int:
        return len(self._trusted) + len(self._strangers)

    def __iter__(self) -> Iterator[Peer]:
        yield from self._trusted.values()
        yield from self._strangers.values()

    def get(self, address: IPv6Address) -> Peer | None:
        """The peer with an address, if known."""
        return self._trusted.get(address) or self._strangers.get(address)

    def find(self, address: IPv6Address) -> Peer:
        """The peer with an address; one that is not known yet is made."""
        known = self.get(address)
        if known is not None:
            return known
        peer = Peer(address, self._random.getrandbits(32), decode(address))
        self._strangers[address] = peer
        self._shrink(self._strangers)
        return peer

    def use(self, peer: Peer, now: float) -> None:
        """The peer is in use, which keeps it longer than others."""
        peer.last_use = now
        if not peer.trusted:
            self._strangers.move_to_end(peer.address)
            return
        self._strangers.pop(peer.address, None)
        self._trusted[peer.address] = peer
        self._trusted.move_to_end(peer.address)
        self._shrink(self._trusted)

    def remove(self, peer: Peer) -> None:
        """Forget a peer."""
        self.dismiss(peer)
        self._trusted.pop(peer.address, None)
        self._strangers.pop(peer.address, None)

    def admit(self, peer: Peer, endpoint: Endpoint, until: float) -> None:
        """Have the plane carry packets between us and a peer."""
        self._changes[peer.address] = endpoint
        peer.admitted, peer.admitted_until = True, until

    def dismiss(self, peer: Peer) -> None:
        """Have the plane hand us the packets from and to a peer."""
        if peer.admitted:
            self._changes[peer.address] = None
            peer.admitted = False

    def changes(self) -> PeerChanges:
        """What the plane has to know; each is returned once."""
        taken, self._changes = self._changes, {}
        return taken

    def stale(self, now: float) -> list[Peer]:
        """Peers that nothing was heard of or sent to for ten minutes."""
        return [
            peer
            for group in (self._trusted, self._strangers)
            for peer in _oldest(group, now - LIFETIME)
        ]

    def snapshot(self) -> list[list[Any]]:
        """Peers that are known for sure, for a successor in the same boot."""
        return [
            [
                str(one.address),
                str(one.endpoint.address),
                one.endpoint.port,
                one.last_reception,
                one.endpoint.local_port,
            ]
            for one in self
            if one.trusted and one.endpoint is not None
        ]

    def _shrink(self, group: OrderedDict[IPv6Address, Peer]) -> None:
        if len(group) > self.most:
            self.dismiss(group.popitem(last=False)[1])


def _oldest(group: OrderedDict[IPv6Address, Peer], before: float) -> Iterator[Peer]:
    for peer in group.values():
        if peer.last_use >= before:
            return
        yield peer


def stranger(address: IPv6Address) -> Peer:
    """Someone of whom nothing is known, and nothing is to be remembered."""
    return Peer(address, 0, decode(address))


def mapped_endpoint(parts: TeredoAddress) -> Endpoint:
    """Return where a client's server saw it."""
    return Endpoint(parts.client, parts.port)

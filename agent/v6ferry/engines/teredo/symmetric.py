# SPDX-License-Identifier: GPL-3.0-or-later
"""Being found behind a symmetric NAT whose choice of ports can be foreseen.

A symmetric NAT has another external port for every peer, and a peer whose own NAT lets in only what
comes from a port that it has sent to has to be told that port before it is used. RFC 6081 sections
5.3 (port-preserving symmetric NATs) and 5.4 (sequential port-symmetric NATs): we speak to each peer
from a port of ours that has been used for nothing else, and the random port trailer of our indirect
bubbles tells the port that the NAT then chooses:

- a *port-preserving* NAT chooses the same one, if it is free;
- a *sequential* NAT the next one: we ask one address of our server where it sees us, send the
  bubble to the peer, and ask the other address (the echo test). What lies between is the port.

Two such clients reach each other, too, though neither port is final before the other is known: the
one with the lower address *pins* its port, which is to send from it to where the other will be; the
other one *offers* a port that it has not sent from yet, and does once it hears where to. RFC 6081
leaves open who does what, and others than these two are as it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from math import inf
from random import Random
from typing import Protocol

from v6ferry.engines.teredo.node import ATTEMPTS, SWEEP
from v6ferry.engines.teredo.peers import TRUST, Peer, PeerList
from v6ferry.engines.teredo.qualification import (
    LINK_LOCAL,
    Secret,
    Server,
    make_solicitation,
    refusal,
)
from v6ferry.engines.teredo.tables import MORE_PORTS
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.teredo import (
    NONCE_LENGTH,
    TEREDO_PORT,
    TeredoDatagram,
)

MOST_PORTS = 256
"""Ports of ours for single peers; whoever comes later is spoken to from the usual one."""
_PORTS_AT_ONCE = 8
LARGEST_STEP = 16
"""Between two ports of a sequential NAT, for others behind it have new ones meanwhile."""
_KEPT = 20.0
"""Seconds for which a NAT surely remembers what was sent through it."""
_OFFER_PATIENCE = 1.0
"""Seconds in which a peer uses what it was offered."""
_MOST_TESTS = 64
_TEST_LIFETIME, _TEST_PATIENCE = 4.0, 1.0
"""Seconds for which an answer of the server is taken, and is waited for."""


class PortChoice(str, Enum):
    """How a NAT chooses external ports, as far as is known."""

    UNKNOWN = "unknown"
    PRESERVING = "preserving"
    SEQUENTIAL = "sequential"
    RANDOM = "random"


def port_choice(local: int, first: int, second: int | None) -> PortChoice:
    """How a NAT chooses ports.

    Args:
        local: our own.
        first: the one that our server sees us at.
        second: the one that its other address sees us at; None if that is not known.
    """
    if first == local:
        return PortChoice.PRESERVING
    if second is None or second == first:
        return PortChoice.UNKNOWN
    return PortChoice.SEQUENTIAL if 0 < second - first <= LARGEST_STEP else PortChoice.RANDOM


@dataclass(slots=True)
class _EchoTest:
    """Where our server sees a port of ours, before and after a bubble was sent from it."""

    peer: IPv6Address
    local_port: int
    began: float
    nonces: tuple[bytes, ...]
    """One for each address of the server that was asked."""
    seen: dict[bytes, int]
    """External ports, by nonce."""


class Speaker(Protocol):
    """What prediction needs of its client."""

    peers: PeerList

    def symmetric_choice(self) -> PortChoice | None:
        """How the symmetric NAT before us chooses ports; None if there is no such NAT."""

    def asked_server(self) -> tuple[Server, Secret | None] | None:
        """Our server, and what we share with it."""

    def reserved_ports(self) -> tuple[int, ...]:
        """Ports of ours that no peer may have to itself."""

    def ports_changed(self) -> None:
        """Other ports are ours by now than the plane knows of."""

    def address_for(self, peer: Peer) -> IPv6Address | None:
        """The source of our bubbles to a peer; None if there is none yet."""

    def shares_nat(self, peer: Peer) -> bool:
        """Whether a peer is behind our own NAT."""

    def may_be_far_end(self, endpoint: Endpoint) -> bool:
        """Whether Teredo speaks to an endpoint."""

    def send(self, datagram: TeredoDatagram, endpoint: Endpoint) -> None:
        """Send a datagram from the port that the endpoint says."""

    def send_usual_bubbles(self, peer: Peer, now: float) -> None:
        """Send bubbles from our usual port to where a peer is, or may be."""

    def send_direct_bubble(self, peer: Peer, endpoint: Endpoint, now: float) -> None:
        """Send a bubble straight to a peer."""

    def send_indirect_bubble(self, peer: Peer, now: float) -> None:
        """Send a bubble to a peer through its server."""


class PortPrediction:
    """Has a port of ours for each peer, where a symmetric NAT wants that.

    Args:
        client: whose ports they are.
        random: makes nonces and chooses ports.
        now: the time at which the client starts.
    """

    def __init__(self, client: Speaker, random: Random, now: float) -> None:
        self._client = client
        self._random = random
        self._own_ports: dict[int, IPv6Address | None] = {}
        """Ports of ours that a peer has to itself; None where one is still to have it."""
        self._tests: list[_EchoTest] = []
        self._next_prune = now + SWEEP
        self._offered_to: IPv6Address | None = None
        """Who was offered the next port of a sequential NAT, as last."""
        self._offered_at = -inf
        self._put_off: dict[IPv6Address, Callable[[float], None]] = {}
        """What is to be done for peers when that port has been used, or was not wanted."""

    # Our ports

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of ours that single peers have to themselves, or may have."""
        return tuple(self._own_ports)

    def has_port(self, address: IPv6Address, local_port: int) -> bool:
        """Whether a peer has a port of ours to itself."""
        return self._own_ports.get(local_port) == address

    def _foresees(self, peer: Peer) -> PortChoice | None:
        choice = self._client.symmetric_choice()
        if peer.parts is None or self._client.shares_nat(peer):
            return None
        return choice if choice in (PortChoice.PRESERVING, PortChoice.SEQUENTIAL) else None

    def _take_port(self, peer: Peer) -> bool:
        """Give a peer a port of ours that nothing was sent from so far; False if there is none."""
        port = self._spare_port()
        if port is None:
            self._prune_ports()
            port = self._spare_port()
        if port is None:
            return False
        self._own_ports[port] = peer.address
        peer.local_port, peer.foreseen_port = port, None
        peer.pinned_to, peer.is_offer = None, False
        return True

    def _spare_port(self) -> int | None:
        """A port that no peer has; None if there are as many as may be, and all have peers."""
        spare = next((port for port, peer in self._own_ports.items() if peer is None), None)
        if spare is not None or len(self._own_ports) >= MOST_PORTS:
            return spare
        # Some at once, for each time is another table for the plane.
        wanted = len(self._own_ports) + _PORTS_AT_ONCE
        while len(self._own_ports) < wanted:
            port = self._random.choice(MORE_PORTS)
            if port not in self._client.reserved_ports():
                self._own_ports.setdefault(port, None)
        self._client.ports_changed()
        return self._spare_port()

    def _prune_ports(self) -> None:
        """Give up ports that no peer has, or one that has another by now or is forgotten."""
        for port, address in list(self._own_ports.items()):
            peer = None if address is None else self._client.peers.get(address)
            if peer is None or not (peer.local_port == port or peer.is_at(port)):
                del self._own_ports[port]
                self._client.ports_changed()

    def restored(self) -> None:
        """The client has its predecessor's peers: theirs are the ports that they had."""
        for peer in self._client.peers:
            if peer.local_port in MORE_PORTS:
                self._own_ports[peer.local_port] = peer.address
                self._client.ports_changed()

    def forget(self) -> None:
        """The client has forgotten its peers."""
        self._tests.clear()
        self._put_off.clear()
        self._offered_to = None
        self._prune_ports()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._put_off and now - self._offered_at >= _OFFER_PATIENCE * 0.99:
            self._end_offer(now)
        if now >= self._next_prune:
            self._next_prune = now + SWEEP
            self._prune_ports()

    def next_deadline(self) -> float | None:
        """When something was put off for long enough; to give up ports can wait."""
        return self._offered_at + _OFFER_PATIENCE if self._put_off else None

    # Bubbles

    def send_direct_bubbles(self, peer: Peer, now: float) -> None:
        """Open our NAT for a peer, from a port that it has to itself if that helps."""
        choice = self._foresees(peer)
        if choice is None or peer.parts is None:
            self._client.send_usual_bubbles(peer, now)
            return
        port = peer.parts.port
        if peer.random_port is not None and now - peer.told_at < TRUST:
            port = peer.random_port
        self._pin(peer, Endpoint(peer.parts.client, port), choice, now)

    def _pin(self, peer: Peer, target: Endpoint, choice: PortChoice, now: float) -> None:
        """Have the NAT choose a port for packets to ``target``, and find out which."""
        if not self._client.may_be_far_end(target):
            return
        since = now - peer.pinned_at
        is_pinned = peer.pinned_to == target and peer.attempts < ATTEMPTS
        if is_pinned and since < (_TEST_PATIENCE if peer.foreseen_port is None else _KEPT):
            self._client.send_direct_bubble(peer, peer.from_its_port(target), now)
            return
        if self._waits_for_offer(peer, lambda then: self._pin(peer, target, choice, then), now):
            return
        if not self._take_port(peer):
            self._client.send_usual_bubbles(peer, now)
            return
        peer.pinned_to, peer.pinned_at = target, now
        if choice is PortChoice.PRESERVING:
            peer.foreseen_port = peer.local_port
            self._client.send_direct_bubble(peer, peer.from_its_port(target), now)
            return
        nonces = tuple(self._random.randbytes(NONCE_LENGTH) for _address in range(2))
        self._begin_test(peer, nonces, now)
        self._ask_server_of(peer, 0, nonces[0])
        self._client.send_direct_bubble(peer, peer.from_its_port(target), now)
        self._ask_server_of(peer, 1, nonces[1])

    def _offer(self, peer: Peer, choice: PortChoice, now: float) -> None:
        """Say which port the NAT will choose for the next packet, and do not send it yet."""
        if self._waits_for_offer(peer, lambda then: self._offer(peer, choice, then), now):
            return
        if not self._take_port(peer):
            return
        if choice is PortChoice.PRESERVING:
            peer.foreseen_port, peer.is_offer = peer.local_port, True
            self._client.send_indirect_bubble(peer, now)
            return
        nonce = self._random.randbytes(NONCE_LENGTH)
        self._offered_to, self._offered_at = peer.address, now
        self._begin_test(peer, (nonce,), now)
        self._ask_server_of(peer, 0, nonce)

    def answer_foretold(self, peer: Peer, now: float) -> bool:
        """A peer has said at which port it will be; return whether it has its answer already."""
        choice = self._foresees(peer)
        ours, parts, told = self._client.address_for(peer), peer.parts, peer.random_port
        if choice is None or ours is None or parts is None or told is None:
            return False
        there = Endpoint(parts.client, told)
        if ours < peer.address:
            self._pin(peer, there, choice, now)
            if choice is PortChoice.PRESERVING:
                self._client.send_indirect_bubble(peer, now)
        elif peer.is_offer:
            peer.is_offer, peer.pinned_to, peer.pinned_at = False, there, now
            self._client.send_direct_bubble(peer, peer.from_its_port(there), now)
            self._end_offer(now)
        else:
            self._offer(peer, choice, now)
        return True

    def _waits_for_offer(self, peer: Peer, action: Callable[[float], None], now: float) -> bool:
        """Put off what would take the next port of a sequential NAT while that is offered."""
        if self._offered_to is None or now - self._offered_at >= _OFFER_PATIENCE:
            return False
        if self._offered_to == peer.address:
            return False
        self._put_off[peer.address] = action
        return True

    def _end_offer(self, now: float) -> None:
        """Do what was put off, until something is offered again."""
        self._offered_to = None
        while self._put_off and self._offered_to is None:
            address = next(iter(self._put_off))
            self._put_off.pop(address)(now)

    # The echo test (RFC 6081 section 5.4)

    def _begin_test(self, peer: Peer, nonces: tuple[bytes, ...], now: float) -> None:
        self._tests = [one for one in self._tests if now - one.began < _TEST_LIFETIME]
        del self._tests[: -_MOST_TESTS + 1]
        self._tests.append(_EchoTest(peer.address, peer.local_port, now, nonces, {}))

    def _ask_server_of(self, peer: Peer, which: int, nonce: bytes) -> None:
        """Have an address of our server say where it sees the port that a peer has to itself.

        A solicitation asks it, which every server answers to where it came from.
        """
        asked = self._client.asked_server()
        if asked is not None:
            server, secret = asked
            there = Endpoint(_asked_address(server, which), TEREDO_PORT, peer.local_port)
            self._client.send(make_solicitation(nonce, LINK_LOCAL, secret), there)

    def receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        """Our server has answered at a port that a peer has to itself; return why not, if not."""
        asked, authentication = self._client.asked_server(), datagram.authentication
        if asked is None or authentication is None or datagram.origin is None:
            return "echo without nonce or origin indication"
        nonce, secret = authentication.nonce, asked[1]
        test = next((one for one in self._tests if nonce in one.nonces), None)
        if test is None or test.local_port != source.local_port:
            return "echo with another nonce"
        if source.address != _asked_address(asked[0], test.nonces.index(nonce)):
            return "echo from another address of the server"
        if refusal(datagram, secret) is not None:
            return "echo with a wrong authentication value"
        test.seen[nonce] = datagram.origin.port
        if len(test.seen) == len(test.nonces):
            self._tests.remove(test)
            self._tested(test, now)
        return None

    def _tested(self, test: _EchoTest, now: float) -> None:
        peer = self._client.peers.get(test.peer)
        if peer is None or peer.local_port != test.local_port:
            return
        ports = [test.seen[nonce] for nonce in test.nonces]
        if len(ports) == 1:
            peer.foreseen_port = ports[0] + 1 + self._opened_by_indirect(peer, now)
            peer.is_offer = True
        elif 2 <= ports[1] - ports[0] <= LARGEST_STEP:
            peer.foreseen_port = ports[0] + (ports[1] - ports[0]) // 2
        else:
            peer.pinned_to = None
            return  # the NAT is busy just now: another attempt, another port
        self._client.send_indirect_bubble(peer, now)

    def _opened_by_indirect(self, peer: Peer, now: float) -> int:
        """How many ports the NAT will choose for an indirect bubble to a peer's server."""
        asked = self._client.asked_server()
        if asked is None or peer.parts is None or peer.parts.server == asked[0].primary:
            return 0
        return int(now - peer.last_indirect > _KEPT)


def _asked_address(server: Server, which: int) -> IPv4Address:
    return (server.primary, server.secondary)[which]

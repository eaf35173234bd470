# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients and relays have in common: finding peers by bubbles and telling that it is they.

RFC 4380 sections 5.2.3 to 5.2.6 and 5.4, RFC 6081 section 5.1: a *direct* bubble goes to the peer
and opens our NAT; an *indirect* one goes through the peer's server, and has it open its own. An
indirect bubble carries our nonce, and the direct bubble that answers it repeats it: so a peer is
known whose symmetric NAT gives it a port that its address does not tell.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from random import Random
from typing import Any

from v6ferry.engines.teredo.load_reduction import (
    PATIENCE,
    has_not_answered,
    is_to_be_asked_straight,
)
from v6ferry.engines.teredo.outbox import TeredoEngine, addresses_of
from v6ferry.engines.teredo.peers import (
    QUEUE_LENGTH,
    TRUST,
    Peer,
    PeerList,
    mapped_endpoint,
    stranger,
)
from v6ferry.engines.teredo.ping_test import answers_echo_request
from v6ferry.forwarding.table import Endpoint
from v6ferry.forwarding.tunnel import PeerChanges
from v6ferry.wire.icmpv6 import Icmpv6Type, UnreachableCode, icmpv6_error, may_answer_with_error
from v6ferry.wire.parser import WireError
from v6ferry.wire.teredo import (
    TEREDO_PORT,
    DiscoveryType,
    Origin,
    TeredoDatagram,
    Trailers,
    bubble,
    is_bubble,
)

ATTEMPTS = 3
"""Bubbles or echo requests to a peer that is silent (RFC 4380 section 5.2.6)."""
RETRY = 2.0
"""Seconds between them."""
SILENCE = 300.0
"""Seconds in which a peer that was silent is not tried again."""
ADMISSION = 10.0
"""Seconds that the plane sends to a peer and takes from it without asking. What it carries then is
not heard of here, so a peer that goes on sending has the rest of ``TRUST`` to be heard again."""
SHORTEST_ANSWER = 1.0
"""Seconds between answers to the bubbles of one peer."""
SWEEP = 60.0


class TeredoNode(TeredoEngine):
    """Finds peers.

    Args:
        random: makes nonces.
        now: the time at which the engine starts.
        globally_unique: whether only globally unique IPv4 addresses are spoken to.
        most_peers: that are remembered.
    """

    def __init__(
        self, random: Random, now: float, *, globally_unique: bool, most_peers: int
    ) -> None:
        super().__init__(globally_unique=globally_unique)
        self._random = random
        self.peers = PeerList(most_peers, random)
        self._due: list[tuple[float, int, IPv6Address]] = []
        self._serial = count()
        self._sweep_at = now + SWEEP

    def _source(self) -> IPv4Address | None:
        return next(iter(self.endpoints()), None)

    # What differs between clients and relays

    def endpoints(self) -> tuple[IPv4Address, ...]:
        """Our addresses, first the one to send from."""
        raise NotImplementedError

    def address_for(self, peer: Peer) -> IPv6Address | None:
        """The source of our bubbles to a peer; None if there is none yet."""
        raise NotImplementedError

    def _may_send(self, source: IPv6Address, destination: IPv6Address) -> bool:
        raise NotImplementedError

    def _may_receive(self, packet: bytes) -> bool:
        raise NotImplementedError

    def _sends_direct_bubbles(self) -> bool:
        """Whether bubbles go straight to a peer, too: they open our NAT, and may be let in."""
        raise NotImplementedError

    def _has_one_port(self) -> bool:
        """Whether everybody sees us at the same endpoint."""
        return True

    def _has_port(self, address: IPv6Address, local_port: int) -> bool:
        """Whether a peer has a port of ours to itself."""
        return False

    def _alternates_for(self, peer: Peer) -> tuple[Origin, ...]:
        """Where else we may be reached by a peer."""
        return ()

    def _look_for_native(self, peer: Peer, now: float) -> None:
        """Try to find out by which relay a native host is reached."""

    # Packets on their way out

    def find_peer(self, packet: bytes, now: float) -> None:
        """See ``DatagramEngine.find_peer`` (RFC 4380 section 5.2.4)."""
        source, destination = addresses_of(packet)
        if not self._may_send(source, destination):
            self._discard("inner source or destination on the way out")
            return
        peer = self.peers.find(destination)
        self.peers.use(peer, now)
        endpoint = peer.endpoint if peer.is_reachable(now) else self._cone_endpoint(peer)
        if endpoint is not None:
            self._send_packet(peer, packet, endpoint, now)
            if peer.unheard_since is None:
                # An answer comes by here if the plane does not know the peer, and is heard of.
                peer.unheard_since = now
            elif now - peer.unheard_since > SHORTEST_ANSWER:
                self._admit(peer, endpoint, now)
            return
        if not peer.keep(packet):
            self._discard("queue of a peer is full")
        if now - peer.last_attempt < RETRY:
            return
        if peer.attempts >= ATTEMPTS:
            if now - peer.last_attempt < SILENCE:
                self._give_up(peer)
                return
            peer.attempts = 0
        self._attempt(peer, now)

    def _send_packet(self, peer: Peer, packet: bytes, endpoint: Endpoint, now: float) -> None:
        peer.last_direct = now
        self.send(TeredoDatagram(packet), endpoint)

    def _cone_endpoint(self, peer: Peer) -> Endpoint | None:
        """Where a peer is that says that its NAT lets everybody in.

        It could not tell that it is we if we have another port for everybody.
        """
        if peer.parts is None or not peer.parts.cone or not self._has_one_port():
            return None
        endpoint = mapped_endpoint(peer.parts)
        return endpoint if self.may_be_far_end(endpoint) else None

    def _attempt(self, peer: Peer, now: float) -> None:
        if peer.endpoint is not None and is_to_be_asked_straight(peer, now):
            peer.solicited_at = peer.last_attempt = now
            self.send_direct_bubble(peer, peer.endpoint, now, DiscoveryType.SOLICITATION)
            self._wake(peer, now + PATIENCE)
            return
        peer.attempts += 1
        peer.last_attempt = now
        if peer.parts is None:
            self._look_for_native(peer, now)
        else:
            if self._sends_direct_bubbles():
                self._send_direct_bubbles(peer, now)
            self.send_indirect_bubble(peer, now)
        self._wake(peer, now + RETRY)

    def _give_up(self, peer: Peer) -> None:
        outgoing, peer.outgoing = peer.outgoing, []
        peer.incoming.clear()
        for packet in outgoing:
            self._discard("peer does not answer")
            self._tell_unreachable(packet, self.address_for(peer))

    def _tell_unreachable(self, packet: bytes, address: IPv6Address | None) -> None:
        kind, code = Icmpv6Type.DESTINATION_UNREACHABLE, UnreachableCode.ADDRESS_UNREACHABLE
        if address is not None and may_answer_with_error(packet, kind):
            self._deliveries.append(icmpv6_error(kind, code, 0, address, packet))

    # Bubbles

    def _send_direct_bubbles(self, peer: Peer, now: float) -> None:
        """Open our NAT for a peer."""
        self.send_usual_bubbles(peer, now)

    def send_usual_bubbles(self, peer: Peer, now: float) -> None:
        """Send bubbles from our usual port to where a peer is, or may be."""
        if peer.parts is None:
            return
        endpoints = [one for one in (mapped_endpoint(peer.parts),) if self.may_be_far_end(one)]
        if endpoints and peer.random_port not in (None, peer.parts.port):
            endpoints.append(replace(endpoints[0], port=peer.random_port))
        if peer.trusted and peer.endpoint is not None and peer.endpoint not in endpoints:
            endpoints.append(peer.endpoint)
        beside_us = () if peer.local_endpoint is None else (peer.local_endpoint,)
        for endpoint in dict.fromkeys((*endpoints, *beside_us, *peer.alternates)):
            self.send_direct_bubble(peer, endpoint, now)

    def send_direct_bubble(
        self, peer: Peer, endpoint: Endpoint, now: float, discovery: DiscoveryType | None = None
    ) -> None:
        """Send a bubble straight to a peer; a solicitation asks for an answer (RFC 6081 5.6)."""
        address = self.address_for(peer)
        if address is None:
            return
        peer.last_direct = now
        trailers = Trailers(nonce=peer.their_nonce, discovery=discovery)
        self.send(TeredoDatagram(bubble(address, peer.address), trailers=trailers), endpoint)

    def send_indirect_bubble(self, peer: Peer, now: float) -> None:
        """Send a bubble to a peer through its server."""
        address = self.address_for(peer)
        if peer.parts is None or address is None:
            return
        server = Endpoint(peer.parts.server, TEREDO_PORT)
        if not self.may_be_far_end(server):
            self._discard("server of a peer that nobody speaks to")
            return
        peer.last_indirect = now
        trailers = Trailers(peer.nonce, self._alternates_for(peer), random_port=peer.foreseen_port)
        self.send(TeredoDatagram(bubble(address, peer.address), trailers=trailers), server)

    def _answer_foretold(self, peer: Peer, now: float) -> bool:
        """A peer has said at which port it will be; return whether it has its answer already."""
        return False

    # Packets on their way in

    def receive_datagram(
        self, payload: bytes, source: Endpoint, destination: IPv4Address, now: float
    ) -> None:
        """See ``DatagramEngine.receive_datagram``."""
        try:
            datagram = TeredoDatagram.parse(payload)
        except WireError as error:
            self._discard(f"bad {error.field}")
            return
        why = self._receive(datagram, source, destination, now)
        if why is not None:
            self._discard(why)

    def _receive(
        self, datagram: TeredoDatagram, source: Endpoint, destination: IPv4Address, now: float
    ) -> str | None:
        """Take a peer's datagram; return why not, if not.

        RFC 4380 section 5.2.3: it has to be certain that a packet is its sender's.
        """
        packet = datagram.packet
        if not self._may_receive(packet):
            return "inner source or destination on the way in"
        address, _destination = addresses_of(packet)
        known = self.peers.get(address)
        by_nonce = known is not None and datagram.trailers.nonce == known.nonce
        is_known = known is not None and known.is_surely_at(source)
        if not (by_nonce or is_known or self.may_be_far_end(source)):
            return "outer source"
        if source.local_port and not self._has_port(address, source.local_port):
            return "port of ours that another peer has"
        sender = known or stranger(address)
        is_certain = by_nonce or is_known or sender.says_it_is_at(source)
        if sender.parts is not None and not is_certain:
            return "outer source is not the mapped address"
        peer = known or self.peers.find(address)
        if not is_certain:
            if not answers_echo_request(peer, packet):
                return self._keep_for_later(peer, source, packet, now)
        elif not is_bubble(packet) and not answers_echo_request(peer, packet):
            self._deliveries.append(packet)
        moved = peer.endpoint != source
        is_unknown = peer.their_nonce is None and peer.local_endpoint != source
        if is_unknown and self._is_beside_us(peer, source):
            # It would not know us there: its own bubble, which is on its way through our server,
            # brings the nonce for that.
            return None
        sent = self._heard(peer, source, now)
        if is_bubble(packet) and not sent:
            # A peer found by its nonce cannot know that it was heard. And one that our NAT lets in
            # unasked need not wait until its other bubble has come through our server.
            is_quiet = now - peer.last_direct >= SHORTEST_ANSWER
            is_asked = datagram.trailers.discovery is DiscoveryType.SOLICITATION
            if (by_nonce and moved) or is_quiet or is_asked:
                answer = DiscoveryType.ADVERTISEMENT if is_asked else None
                self.send_direct_bubble(peer, source, now, answer)
        return None

    def _keep_for_later(self, peer: Peer, source: Endpoint, packet: bytes, now: float) -> str:
        """A native host's packet has come from where no relay is known: ask the host itself."""
        if is_bubble(packet):
            return "bubble of an unknown relay"
        self.peers.use(peer, now)
        peer.incoming.append((source, packet))
        del peer.incoming[:-QUEUE_LENGTH]
        if now - peer.last_attempt >= RETRY:
            self._attempt(peer, now)
        return "packet of an unknown relay, kept until it is known"

    def _is_beside_us(self, peer: Peer, source: Endpoint) -> bool:
        """Whether a peer behind our own NAT has sent without going through it."""
        parts = peer.parts
        return parts is not None and source.address != parts.client and self.shares_nat(peer)

    def shares_nat(self, peer: Peer) -> bool:
        """Whether a peer is behind our own NAT."""
        return bool(self._alternates_for(peer))

    def _heard(self, peer: Peer, source: Endpoint, now: float) -> bool:
        """A peer has sent from ``source``; return whether something has waited for that."""
        peer.trust(source, now)
        self.peers.use(peer, now)
        outgoing, peer.outgoing = peer.outgoing, []
        for packet in outgoing:
            self._send_packet(peer, packet, source, now)
        incoming, peer.incoming = peer.incoming, []
        self._deliveries += [packet for endpoint, packet in incoming if endpoint == source]
        self._admit(peer, source, now)
        return bool(outgoing)

    def _received_indirect_bubble(
        self, datagram: TeredoDatagram, relay: Endpoint, now: float
    ) -> str | None:
        """A bubble came through our server: open our NAT for its sender (section 5.2.3).

        Args:
            datagram: with the bubble.
            relay: the origin, which is where a native sender's relay is.
            now: seconds.
        """
        address, _destination = addresses_of(datagram.packet)
        peer = self.peers.find(address)
        self.peers.use(peer, now)
        if datagram.trailers.nonce is not None:
            peer.their_nonce = datagram.trailers.nonce
        is_news = peer.told_random_port(datagram.trailers.random_port, now)
        if now - peer.last_answer < SHORTEST_ANSWER and not is_news:
            return "more bubbles of a peer than are answered"
        peer.last_answer = now
        if now - min(peer.last_reception, peer.last_direct) < SHORTEST_ANSWER:
            return None  # we have found each other meanwhile
        if peer.parts is None:
            if not self.may_be_far_end(relay):
                return "origin of a bubble"
            self.send_direct_bubble(peer, relay, now)
            return None
        peer.alternates = self._usable_alternates(peer, datagram.trailers)
        if is_news and self._answer_foretold(peer, now):
            return None
        self._send_direct_bubbles(peer, now)
        if peer.their_nonce is not None and now - peer.last_indirect >= RETRY:
            # It may be behind a symmetric NAT: then only an answer to our nonce tells us where.
            self.send_indirect_bubble(peer, now)
        return None

    def _usable_alternates(self, peer: Peer, trailers: Trailers) -> tuple[Endpoint, ...]:
        """Where else a peer may be, if that can be: behind the same NAT (RFC 6081 section 5.5)."""
        if not self.shares_nat(peer):
            return ()
        return tuple(Endpoint(one.address, one.port) for one in trailers.alternate_addresses)

    # The peers

    def _admit(self, peer: Peer, endpoint: Endpoint, now: float) -> None:
        """Have the plane carry packets between us and a peer, for a while."""
        until = now + ADMISSION
        if peer.trusted:
            until = min(until, max(peer.last_reception + TRUST, now))
        self.peers.admit(peer, endpoint, until)
        peer.unheard_since = None
        self._wake(peer, until)

    def peer_changes(self) -> PeerChanges:
        """See ``DatagramEngine.peer_changes``."""
        return self.peers.changes()

    def _suspend_peers(self) -> None:
        """We have no address at the moment."""
        for peer in self.peers:
            self.peers.dismiss(peer)

    def _forget_peers(self) -> None:
        """Our own address is another one: nobody knows us any more."""
        for peer in list(self.peers):
            self.peers.remove(peer)

    # Succession

    def _restore_peers(self, entries: Iterable[Any], now: float) -> None:
        """Go on with a predecessor's peers.

        Raises:
            ValueError: these are none.
            TypeError: these are none.
        """
        for address, endpoint, port, heard, *local in entries:
            peer = self.peers.find(IPv6Address(address))
            peer.local_port = int(local[0]) if local else 0
            there = peer.from_its_port(Endpoint(IPv4Address(endpoint), int(port)))
            peer.trust(there, float(heard))
            self.peers.use(peer, peer.last_reception)
            if peer.endpoint is not None and peer.is_reachable(now):
                self._admit(peer, peer.endpoint, now)

    # Time

    def _wake(self, peer: Peer, when: float) -> None:
        heapq.heappush(self._due, (when, next(self._serial), peer.address))

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        first = self._due[0][0] if self._due else None
        if not len(self.peers):
            return first
        return self._sweep_at if first is None else min(first, self._sweep_at)

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        while self._due and self._due[0][0] <= now:
            _when, _serial, address = heapq.heappop(self._due)
            peer = self.peers.get(address)
            if peer is not None:
                self._peer_due(peer, now)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            for peer in self.peers.stale(now):
                self.peers.remove(peer)

    def _peer_due(self, peer: Peer, now: float) -> None:
        if peer.admitted and now >= peer.admitted_until:
            self.peers.dismiss(peer)
        is_silent = has_not_answered(peer, now) or now - peer.last_attempt >= RETRY
        if peer.waits and is_silent:
            if peer.attempts < ATTEMPTS:
                self._attempt(peer, now)
            else:
                self._give_up(peer)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo client engine (RFC 4380 section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from v6ferry.addresses.teredo import TEREDO_PREFIX
from v6ferry.engines.interface import Wanted
from v6ferry.engines.teredo.dormancy import Dormancy
from v6ferry.engines.teredo.local_discovery import GROUP, LocalDiscovery
from v6ferry.engines.teredo.node import TeredoNode
from v6ferry.engines.teredo.outbox import addresses_of, is_global
from v6ferry.engines.teredo.own_address import OwnAddress
from v6ferry.engines.teredo.peers import Peer
from v6ferry.engines.teredo.ping_test import ECHO_DATA_LENGTH, echo_request
from v6ferry.engines.teredo.qualification import Nat, Secret, Server
from v6ferry.engines.teredo.servers import names_of
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.engines.teredo.symmetric import PortChoice, PortPrediction
from v6ferry.engines.teredo.tables import client_interface, only, teredo_table
from v6ferry.engines.teredo.use import (
    ManagedNetwork,
    State,
    managed_names,
    name_refresh_interval,
    why_not_used,
)
from v6ferry.engines.tunnel import ALL_ADDRESSES
from v6ferry.forwarding.rate_limit import RateLimit
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import LINK_LOCAL_PREFIX, HostFacts
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import TEREDO_PORT, Origin, TeredoDatagram, bubble, is_bubble

_ANSWERS = 5
"""Bubbles a second to one IPv4 address that has sent bubbles with a link-local source."""
_ANSWER_SLOTS = 256


class TeredoClient(TeredoNode):
    """A Teredo client.

    Args:
        spec: what the user set.
        random: makes nonces, flags and the port.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: TeredoClientSpec, random: Random, now: float) -> None:
        super().__init__(
            random, now, globally_unique=spec.globally_unique, most_peers=spec.most_peers
        )
        self._spec = spec
        self._own = OwnAddress(spec, random)
        self._managed = ManagedNetwork()
        self._dormancy = Dormancy(spec.dormant_after, self._random.getrandbits(64))
        self._answers = RateLimit(_ANSWERS, self._random.getrandbits(64), _ANSWER_SLOTS)
        self._ports = PortPrediction(self, random, now)
        self._discovery = LocalDiscovery(self, random)
        self._former_address: IPv6Address | None = None
        """The last one: peers know us by it if it comes back."""

    # What the engine is told

    def update_spec(self, spec: TeredoClientSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        before, self._spec = self._spec, spec
        self._dormancy.set_after(spec.dormant_after, now)
        self._globally_unique = spec.globally_unique
        self.peers.most = spec.most_peers
        if before.local_discovery != spec.local_discovery:
            self._discovery.announce(now)
        self._own.update_spec(spec)
        self._ask(now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts
        self._own.update_facts(facts)
        self._ask(now)

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a server whose name is gone keeps its last address."""
        if addresses and name in self._spec.servers:
            self._own.servers.resolved(name, addresses)
        if name in managed_names(self._spec):
            self._managed.resolved(name, addresses)
        self._ask(now)

    def find_peer(self, packet: bytes, now: float) -> None:
        """See ``DatagramEngine.find_peer``; the first packet wakes a dormant client up."""
        if self._address is not None or not self._dormancy.is_wanted or self._idle():
            super().find_peer(packet, now)
            return
        source, destination = addresses_of(packet)
        if source != self._dormancy.address or not is_global(destination):
            self._discard("inner source or destination on the way out")
        elif self._dormancy.keep(packet, now):
            self._ask(now)

    def _admit(self, peer: Peer, endpoint: Endpoint, now: float) -> None:
        self._dormancy.use(now)
        super()._admit(peer, endpoint, now)

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        super().handle_timer(now)
        self._ports.handle_timer(now)
        self._discovery.handle_timer(now)
        self._own.handle_timer(now)
        if self._dormancy.falls_asleep(now):
            self._ask(now)
        for packet in self._dormancy.refused(now):
            self._discard("no address to send from")
            self._tell_unreachable(packet, self._dormancy.address)
            self._wanted = None
        self._follow(now)

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        times = (
            super().next_deadline(),
            self._ports.next_deadline(),
            self._discovery.next_deadline(),
            self._own.next_deadline(),
            self._dormancy.next_deadline(),
        )
        return min((one for one in times if one is not None), default=None)

    def _receive(
        self, datagram: TeredoDatagram, source: Endpoint, destination: IPv4Address, now: float
    ) -> str | None:
        if destination == GROUP.address:
            is_ours = source.address in self._facts.host_endpoints
            return None if is_ours else self._discovery.receive(datagram, source, now)
        if source.port == TEREDO_PORT and self._own.is_server(source):
            return self._receive_from_server(datagram, source, now)
        self._discovery.note_answer(datagram, source)
        return super()._receive(datagram, source, destination, now)

    def _receive_from_server(
        self, datagram: TeredoDatagram, source: Endpoint, now: float
    ) -> str | None:
        if source.local_port and source.local_port not in self._own.secondary_ports:
            return self._ports.receive(datagram, source, now)
        if source.local_port or neighbor_discovery_type(datagram.packet) is not None:
            why = self._own.receive(datagram, source, now)
            self._follow(now)
            return why
        if not is_bubble(datagram.packet) or datagram.origin is None:
            return "neither advertisement nor bubble from the server"
        inner_source, destination = addresses_of(datagram.packet)
        origin = Endpoint(datagram.origin.address, datagram.origin.port)
        if destination == self._address and inner_source in LINK_LOCAL_PREFIX:
            return self._received_bubble_of_nobody(inner_source, origin, now)
        if destination != self._address or not is_global(inner_source):
            return "inner source or destination on the way in"
        return self._received_indirect_bubble(datagram, origin, now)

    def _received_bubble_of_nobody(
        self, source: IPv6Address, origin: Endpoint, now: float
    ) -> str | None:
        """Answer a bubble whose source says nothing, as those of miredo do: open the NAT."""
        if self._address is None or not self.may_be_far_end(origin):
            return "origin of a bubble"
        if not self._answers.allows(origin.address, now):
            return "more bubbles of a peer than are answered"
        self.send(TeredoDatagram(bubble(self._address, source)), origin)
        return None

    # Our address

    @property
    def _address(self) -> IPv6Address | None:
        return self._own.address

    def _ask(self, now: float) -> None:
        self._wanted = None
        self._own.ask(not (self._idle() or self._dormancy.is_dormant), now)
        self._follow(now)

    def _follow(self, now: float) -> None:
        """Have the address that there is now, and send to servers what is to be sent."""
        own, before = self._own, self._address
        is_news = own.settle((*self.reserved_ports(), *self._ports.ports), now)
        for one in own.solicitations():
            self.send(one.datagram, one.endpoint)
        if not is_news:
            return
        self._wanted = None
        address = own.address
        if address != before:
            if before is None and own.is_inherited:
                own.drop_inheritance()
            elif address is None:
                self._suspend_peers()
            elif address != self._former_address:
                self._forget_peers()
            self._former_address = address or self._former_address
            self._discovery.announce(now)
        if address is not None:
            for packet in self._dormancy.settled(address, now):
                super().find_peer(packet, now)

    def _idle(self) -> str | None:
        return why_not_used(self._spec, self._facts, self._managed)

    # What differs from relays

    def address_for(self, peer: Peer) -> IPv6Address | None:
        """See ``TeredoNode.address_for``."""
        return self._address

    def _may_send(self, source: IPv6Address, destination: IPv6Address) -> bool:
        return source == self._address and is_global(destination)

    def _may_receive(self, packet: bytes) -> bool:
        source, destination = addresses_of(packet)
        return destination == self._address and is_global(source) and source != destination

    def _sends_direct_bubbles(self) -> bool:
        return True

    def _has_one_port(self) -> bool:
        return self._own.nat is not Nat.SYMMETRIC

    def _has_port(self, address: IPv6Address, local_port: int) -> bool:
        return self._ports.has_port(address, local_port)

    def _send_direct_bubbles(self, peer: Peer, now: float) -> None:
        self._ports.send_direct_bubbles(peer, now)

    def _answer_foretold(self, peer: Peer, now: float) -> bool:
        return self._ports.answer_foretold(peer, now)

    def _look_for_native(self, peer: Peer, now: float) -> None:
        server = self._own.server
        if self._address is not None and server is not None:
            if peer.echo_data is None:
                peer.echo_data = self._random.randbytes(ECHO_DATA_LENGTH)
            request = echo_request(peer, self._address)
            self.send(request, Endpoint(server.primary, TEREDO_PORT))

    def _forget_peers(self) -> None:
        super()._forget_peers()
        self._ports.forget()

    # What prediction of ports and discovery ask

    def symmetric_choice(self) -> PortChoice | None:
        """See ``Speaker.symmetric_choice``."""
        return self._own.port_choice() if self._own.nat is Nat.SYMMETRIC else None

    def asked_server(self) -> tuple[Server, Secret | None] | None:
        """See ``Speaker.asked_server``."""
        server = self._own.server
        return None if server is None else (server, self._spec.secret)

    def discoverable_address(self) -> IPv6Address | None:
        """See ``Neighbour.discoverable_address``."""
        is_behind_nat = self._own.nat is not Nat.NONE
        return self._address if self._spec.local_discovery and is_behind_nat else None

    def reserved_ports(self) -> tuple[int, ...]:
        """See ``Speaker.reserved_ports``."""
        return (TEREDO_PORT, self._own.port, *self._own.secondary_ports)

    def ports_changed(self) -> None:
        """See ``Speaker.ports_changed``."""
        self._wanted = None

    def _alternates_for(self, peer: Peer) -> tuple[Origin, ...]:
        """RFC 6081 section 5.5: a NAT may not let us turn around to a peer behind it."""
        mapped, endpoints = self._own.mapped, self.endpoints()
        behind_the_same = (
            mapped is not None and peer.parts is not None and peer.parts.client == mapped.address
        )
        if not behind_the_same or self._own.nat is Nat.NONE:
            return ()
        return tuple(Origin(one, self._own.port) for one in endpoints[:4])

    # What the engine wants

    def endpoints(self) -> tuple[IPv4Address, ...]:
        """See ``TeredoNode.endpoints``."""
        return self._own.endpoints()

    def _make_wanted(self) -> Wanted:
        spec, idle = self._spec, self._idle()
        addresses: tuple[IPv6Address, ...] = () if self._address is None else (self._address,)
        if not idle and self._dormancy.is_wanted:
            ours, former = self._address or self._dormancy.address, self._dormancy.former
            addresses = (ours,) if former is None else (ours, former)
        return Wanted(
            interface=client_interface(spec.tunnel, self._facts, addresses, spec.route_metric),
            table=teredo_table(
                spec.tunnel,
                self._facts,
                () if idle else self.endpoints(),
                self._own.port,
                addresses,
                (TEREDO_PREFIX, ALL_ADDRESSES) if addresses else (),
                only(addresses),
                (*self._ports.ports, *self._own.secondary_ports),
                self._discovery.group(),
            ),
            names=frozenset((*managed_names(spec), *(() if idle else names_of(spec)))),
            name_refresh_interval=name_refresh_interval(spec),
            endpoints=frozenset(one.primary for one in self._own.servers.of(self._spec)),
        )

    # Status, succession

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``; idle as the type wants it is ready."""
        idle = self._idle()
        state = self._state(idle)
        unresolved = () if idle else self._own.servers.unresolved(self._spec)
        return {
            "ready": state in (State.DORMANT, State.QUALIFIED) or bool(idle),
            "state": state.value,
            "summary": self._summary(idle),
            "interface": self._spec.tunnel.interface,
            "type": self._spec.type,
            "active": self._address is not None,
            "addresses": [] if self._address is None else [{"address": str(self._address)}],
            **self._own.status(),
            "peers": len(self.peers),
            "discarded": dict(sorted(self._discarded.items())),
        } | ({"unresolved_names": unresolved} if unresolved else {})

    def _state(self, idle: str | None) -> State:
        if self._address is not None:
            return State.QUALIFIED
        if idle or not self.endpoints() or self._own.problem or self._own.nat is Nat.NONE:
            return State.OFFLINE
        return State.DORMANT if self._dormancy.is_dormant else State.PROBE

    def _summary(self, idle: str | None) -> str:
        own = self._own
        if idle is not None:
            return idle
        if self._address is not None:
            server, choice = own.server.primary if own.server else None, own.port_choice()
            ports = f", ports {choice.value}" if choice not in (None, PortChoice.UNKNOWN) else ""
            return f"{self._address} from the server {server}; NAT: {own.nat.value}{ports}"
        if not self.endpoints():
            return "no IPv4 address that the tunnel may use"
        if self._dormancy.is_dormant:
            return "dormant: asks its server when something is sent to IPv6 hosts (dormant_after)"
        unresolved = self._own.servers.unresolved(self._spec)
        if unresolved and not self._own.servers.of(self._spec):
            return f"the server {unresolved[0]} has no IPv4 address so far"
        if own.nat is Nat.NONE:
            return "idle: there is no NAT, and type is natawareclient"
        return own.problem or "the server has not answered so far"

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: what our address is made of, and whom we know."""
        return {
            **self._own.snapshot(),
            "managed": self._managed.snapshot(),
            "source": str(self._dormancy.address),
            "peers": self.peers.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            self._managed.restore(snapshot.get("managed", {}))
            self._dormancy.address = IPv6Address(snapshot.get("source", self._dormancy.address))
            if snapshot.get("qualified") is not None:
                self._restore_peers(snapshot["peers"], now)
            self._own.restore(snapshot)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._forget_peers()
            self._discard("snapshot: malformed")
            return
        self._ports.restored()
        if self._own.is_inherited:
            self._dormancy.wake(now)

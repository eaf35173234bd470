# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with Teredo engines on a simulated Internet, and the plane that an engine expects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random

from v6ferry.addresses.teredo import TEREDO_PREFIX
from v6ferry.engines.interface import DatagramEngine
from v6ferry.engines.teredo.client import TeredoClient
from v6ferry.engines.teredo.relay import TeredoRelay
from v6ferry.engines.teredo.server import TeredoServer
from v6ferry.engines.teredo.specification import (
    TeredoClientSpec,
    TeredoRelaySpec,
    TeredoServerSpec,
)
from v6ferry.forwarding.decide import (
    Accept,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import HostFacts, UnderlayAddress
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_packet, icmpv6_type
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import TEREDO_PORT, is_bubble

from tests.simulation.internet import LINK_DELAY, Carried, Internet
from tests.simulation.nat import Kind, Nat

SERVER, SECONDARY = IPv4Address("206.73.118.1"), IPv4Address("206.73.118.2")
RELAY = IPv4Address("194.207.1.5")
RELAY_NATIVE = IPv6Address("2001:db8:5::1")
NATIVE = IPv6Address("2001:db8:0:c::c")


def echo_request(source: IPv6Address, destination: IPv6Address, number: int) -> bytes:
    """An ICMPv6 echo request with hop limit 64."""
    body = bytes((Icmpv6Type.ECHO_REQUEST, 0, 0, 0, 0x12, 0x34)) + number.to_bytes(2, "big")
    return icmpv6_packet(source, destination, body + b"simulated", 64)


def echo_reply(request: bytes) -> bytes:
    """The reply to an echo request."""
    source, destination = IPv6Address(request[8:24]), IPv6Address(request[24:40])
    body = bytes((Icmpv6Type.ECHO_REPLY,)) + request[41:]
    return icmpv6_packet(destination, source, body, 64)


class Machine:
    """A machine with an engine, and with the plane's part done after its table.

    Args:
        internet: where it is.
        engine: of Teredo.
        addresses: its IPv4 addresses.
        port: its UDP port.
        nat: before it; None for none.
        native: addresses of its own that are native.
    """

    def __init__(
        self,
        internet: Internet,
        engine: DatagramEngine,
        addresses: tuple[IPv4Address, ...],
        port: int,
        nat: Nat | None = None,
        native: tuple[IPv6Address, ...] = (),
    ) -> None:
        self.internet = internet
        self.engine = engine
        self.addresses = addresses
        self.port = port
        self.nat = nat
        self.native = native
        self.peers: dict[IPv6Address, Endpoint] = {}
        self.received: list[tuple[float, bytes]] = []
        """Packets that came out of the tunnel, with their times."""
        self.replies: dict[int, float] = {}
        """When the reply to an echo request came, by its number."""
        self._wake_at: float | None = None
        for address in addresses:
            (nat or internet).attach(address, self)
        self.tell_facts()

    def tell_facts(self) -> None:
        """The host is as it says."""
        facts = HostFacts(
            underlay=tuple(UnderlayAddress(one, "eth0") for one in self.addresses),
            underlay_mtu={"eth0": 1500},
            host_endpoints=frozenset(self.addresses),
            host_addresses=frozenset(self.native),
            preferred_addresses={"eth0": self.native} if self.native else {},
        )
        self.engine.update_facts(facts, self.internet.now)
        self.pump()

    def receive(self, carried: Carried) -> None:
        """A datagram arrives."""
        table = self.engine.wanted(self.internet.now).table
        encapsulation = table.encapsulation
        if carried.destination == table.group:
            self.engine.receive_datagram(
                carried.payload, carried.source, table.group.address, self.internet.now
            )
            self.pump()
            return
        if carried.destination.address.is_multicast:
            return
        if carried.destination.port not in encapsulation.ports:
            return
        local_port = encapsulation.local_port(carried.destination.port)
        payload, source = carried.payload, replace(carried.source, local_port=local_port)
        if not self._plane_accepts(payload, source, carried.destination.address):
            self.engine.receive_datagram(
                payload, source, carried.destination.address, self.internet.now
            )
        else:
            self.deliver(payload)
        self.pump()

    def _plane_accepts(self, payload: bytes, source: Endpoint, here: IPv4Address) -> bool:
        is_plain = len(payload) >= 40 and payload[0] >> 4 == 6
        is_control = not is_plain or is_bubble(payload)
        if is_control or neighbor_discovery_type(payload) is not None:
            return False
        decision = decide_decapsulation(
            self.engine.wanted(self.internet.now).table,
            source.address,
            here,
            IPv6Address(payload[8:24]),
            IPv6Address(payload[24:40]),
            port=source.port,
            local_port=source.local_port,
            peers=self.peers,
        )
        return isinstance(decision, Accept)

    def output(self, packet: bytes) -> None:
        """The kernel routes a packet into the tunnel."""
        decision = decide_encapsulation(
            self.engine.wanted(self.internet.now).table,
            IPv6Address(packet[8:24]),
            IPv6Address(packet[24:40]),
            self.peers,
        )
        if isinstance(decision, Encapsulate):
            to = Endpoint(decision.endpoint, decision.port, decision.local_port)
            self._send(to, packet, None)
        else:
            self.engine.find_peer(packet, self.internet.now)
            self.pump()

    def _send(self, to: Endpoint, payload: bytes, source: IPv4Address | None) -> None:
        way = self.nat or self.internet
        here = Endpoint(source or self.addresses[0], to.local_port or self.port)
        way.send(here, Endpoint(to.address, to.port), payload)

    def pump(self) -> None:
        """Do what a driver does after each word to the engine."""
        for address, endpoint in self.engine.peer_changes().items():
            if endpoint is None:
                self.peers.pop(address, None)
            else:
                self.peers[address] = endpoint
        for one in self.engine.datagrams_to_send():
            self._send(one.endpoint, one.payload, one.source)
        for packet in self.engine.packets_to_deliver():
            self.deliver(packet)
        deadline = self.engine.next_deadline()
        if deadline is not None and (self._wake_at is None or deadline < self._wake_at):
            self._wake_at = deadline
            self.internet.at(deadline, self._tick)

    def _tick(self) -> None:
        if self._wake_at is None or self.internet.now < self._wake_at:
            return  # an earlier wish was enough
        self._wake_at = None
        deadline = self.engine.next_deadline()
        if deadline is not None and deadline > self.internet.now:
            self._wake_at = deadline  # what was due then has been done meanwhile
            self.internet.at(deadline, self._tick)
            return
        self.engine.handle_timer(self.internet.now)
        self.pump()

    def deliver(self, packet: bytes) -> None:
        """A packet comes out of the tunnel."""
        self.received.append((self.internet.now, packet))
        destination = IPv6Address(packet[24:40])
        if destination not in self.own_addresses():
            self.internet.send_native(packet)
            return
        kind = icmpv6_type(packet)
        if kind == Icmpv6Type.ECHO_REQUEST:
            self.output(echo_reply(packet))
        elif kind == Icmpv6Type.ECHO_REPLY:
            self.replies.setdefault(int.from_bytes(packet[46:48], "big"), self.internet.now)

    def own_addresses(self) -> tuple[IPv6Address, ...]:
        """Its IPv6 addresses."""
        interface = self.engine.wanted(self.internet.now).interface
        return (*self.native, *(one.address for one in interface.addresses))

    @property
    def address(self) -> IPv6Address:
        """Its Teredo address."""
        return self.engine.wanted(self.internet.now).interface.addresses[0].address

    @property
    def status(self) -> dict:
        """What users see."""
        return self.engine.status(self.internet.now)

    def ping(self, target: IPv6Address, number: int = 1, within: float = 12.0) -> float | None:
        """Send an echo request; seconds until its reply, None if there was none."""
        self.replies.pop(number, None)
        began = self.internet.now
        self.output(echo_request(self.own_addresses()[0], target, number))
        self.internet.run(within)
        reply = self.replies.get(number)
        return None if reply is None else round(reply - began, 4)


class NativeHost:
    """Answers echo requests on the IPv6 Internet."""

    def __init__(self, internet: Internet, address: IPv6Address = NATIVE) -> None:
        self.internet = internet
        self.address = address
        self.replies: dict[int, float] = {}
        internet.route(IPv6Network(address), self.receive)

    def receive(self, packet: bytes) -> None:
        """A packet arrives."""
        kind = icmpv6_type(packet)
        if kind == Icmpv6Type.ECHO_REQUEST:
            self.internet.send_native(echo_reply(packet))
        elif kind == Icmpv6Type.ECHO_REPLY:
            self.replies[int.from_bytes(packet[46:48], "big")] = self.internet.now

    def ping(self, target: IPv6Address, number: int = 1, within: float = 12.0) -> float | None:
        """Send an echo request; seconds until its reply, None if there was none."""
        began = self.internet.now
        self.internet.send_native(echo_request(self.address, target, number))
        self.internet.run(within)
        reply = self.replies.get(number)
        return None if reply is None else round(reply - began, 4)


@dataclass
class World:
    """A server, a relay, a native host, and clients behind NATs of their own."""

    seed: int = 1
    internet: Internet = field(default_factory=Internet)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clients = 0
        self.server = self.machine_of_server()
        self.relay = self.machine_of_relay()
        self.native = NativeHost(self.internet)

    def machine_of_server(self, primary: IPv4Address = SERVER, **spec) -> Machine:
        """Another server."""
        parsed = TeredoServerSpec.parse({"server_address": str(primary), **spec}, "teredo_server/s")
        engine = TeredoServer(parsed, self.random, self.internet.now)
        return Machine(self.internet, engine, (primary, parsed.secondary_address), TEREDO_PORT)

    def machine_of_relay(self, **spec) -> Machine:
        """The relay that native IPv6 knows."""
        parsed = TeredoRelaySpec.parse(spec, "teredo_relay/r")
        engine = TeredoRelay(parsed, self.random, self.internet.now)
        machine = Machine(self.internet, engine, (RELAY,), parsed.port, None, (RELAY_NATIVE,))
        self.internet.route(TEREDO_PREFIX, machine.output)
        return machine

    def nat(self, kind: Kind, **options) -> Nat | None:
        """A NAT with an address of its own; None for none."""
        if kind is Kind.NONE:
            return None
        self.clients += 1
        address = IPv4Address("131.107.0.0") + self.clients
        return Nat(self.internet, address, kind, self.random, **options)

    def client(self, kind: Kind = Kind.NONE, *, nat: Nat | None = None, **spec) -> Machine:
        """A client behind a NAT of a kind, or behind one that is there."""
        nat = nat or self.nat(kind)
        self.clients += 1
        base = IPv4Address("157.60.0.0" if nat is None else "192.168.0.0")
        spec = {"servers": [str(SERVER)], **spec}
        parsed = TeredoClientSpec.parse(spec, "teredo_client/c")
        engine = TeredoClient(parsed, Random(self.random.random()), self.internet.now)
        port = engine.wanted(0).table.encapsulation.port
        return Machine(self.internet, engine, (base + self.clients,), port, nat)


def round_trips(seconds: float) -> float:
    """Round trips between two hosts of the Internet."""
    return seconds / (4 * LINK_DELAY)

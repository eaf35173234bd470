# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo clients behind symmetric NATs whose ports can be foreseen: RFC 6081 sections 5.3, 5.4."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import product
from random import Random

import pytest
from v6ferry.addresses.teredo import TeredoAddress, decode
from v6ferry.engines.teredo.client import TeredoClient
from v6ferry.engines.teredo.peers import MOST_TELLINGS
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.engines.teredo.symmetric import MOST_PORTS, PortChoice, port_choice
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import Origin, TeredoDatagram, Trailers, bubble

from tests.simulation.internet import Internet
from tests.simulation.nat import Kind, Nat
from tests.simulation.teredo import SECONDARY, SERVER, Machine, World, echo_request

FORESEEN = (Kind.PORT_PRESERVING, Kind.SEQUENTIAL)


def both_ids(kind: object) -> str:
    return getattr(kind, "value", str(kind))


def told_ports(world: World) -> list[int]:
    """Random ports that were told to servers, in order."""
    sent = [
        TeredoDatagram.parse(one.payload)
        for one in world.internet.carried
        if one.destination == Endpoint(SERVER, 3544)
    ]
    return [one.trailers.random_port for one in sent if one.trailers.random_port is not None]


def more_ports(client: Machine) -> frozenset[int]:
    return client.engine.wanted(client.internet.now).table.encapsulation.more_ports


@pytest.mark.parametrize(
    ("local", "first", "second", "choice"),
    [
        (50000, 50000, 1234, PortChoice.PRESERVING),
        (50000, 50000, None, PortChoice.PRESERVING),
        (50000, 1000, 1001, PortChoice.SEQUENTIAL),
        (50000, 1000, 1016, PortChoice.SEQUENTIAL),
        (50000, 1000, 1017, PortChoice.RANDOM),
        (50000, 1000, 999, PortChoice.RANDOM),
        (50000, 1000, 1000, PortChoice.UNKNOWN),
        (50000, 1000, None, PortChoice.UNKNOWN),
    ],
)
def test_choice_of_ports_is_told_from_two_of_them(
    local: int, first: int, second: int | None, choice: PortChoice
) -> None:
    assert port_choice(local, first, second) is choice


@pytest.mark.parametrize(
    ("kind", "choice"),
    [
        (Kind.NONE, None),
        (Kind.PORT_RESTRICTED, "unknown"),
        (Kind.SYMMETRIC, "random"),
        (Kind.PORT_PRESERVING, "preserving"),
        (Kind.SEQUENTIAL, "sequential"),
    ],
    ids=both_ids,
)
def test_choice_of_ports_is_shown(kind: Kind, choice: str | None) -> None:
    world = World()
    client = world.client(kind)
    world.internet.run(5)
    assert client.status["port_choice"] == choice
    said = f", ports {choice}" if choice not in (None, "unknown") else ""
    assert client.status["summary"].endswith(f"NAT: {client.status['nat']}{said}")


@pytest.mark.parametrize("kind", FORESEEN, ids=both_ids)
def test_random_port_trailer_tells_the_port_that_the_nat_chooses_rfc6081_4_5(kind: Kind) -> None:
    world = World()
    a, b = world.client(kind), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address, within=1) is not None
    (told,) = told_ports(world)
    assert a.peers[b.address].local_port in more_ports(a)
    # Where b has heard a is where a had said that it would be.
    assert b.peers[a.address] == Endpoint(a.nat.address, told)
    assert told != decode(a.address).port


@pytest.mark.parametrize(
    "kind", [Kind.NONE, Kind.FULL_CONE, Kind.PORT_RESTRICTED, Kind.SYMMETRIC], ids=both_ids
)
def test_nobody_else_tells_a_random_port(kind: Kind) -> None:
    world = World()
    a, b = world.client(kind), world.client(Kind.FULL_CONE)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    assert told_ports(world) == []
    assert more_ports(a) == frozenset()


def test_echo_test_asks_both_addresses_of_the_server_around_a_bubble_rfc6081_5_4() -> None:
    world = World()
    a, b = world.client(Kind.SEQUENTIAL), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    since = world.internet.now
    assert a.ping(b.address) is not None
    sent = [
        one
        for one in world.internet.carried
        if one.time > since and one.source.address == a.nat.address
    ]
    first, direct, second = sent[:3]
    assert (first.destination.address, second.destination.address) == (SERVER, SECONDARY)
    for one in (first, second):
        assert neighbor_discovery_type(TeredoDatagram.parse(one.payload).packet) == 133
    assert direct.destination == Endpoint(b.nat.address, decode(b.address).port)
    ports = [one.source.port for one in (first, direct, second)]
    assert ports == [ports[0], ports[0] + 1, ports[0] + 2]
    assert told_ports(world) == [ports[1]]


@pytest.mark.parametrize("begins", ["a", "b"])
@pytest.mark.parametrize(
    "there", [Kind.NONE, Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED], ids=both_ids
)
def test_random_ports_that_seem_to_be_in_order_do_no_harm(there: Kind, begins: str) -> None:
    """By chance the two that the client knows of may be next to each other."""
    world = World()
    a, b = world.client(Kind.SEQUENTIAL), world.client(there)
    world.internet.run(5)
    assert a.status["port_choice"] == "sequential"
    a.nat.kind = Kind.SYMMETRIC
    source, target = (a, b) if begins == "a" else (b, a)
    assert source.ping(target.address, within=1) is not None


@pytest.mark.parametrize(
    ("here", "there", "seed"), [*product(FORESEEN, FORESEEN, range(3))], ids=both_ids
)
@pytest.mark.parametrize("first", ["lower", "higher", "both"])
def test_two_such_clients_find_each_other_whoever_begins(
    here: Kind, there: Kind, seed: int, first: str
) -> None:
    world = World(seed)
    a, b = world.client(here), world.client(there)
    world.internet.run(5)
    low, high = sorted((a, b), key=lambda one: one.address)
    if first != "higher":
        low.output(echo_request(low.address, high.address, 7))
    if first != "lower":
        high.output(echo_request(high.address, low.address, 8))
    world.internet.run(12)
    assert first == "higher" or 7 in low.replies
    assert first == "lower" or 8 in high.replies
    assert a.ping(b.address) == pytest.approx(0.04)


@pytest.mark.parametrize("seed", range(4))
def test_a_port_that_is_offered_is_left_alone_meanwhile(seed: int) -> None:
    """A client that speaks to several at once offers the next port of its NAT to one at a time."""
    for kinds in product((Kind.PORT_RESTRICTED, *FORESEEN), repeat=3):
        world = World(seed)
        clients = [world.client(kind) for kind in kinds]
        world.internet.run(5)
        for client, other in zip(clients, clients[1:] + clients[:1], strict=True):
            client.output(echo_request(client.address, other.address, 1))
            client.output(echo_request(client.address, world.native.address, 2))
        world.internet.run(5)
        for client in clients:
            assert client.replies.keys() == {1, 2}, kinds


@pytest.mark.parametrize("kind", FORESEEN, ids=both_ids)
def test_others_behind_the_nat_do_not_matter_for_long(kind: Kind) -> None:
    """The NAT gives ports to others while one is foreseen; then the next attempt tells another."""
    world = World()
    a, b = world.client(kind), world.client(Kind.PORT_RESTRICTED)
    neighbour, random = Endpoint(IPv4Address("192.168.0.99"), 0), Random(5)
    world.internet.run(5)

    def chatter() -> None:
        port = random.randint(61000, 65535)
        elsewhere = Endpoint(IPv4Address("12.155.166.101"), random.randint(1, 65535))
        a.nat.send(replace(neighbour, port=port), elsewhere, b"")
        if world.internet.now < 15:
            world.internet.at(world.internet.now + 0.01, chatter)

    chatter()
    assert a.ping(b.address) is not None


@pytest.mark.parametrize("kind", FORESEEN, ids=both_ids)
def test_peer_that_was_silent_is_found_again(kind: Kind) -> None:
    world = World()
    a, b = world.client(kind), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    for pause in (40, 200):  # the NAT still has its mapping, and has it no more
        world.internet.run(pause)
        assert a.ping(b.address, pause) is not None
        world.internet.run(pause)
        assert b.ping(a.address, pause + 1) is not None


@pytest.mark.parametrize("kind", FORESEEN, ids=both_ids)
def test_port_is_given_up_with_its_peer(kind: Kind) -> None:
    world = World()
    a, b = world.client(kind), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    assert more_ports(a)
    world.internet.run(800)
    assert more_ports(a) == frozenset()


def test_ports_are_so_many_and_no_more() -> None:
    world = World()
    a = world.client(Kind.PORT_PRESERVING)
    world.internet.run(5)
    tables = set()
    for number in range(MOST_PORTS + 50):
        tables.add(more_ports(a))
        there = TeredoAddress(SERVER, IPv4Address("131.107.9.0") + number, 4096, 0).encode()
        a.output(echo_request(a.address, there, 1))
    assert len(more_ports(a)) == MOST_PORTS
    assert len(tables) < MOST_PORTS / 4
    assert not any(port in more_ports(a) for port in (3544, a.status["client_port"]))


def test_random_ports_of_a_peer_are_believed_so_often_and_no_more() -> None:
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    origin = Origin(b.nat.address, 9)
    for port in range(2000, 2050):
        datagram = TeredoDatagram(
            bubble(b.address, a.address), origin, trailers=Trailers(nonce=7, random_port=port)
        )
        a.engine.receive_datagram(
            datagram.build(), Endpoint(SERVER, 3544), a.addresses[0], world.internet.now
        )
    sent = [one for one in a.engine.datagrams_to_send() if one.endpoint.address == b.nat.address]
    assert len({one.endpoint for one in sent}) == MOST_TELLINGS + 1
    assert a.status["discarded"]["more bubbles of a peer than are answered"] == 50 - MOST_TELLINGS


def test_port_of_one_peer_takes_nothing_of_another_rfc4380_5_2_3() -> None:
    world = World()
    a, b, c = (world.client(kind) for kind in (Kind.PORT_PRESERVING, Kind.NONE, Kind.NONE))
    world.internet.run(5)
    assert a.ping(b.address, within=1) is not None
    port = a.peers[b.address].local_port
    stranger = Endpoint(c.addresses[0], c.port, port)
    packet = TeredoDatagram(echo_request(c.address, a.address, 5))
    a.engine.receive_datagram(packet.build(), stranger, a.addresses[0], world.internet.now)
    assert a.status["discarded"]["port of ours that another peer has"] == 1
    assert a.engine.packets_to_deliver() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"authentication": None}, "echo without nonce or origin indication"),
        ({"origin": None}, "echo without nonce or origin indication"),
        ({"nonce": bytes(8)}, "echo with another nonce"),
        ({"confirmation": 1}, "echo with a wrong authentication value"),
    ],
    ids=str,
)
def test_forged_echo_is_discarded(change: dict, why: str) -> None:
    world = World()
    a, b = world.client(Kind.SEQUENTIAL), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    a.output(echo_request(a.address, b.address, 1))
    receive = a.engine.receive_datagram

    def forge(payload: bytes, source: Endpoint, destination: IPv4Address, now: float) -> None:
        datagram = TeredoDatagram.parse(payload)
        if source.local_port and neighbor_discovery_type(datagram.packet) == 134:
            inner = {key: change[key] for key in ("nonce", "confirmation") if key in change}
            if inner:
                datagram = replace(
                    datagram, authentication=replace(datagram.authentication, **inner)
                )
            else:
                datagram = replace(datagram, **change)
            payload = datagram.build()
        receive(payload, source, destination, now)

    a.engine.receive_datagram = forge
    world.internet.run(1)
    assert a.status["discarded"][why] == 2
    assert told_ports(world) == []


def test_echo_of_a_server_that_has_our_key_is_believed_rfc4380_5_2_2() -> None:
    world = World()
    client = {"client_identifier": "laptop", "key": "secret"}
    other = IPv4Address("206.73.119.1")
    world.machine_of_server(other, clients=[client], require_authentication=True)
    a = world.client(Kind.SEQUENTIAL, servers=[str(other)], **client)
    b = world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None


def test_clients_of_two_servers_find_each_other() -> None:
    """What is offered counts the port that the bubble to the other server takes."""
    other = IPv4Address("206.73.119.1")
    for here, there in product(FORESEEN, FORESEEN):
        world = World()
        world.machine_of_server(other)
        a, b = world.client(here), world.client(there, servers=[str(other)])
        world.internet.run(5)
        assert a.ping(b.address) is not None
        assert b.ping(a.address, 2) == pytest.approx(0.04)


@pytest.mark.parametrize("kind", FORESEEN, ids=both_ids)
def test_successor_goes_on_with_the_ports_of_peers(kind: Kind) -> None:
    world = World()
    a, b = world.client(kind), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address, within=1) is not None
    snapshot = json.loads(json.dumps(a.engine.snapshot()))
    spec = TeredoClientSpec.parse({"servers": [str(SERVER)]}, "teredo_client/c")
    successor = TeredoClient(spec, Random(9), world.internet.now)
    successor.restore(snapshot, world.internet.now)
    port = a.peers[b.address].local_port
    a.engine = successor
    a.peers.clear()
    a.tell_facts()
    assert more_ports(a) == {port}
    choice = {Kind.PORT_PRESERVING: "preserving", Kind.SEQUENTIAL: "sequential"}[kind]
    assert a.status["port_choice"] == choice
    assert a.ping(b.address, 3) == pytest.approx(0.04)


class PlainInternet(Internet):
    """An Internet on which nobody has heard of RFC 6081: it takes all trailers off."""

    def send(self, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        """Carry a datagram as it would be without trailers."""
        datagram = replace(TeredoDatagram.parse(payload), trailers=Trailers())
        super().send(source, destination, datagram.build())


@pytest.mark.parametrize("there", [Kind.NONE, Kind.FULL_CONE, Kind.PORT_RESTRICTED], ids=both_ids)
def test_peer_that_knows_rfc4380_alone_is_reached_as_before(there: Kind) -> None:
    world = World(internet=PlainInternet())
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(there)
    symmetric = world.client(Kind.PORT_PRESERVING)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    # What RFC 4380 cannot is given up.
    assert symmetric.ping(b.address, 2) is None
    assert symmetric.status["discarded"]["peer does not answer"] == 1


@pytest.mark.parametrize("inner", [Kind.PORT_RESTRICTED, *FORESEEN], ids=both_ids)
@pytest.mark.parametrize("there", [Kind.PORT_RESTRICTED, *FORESEEN], ids=both_ids)
def test_one_nat_in_another_may_be_foreseen_where_the_outer_one_counts(
    inner: Kind, there: Kind
) -> None:
    world = World()
    nat = Nat(world.nat(Kind.SEQUENTIAL), IPv4Address("100.64.0.1"), inner, world.random)
    a, b = world.client(nat=nat), world.client(there)
    world.internet.run(5)
    assert a.status["port_choice"] == "sequential"
    assert a.ping(b.address) is not None
    assert b.ping(a.address, 2) == pytest.approx(0.04)


@pytest.mark.parametrize("hairpin", [False, True])
@pytest.mark.parametrize("kind", FORESEEN, ids=both_ids)
def test_two_clients_behind_one_such_nat_need_no_ports_of_their_own(
    kind: Kind, hairpin: bool
) -> None:
    world = World()
    nat = world.nat(kind, hairpin=hairpin)
    a, b = (world.client(nat=nat, local_discovery=False) for _client in range(2))
    world.internet.run(5)
    assert a.ping(b.address) is not None
    assert b.ping(a.address, 2) == pytest.approx(0.002)
    assert more_ports(a) == more_ports(b) == frozenset()

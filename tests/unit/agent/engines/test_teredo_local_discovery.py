# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo clients that find each other on their link: RFC 4380 section 5.2.8."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

import pytest
from v6ferry.engines.teredo.local_discovery import (
    GROUP,
    LONGEST_INTERVAL,
    SHORTEST_INTERVAL,
)
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.teredo import TeredoDatagram, Trailers, bubble

from tests.simulation.internet import LINK_DELAY, Carried
from tests.simulation.nat import Kind, Nat
from tests.simulation.teredo import SECONDARY, SERVER, Machine, World

ALL_NODES = IPv6Address("ff02::1")


class Link(Nat):
    """A NAT that remembers what is sent to the group inside."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.said: list[tuple[float, Endpoint, TeredoDatagram]] = []
        self.takes_trailers_off = False

    def send(self, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        """Send what comes from inside."""
        if self.takes_trailers_off:
            payload = replace(TeredoDatagram.parse(payload), trailers=Trailers()).build()
        if destination == GROUP:
            self.said.append((self.now, source, TeredoDatagram.parse(payload)))
        super().send(source, destination, payload)


def link(world: World, kind: Kind = Kind.SYMMETRIC) -> Link:
    return Link(world.internet, IPv4Address("131.107.7.1"), kind, world.random)


def without_server(world: World) -> None:
    for address in (SERVER, SECONDARY):
        world.internet.detach(address)


def hear(client: Machine, datagram: TeredoDatagram, source: Endpoint) -> None:
    client.receive(Carried(client.internet.now, source, GROUP, datagram.build()))


@pytest.mark.parametrize("kind", [Kind.FULL_CONE, Kind.PORT_RESTRICTED, Kind.SYMMETRIC])
@pytest.mark.parametrize("idle", [5, 60], ids=["trusted", "not heard for long"])
def test_clients_on_one_link_reach_each_other_without_their_server(kind: Kind, idle: float) -> None:
    world = World()
    nat = link(world, kind)
    a, b = world.client(nat=nat), world.client(nat=nat)
    world.internet.run(idle)
    without_server(world)
    sent = len(world.internet.carried)
    took = a.ping(b.address, within=1)
    assert took is not None
    assert took < LINK_DELAY
    if idle < 30:
        assert took == pytest.approx(0.002)  # they had met already
    assert [one for one in world.internet.carried[sent:] if one.destination.address != SERVER] == []


def test_clients_that_know_rfc4380_alone_have_to_hear_each_other_in_the_group() -> None:
    world = World()
    nat = link(world)
    nat.takes_trailers_off = True
    a, b = world.client(nat=nat), world.client(nat=nat)
    world.internet.run(LONGEST_INTERVAL + 5)
    without_server(world)
    assert a.ping(b.address, within=1) < LINK_DELAY


def test_discovery_bubble_is_for_all_nodes_and_comes_every_200_to_300_seconds() -> None:
    world = World()
    nat = link(world)
    a = world.client(nat=nat)
    world.internet.run(5000)
    for _time, source, datagram in nat.said:
        assert datagram.packet == bubble(a.address, ALL_NODES)
        assert source == Endpoint(a.addresses[0], a.port)
    times = [time for time, _source, _datagram in nat.said]
    assert times[0] < 1
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) >= 16
    assert all(SHORTEST_INTERVAL <= one <= LONGEST_INTERVAL for one in gaps)
    assert len({round(one) for one in gaps}) > 8


def test_nobody_says_anything_who_does_not_want_to_or_has_no_nat() -> None:
    world = World()
    nat = link(world)
    silent = world.client(nat=nat, local_discovery=False)
    public = world.client()
    world.internet.run(600)
    assert nat.said == []
    assert not any(one.destination == GROUP for one in world.internet.carried)
    for one in (silent, public):
        assert one.engine.wanted(600).table.group is None
    spec = TeredoClientSpec.parse({"servers": [str(SERVER)]}, "teredo_client/c")
    silent.engine.update_spec(spec, world.internet.now)
    silent.pump()
    assert len(nat.said) == 1
    assert silent.engine.wanted(600).table.group == GROUP


def test_new_address_is_said_at_once() -> None:
    world = World()
    nat = link(world, Kind.PORT_RESTRICTED)
    a, b = world.client(nat=nat), world.client(nat=nat)
    world.internet.run(5)
    nat.reboot()
    world.internet.run(60)
    without_server(world)
    assert a.ping(b.address, within=1) < LINK_DELAY


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("other_nat", "discovery bubble of somebody who is not behind our NAT"),
        ("native", "discovery bubble of somebody who is not behind our NAT"),
        ("ours", "discovery bubble of somebody who is not behind our NAT"),
        ("from_outside", "discovery bubble of somebody who is not behind our NAT"),
        ("no_bubble", "no discovery bubble to the discovery group"),
        ("to_one", "no discovery bubble to the discovery group"),
        ("garbage", "bad ipv6_payload_length"),
    ],
)
def test_others_are_not_believed(change: str, why: str) -> None:
    world = World()
    nat = link(world)
    a = world.client(nat=nat)
    b = world.client(nat=nat, local_discovery=False)
    far = world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    source = Endpoint(b.addresses[0], b.port)
    claimed = {"other_nat": far.address, "native": IPv6Address("2001:db8::1"), "ours": a.address}
    packet = bubble(claimed.get(change, b.address), ALL_NODES)
    if change == "from_outside":
        source = Endpoint(nat.address, 4096)
    elif change == "no_bubble":
        packet = packet[:6] + b"\x3a" + packet[7:]
    elif change == "to_one":
        packet = bubble(b.address, a.address)
    elif change == "garbage":
        packet = packet[:30]
    before = a.status["peers"]
    sent = len(world.internet.carried)
    a.engine.receive_datagram(packet, source, GROUP.address, world.internet.now)
    a.pump()
    assert len(a.status["discarded"]) == 1
    if change != "garbage":
        assert why in a.status["discarded"]
    assert a.status["peers"] == before
    world.internet.run(1)
    assert world.internet.carried[sent:] == []


def test_own_bubbles_are_passed_over() -> None:
    world = World()
    a = world.client(nat=link(world))
    world.internet.run(5)
    hear(a, TeredoDatagram(bubble(a.address, ALL_NODES)), Endpoint(a.addresses[0], a.port))
    assert a.status["discarded"] == {}


def test_many_bubbles_of_a_neighbour_have_one_answer_a_second() -> None:
    world = World()
    nat = link(world)
    a = world.client(nat=nat)
    b = world.client(nat=nat, local_discovery=False)
    world.internet.run(5)
    for _turn in range(50):
        a.engine.receive_datagram(
            bubble(b.address, ALL_NODES),
            Endpoint(b.addresses[0], b.port),
            GROUP.address,
            world.internet.now,
        )
    assert len(a.engine.datagrams_to_send()) == 1

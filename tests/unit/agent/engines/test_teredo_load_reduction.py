# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo peers that were silent are found again without a server: RFC 6081 section 5.6."""

from __future__ import annotations

import pytest
from v6ferry.addresses.teredo import decode
from v6ferry.engines.teredo.load_reduction import LONGEST_SILENCE, PATIENCE
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.teredo import DiscoveryType, TeredoDatagram, Trailers, bubble, is_bubble

from tests.simulation.internet import LINK_DELAY
from tests.simulation.nat import Kind
from tests.simulation.teredo import SERVER, Machine, World
from tests.unit.agent.engines.test_teredo_symmetric import PlainInternet

ROUND_TRIP = 4 * LINK_DELAY


def pair(
    world: World, kind: Kind = Kind.PORT_RESTRICTED, timeout: float = 180.0
) -> tuple[Machine, Machine]:
    """Two clients that have spoken."""
    a, b = (world.client(nat=world.nat(kind, timeout=timeout)) for _client in range(2))
    world.internet.run(5)
    assert a.ping(b.address, within=1) is not None
    return a, b


def bubbles(world: World, since: float) -> list[tuple[Endpoint, Trailers]]:
    """Destinations and trailers of bubbles."""
    sent = [(one, TeredoDatagram.parse(one.payload)) for one in world.internet.carried]
    return [
        (one.destination, datagram.trailers)
        for one, datagram in sent
        if one.time > since and is_bubble(datagram.packet)
    ]


def mapped(client: Machine) -> Endpoint:
    parts = decode(client.address)
    return Endpoint(parts.client, parts.port)


def test_peer_that_was_silent_is_asked_straight_and_answers() -> None:
    world = World()
    a, b = pair(world)
    world.internet.run(40)
    since = world.internet.now
    assert a.ping(b.address, 2, within=1) == pytest.approx(2 * ROUND_TRIP)
    (to_b, asked), (to_a, answered) = bubbles(world, since)
    assert (to_b, to_a) == (mapped(b), mapped(a))
    assert asked.discovery is DiscoveryType.SOLICITATION
    assert answered.discovery is DiscoveryType.ADVERTISEMENT


@pytest.mark.parametrize("kind", [Kind.PORT_PRESERVING, Kind.SEQUENTIAL], ids=lambda one: one.value)
def test_so_is_one_with_a_port_of_ours_to_itself(kind: Kind) -> None:
    world = World()
    a, b = pair(world, kind)
    world.internet.run(40)
    since = world.internet.now
    assert a.ping(b.address, 2, within=1) == pytest.approx(2 * ROUND_TRIP)
    assert len(bubbles(world, since)) == 2


def test_server_is_asked_where_the_nat_has_forgotten() -> None:
    world = World()
    a, b = pair(world, Kind.PORT_PRESERVING, timeout=32)
    world.internet.run(40)
    since = world.internet.now
    took = a.ping(b.address, 2, within=1)
    assert took is not None
    assert took > PATIENCE
    assert Endpoint(SERVER, 3544) in [to for to, _trailers in bubbles(world, since)]


def test_server_is_asked_at_once_after_a_long_silence() -> None:
    world = World()
    a, b = pair(world)
    world.internet.run(LONGEST_SILENCE + 1)
    since = world.internet.now
    assert a.ping(b.address, 2, within=1) == pytest.approx(2 * ROUND_TRIP)
    assert Endpoint(SERVER, 3544) in [to for to, _trailers in bubbles(world, since)]
    assert all(trailers.discovery is None for _to, trailers in bubbles(world, since))


def test_peer_that_knows_rfc4380_alone_is_not_asked() -> None:
    world = World(internet=PlainInternet())
    a, b = pair(world)
    world.internet.run(40)
    since = world.internet.now
    assert a.ping(b.address, 2, within=1) == pytest.approx(2 * ROUND_TRIP)
    assert Endpoint(SERVER, 3544) in [to for to, _trailers in bubbles(world, since)]


def test_nobody_else_has_an_answer() -> None:
    world = World()
    a, b = pair(world)
    world.internet.run(40)
    since = world.internet.now
    asked = Trailers(discovery=DiscoveryType.SOLICITATION)
    for source in (Endpoint(b.nat.address, 9), Endpoint(SERVER, 4096)):
        datagram = TeredoDatagram(bubble(b.address, a.address), trailers=asked)
        a.engine.receive_datagram(datagram.build(), source, a.addresses[0], since)
    a.pump()
    world.internet.run(0.1)
    assert bubbles(world, since) == []
    # An answer is not answered.
    told = Trailers(discovery=DiscoveryType.ADVERTISEMENT)
    datagram = TeredoDatagram(bubble(b.address, a.address), trailers=told)
    for _turn in range(5):
        a.engine.receive_datagram(datagram.build(), mapped(b), a.addresses[0], world.internet.now)
    sent = [TeredoDatagram.parse(one.payload) for one in a.engine.datagrams_to_send()]
    # One that comes after a silence is, as any bubble is: but no question, and no answer.
    assert [one.trailers.discovery for one in sent] == [None]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand Teredo clients behind mixed NATs, one server, one relay, two hours of virtual time.

    .venv/bin/pytest -m simulation -s tests/simulation

The clients ask their server every ten minutes at most, behind NATs that remember for fifteen: with
the default of half a minute two hours would be 2.7 million refreshes, all alike. Local discovery is
off, as nobody else is on their links.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation.memory import octets
from tests.simulation.nat import Kind
from tests.simulation.teredo import Machine, World, echo_request
from tests.unit.agent.engines.test_teredo_matrix import ALL_KINDS, FORBIDDEN

pytestmark = pytest.mark.simulation

CLIENTS = 10_045
"""As many of each pair of kinds."""
HOUR = 3600.0
SPEC = {"refresh_interval": 600, "local_discovery": False}
NAT_TIMEOUT = 900.0
MOST_OCTETS_A_PEER = 2048
"""Of a relay."""

Client = tuple[Kind, Machine]


@pytest.fixture(autouse=True)
def _no_garbage() -> Iterator[None]:
    """Looking for garbage among millions of living objects would take most of the time."""
    gc.disable()
    yield
    gc.enable()


def make(world: World) -> list[Client]:
    """Clients; every seventh has the same kind of NAT before it, each has one of its own."""
    found = []
    for number in range(CLIENTS):
        kind = ALL_KINDS[number % len(ALL_KINDS)]
        nat = world.nat(kind, timeout=NAT_TIMEOUT)
        found.append((kind, world.client(kind, nat=nat, **SPEC)))
    return found


def talk(world: World, clients: list[Client], distance: int) -> Counter[tuple[Kind, Kind]]:
    """Have each client ping another one, and the native host; return the pairs by their NATs."""
    pairs = Counter()
    for number, (here, client) in enumerate(clients):
        partner = (number + distance + number // len(ALL_KINDS) % len(ALL_KINDS)) % CLIENTS
        there, other = clients[partner]
        pairs[here, there] += 1
        client.replies.clear()
        client.output(echo_request(client.address, other.address, 1))
        client.output(echo_request(client.address, world.native.address, 2))
    world.internet.run(5)
    for number, (here, client) in enumerate(clients):
        partner = (number + distance + number // len(ALL_KINDS) % len(ALL_KINDS)) % CLIENTS
        there = clients[partner][0]
        assert (1 in client.replies) is ((here, there) not in FORBIDDEN), (number, here, there)
        assert 2 in client.replies, (number, here)
    return pairs


def test_ten_thousand_qualify_and_talk_in_memory_that_does_not_grow(record_property) -> None:
    world = World(seed=7)
    world.internet.remembers = False
    clients = make(world)
    world.internet.run(10)
    assert all(one.status["ready"] for _kind, one in clients)
    addresses = [one.address for _kind, one in clients]
    assert len(set(addresses)) == CLIENTS

    idle, busy, of_relay = [], [], []
    pairs: Counter[tuple[Kind, Kind]] = Counter()
    for hour in (1, 2):
        pairs += talk(world, clients, hour * len(ALL_KINDS) + 1)
        for _kind, one in clients:
            one.received.clear()  # the test's own notes
        assert world.relay.status["peers"] == CLIENTS
        busy.append(octets(one.engine.__dict__ for _kind, one in clients))
        of_relay.append(octets([world.relay.engine.__dict__]))
        world.internet.run(hour * HOUR - world.internet.now)
        assert world.relay.status["peers"] == 0
        idle.append(octets(one.engine.__dict__ for _kind, one in clients))
        of_relay.append(octets([world.relay.engine.__dict__]))

    # Every pair of kinds is as frequent as any other.
    assert len(pairs) == len(ALL_KINDS) ** 2
    assert set(pairs.values()) == {2 * CLIENTS // len(ALL_KINDS) ** 2}
    # Nobody's NAT has forgotten it, nor has the server anything to remember.
    assert [one.address for _kind, one in clients] == addresses
    assert world.server.engine.snapshot() == {}

    a_peer = (of_relay[0] - of_relay[1]) // CLIENTS
    figures = {
        "pairs that talked or could not": pairs.total(),
        "pairs of each two kinds of NAT": 2 * CLIENTS // len(ALL_KINDS) ** 2,
        "octets a peer of the relay": a_peer,
        "octets a client, idle": [one // CLIENTS for one in idle],
        "octets a client with its two or three peers": [one // CLIENTS for one in busy],
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
        record_property(name, str(value))
    assert a_peer < MOST_OCTETS_A_PEER
    # Dictionaries that have been emptied keep some room, a counter may have been added.
    room = 400 * CLIENTS
    assert idle[1] <= idle[0] + room
    assert busy[1] <= busy[0] + room
    assert of_relay[3] <= of_relay[1] + 1024

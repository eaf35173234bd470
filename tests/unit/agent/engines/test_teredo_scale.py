# SPDX-License-Identifier: GPL-3.0-or-later
"""Many Teredo clients behind mixed NATs, one server, one relay, in virtual time."""

from __future__ import annotations

import gc
import tracemalloc

from v6ferry.addresses.teredo import decode

from tests.simulation.nat import Kind
from tests.simulation.teredo import World, echo_request
from tests.unit.agent.engines.test_teredo_matrix import FORBIDDEN, KINDS

CLIENTS = 1000


def test_all_qualify_and_talk_and_the_server_keeps_nothing() -> None:
    world = World(seed=7)
    world.internet.remembers = False
    clients = [(kind := KINDS[number % 5], world.client(kind)) for number in range(CLIENTS)]
    world.internet.run(60)
    assert all(one.status["ready"] for _kind, one in clients)
    pairs = list(zip(clients, clients[1:] + clients[:1], strict=True))
    for number, ((_here, a), (_there, b)) in enumerate(pairs):
        a.output(echo_request(a.address, b.address, number))
    world.internet.run(5)
    for number, ((here, a), (there, _b)) in enumerate(pairs):
        assert (number in a.replies) is ((here, there) not in FORBIDDEN), (here, there)
    assert world.server.engine.snapshot() == {}
    assert world.server.engine.next_deadline() is None


def test_memory_of_a_relay_s_peer_is_small_and_is_given_back(record_property) -> None:
    world = World(seed=8)
    world.internet.remembers = False
    clients = [world.client(Kind.PORT_RESTRICTED) for _number in range(300)]
    world.internet.run(5)
    for one in clients:
        assert decode(one.address)
        world.native.ping(one.address, within=0.001)
    world.internet.run(5)
    gc.collect()
    tracemalloc.start()
    world.native.ping(clients[0].address, within=0.001)
    before = tracemalloc.take_snapshot()
    more = [world.client(Kind.PORT_RESTRICTED) for _number in range(300)]
    world.internet.run(5)
    middle = tracemalloc.take_snapshot()
    for one in more:
        world.native.ping(one.address, within=0.001)
    world.internet.run(5)
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    assert world.relay.status["peers"] == 600
    of_peers = tracemalloc.Filter(inclusive=True, filename_pattern="*/engines/teredo/*")
    grown = sum(
        one.size_diff
        for one in after.filter_traces([of_peers]).compare_to(
            middle.filter_traces([of_peers]), "filename"
        )
    )
    assert before
    record_property("octets a peer", grown // 600)
    # Each of 300 pairs has a peer at the relay and one at the client.
    assert grown / 600 < 4096
    world.internet.run(700)
    assert world.relay.status["peers"] == 0

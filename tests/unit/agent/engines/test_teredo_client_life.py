# SPDX-License-Identifier: GPL-3.0-or-later
"""A Teredo client keeps its address, follows its network, and survives (RFC 4380 section 5.2.5)."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise
from random import Random

import pytest
from v6ferry.addresses.teredo import decode
from v6ferry.engines.teredo.client import TeredoClient
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.system.state import HostFacts, UnderlayAddress

from tests.simulation.nat import Kind
from tests.simulation.teredo import SERVER, World, echo_request
from tests.simulation.teredo_traffic import (
    bubbles,
    restricted_pair,
    solicitations,
    succeed,
)


def test_refreshes_come_at_random_between_three_quarters_and_the_whole_interval_rfc4380_5_2_5():
    world = World()
    world.client(Kind.PORT_RESTRICTED)
    world.internet.run(900)
    times = [time for time, destination, _one in solicitations(world) if destination == SERVER]
    gaps = {round(after - before, 2) for before, after in pairwise(times)}
    assert len(gaps) > 20
    assert all(22.5 <= gap <= 30 for gap in gaps)


def test_mapping_that_lives_half_a_minute_is_kept():
    """miredo refreshes at every 30 s, and such a NAT has forgotten by then."""
    world = World()
    client = world.client(nat=world.nat(Kind.PORT_RESTRICTED, timeout=30.0))
    world.internet.run(1)
    before = client.address
    world.internet.run(900)
    assert client.address == before


def test_client_follows_a_nat_that_was_restarted_rfc4380_5_2_5():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.ADDRESS_RESTRICTED)
    world.internet.run(5)
    before = a.address
    assert a.ping(b.address) is not None
    a.nat.reboot()
    world.internet.run(35)
    assert a.address != before
    assert a.ping(b.address, 2) is not None
    assert b.ping(a.address, 3) is not None


def test_client_survives_that_its_server_is_away():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    before = a.address
    world.internet.detach(SERVER)
    world.internet.run(60)
    assert not a.status["ready"]
    world.internet.attach(SERVER, world.server)
    world.internet.run(120)
    assert a.address == before  # the NAT has kept it, for it was asked for again and again
    assert a.ping(b.address) is not None


def test_peers_are_kept_when_the_same_address_comes_back():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    before = a.address
    assert a.ping(b.address) is not None
    world.internet.detach(SERVER)
    while a.status["ready"]:
        world.internet.run(1)
    assert (a.status["peers"], a.peers) == (1, {})  # nothing goes without an address
    world.internet.attach(SERVER, world.server)
    while not a.status["ready"]:
        world.internet.run(1)
    assert (a.address, a.status["peers"]) == (before, 1)


def test_peers_of_another_address_are_forgotten():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    a.nat.reboot()
    world.internet.run(31)
    assert a.status["peers"] == 0


@pytest.mark.parametrize("seconds", [1.0, 100.0, 1e6])
def test_jump_of_the_clock_does_no_harm(seconds):
    """The clock counts suspension and no more, but what jumps all the same is survived."""
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.SYMMETRIC)
    world.internet.run(5)
    b_address = b.address
    world.internet.now += seconds
    world.internet.run(40)
    assert a.status["ready"]
    assert b.status["ready"]
    assert world.relay.status["ready"]
    assert (b.address == b_address) is (seconds < 180)
    assert a.ping(world.native.address) is not None
    assert b.ping(world.native.address, 2) is not None


def test_clock_that_goes_back_does_no_harm():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(100)
    assert a.ping(b.address) is not None
    for machine in (a, b):
        machine.engine.handle_timer(world.internet.now - 60)
        machine.engine.find_peer(
            echo_request(machine.address, world.native.address, 5), world.internet.now - 60
        )
        machine.pump()
    world.internet.run(120)
    assert a.ping(b.address, 2) is not None


def test_client_wakes_after_a_day_of_sleep():
    """The clock counts suspension, so everything is due at once."""
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    a.nat.reboot()
    world.internet.now += 86400
    world.internet.run(40)
    assert a.ping(b.address, 2) is not None


def test_new_network_has_the_servers_asked_at_once():
    world = World()
    client = world.client()
    world.internet.run(5)
    before = client.address
    world.internet.detach(client.addresses[0])
    client.addresses = (IPv4Address("157.60.9.9"),)
    world.internet.attach(client.addresses[0], client)
    client.tell_facts()
    world.internet.run(0.1)
    assert decode(client.address).client == IPv4Address("157.60.9.9")
    assert client.address != before


def test_host_with_two_addresses_is_known_by_the_one_that_the_server_sees():
    world = World()
    client = world.client()
    first, second = client.addresses[0], IPv4Address("157.60.9.9")
    facts = HostFacts(
        underlay=tuple(UnderlayAddress(one, "eth0") for one in (first, second)),
        underlay_mtu={"eth0": 1500},
        host_endpoints=frozenset({first, second}),
        sources={SERVER: second},
    )
    client.engine.update_facts(facts, world.internet.now)
    (sent,) = client.engine.datagrams_to_send()
    assert sent.source == second
    wanted = client.engine.wanted(world.internet.now)
    assert wanted.table.encapsulation.default_source == second
    assert wanted.endpoints == {SERVER}


def test_successor_has_the_same_address_and_peers_at_once():
    world, a, b = restricted_pair()
    assert a.ping(b.address, within=5) is not None
    before, peers, began = a.address, dict(a.peers), world.internet.now
    spec = TeredoClientSpec.parse({"servers": [str(SERVER)]}, "teredo_client/c")
    succeed(a, TeredoClient(spec, Random(99), world.internet.now))
    assert (a.address, a.peers) == (before, peers)
    assert a.ping(b.address, 2) == pytest.approx(0.04)
    assert bubbles(world, began) == []
    assert len(solicitations(world, began)) == 1  # whether it is still so


def test_successor_notices_what_has_changed_meanwhile():
    world, a, _b = restricted_pair()
    before = a.address
    a.nat.reboot()
    spec = TeredoClientSpec.parse({"servers": [str(SERVER)]}, "teredo_client/c")
    succeed(a, TeredoClient(spec, Random(99), world.internet.now))
    world.internet.run(1)
    assert a.address != before
    other = TeredoClientSpec.parse({"servers": ["198.41.0.10"]}, "teredo_client/c")
    succeed(a, TeredoClient(other, Random(98), world.internet.now))
    assert a.engine.wanted(world.internet.now).interface.addresses == ()


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        {"flags": "x", "port": 1, "servers": {}},
        {"flags": 1, "port": 50000, "servers": 1},
        {"flags": 1, "port": 50000, "servers": {}, "qualified": {"server": ["x"]}},
        {
            "flags": 1,
            "port": 50000,
            "servers": {},
            "qualified": {"server": ["1.2.3.4", "1.2.3.5"], "mapped": [1, 2], "nat": "none"},
            "peers": [[1]],
        },
    ],
)
def test_malformed_snapshot_is_ignored(malformed):
    world = World()
    client = world.client()
    client.engine.restore(malformed, 0.0)
    world.internet.run(1)
    assert client.status["ready"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding out how long a NAT remembers: RFC 4380 section 5.2.7, behind NATs in virtual time."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v6ferry.addresses.teredo import TeredoAddress, decode
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.interval import RefreshInterval
from v6ferry.engines.teredo.qualification import Nat, Server
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.engines.teredo.tables import MORE_PORTS
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import TEREDO_PORT, TeredoDatagram, bubble

from tests.simulation.nat import Kind
from tests.simulation.teredo import RELAY, SERVER, World

BEHIND_A_NAT = (
    Kind.FULL_CONE,
    Kind.ADDRESS_RESTRICTED,
    Kind.PORT_RESTRICTED,
    Kind.SYMMETRIC,
    Kind.SEQUENTIAL,
    Kind.PORT_PRESERVING,
)


def learner(world, timeout, kind=Kind.PORT_RESTRICTED, **spec):
    """A client that finds out how long its NAT remembers."""
    spec = {"longest_refresh_interval": 120, **spec}
    return world.client(kind, nat=world.nat(kind, timeout=timeout), **spec)


def refreshes(world, client, since):
    """When the service port of a client has asked the server."""
    source = Endpoint(decode(client.address).client, decode(client.address).port)
    return [
        one.time
        for one in world.internet.carried
        if one.time >= since
        and (one.source, one.destination) == (source, Endpoint(SERVER, TEREDO_PORT))
        and neighbor_discovery_type(TeredoDatagram.parse(one.payload).packet) == 133
    ]


@pytest.mark.parametrize("kind", BEHIND_A_NAT, ids=lambda kind: kind.value)
def test_interval_is_doubled_until_the_nat_forgets_rfc4380_5_2_7(kind):
    world = World()
    client = learner(world, 100.0, kind)
    world.internet.run(5)
    before = client.address
    world.internet.run(400)
    assert client.status["refresh_interval"] == 60  # it has forgotten after 120
    assert client.status["refresh_interval_is_learned"]
    assert client.address == before
    since = world.internet.now
    world.internet.run(3600)
    gaps = [after - early for early, after in pairwise(refreshes(world, client, since))]
    assert all(45 <= gap <= 60 for gap in gaps)
    assert max(gaps) - min(gaps) > 5  # randomised between 75 and 100 % of it
    assert client.address == before


def test_secondary_port_is_one_without_another_use_rfc4380_5_2_7():
    """From the service port, or a peer's, it would find out nothing."""
    (free, *taken) = MORE_PORTS
    interval = RefreshInterval(Random(1), first=30, longest=120, secret=None)
    address = TeredoAddress(SERVER, IPv4Address("157.60.0.1"), 4096).encode()
    server = Server(SERVER, IPv4Address(int(SERVER) + 1))
    interval.follow(server, Nat.RESTRICTED, address, frozenset(taken), 0.0)
    assert interval.port == free


def test_interval_does_not_grow_beyond_its_bound_rfc4380_5_2_7():
    world = World()
    client = learner(world, 10_000.0)
    world.internet.run(1000)
    assert client.status["refresh_interval"] == 120
    client = learner(world, 10_000.0, longest_refresh_interval=50)
    world.internet.run(1000)
    assert client.status["refresh_interval"] == 50


def test_nat_that_forgets_after_less_than_half_a_minute_rfc6081_5_1_1():
    world = World()
    client = learner(world, 20.0)
    world.internet.run(200)
    assert client.status["refresh_interval"] == 15
    before = client.address
    world.internet.run(3600)
    assert client.address == before


def test_service_port_is_refreshed_as_set_while_longer_ones_are_tried():
    world = World()
    client = learner(world, 31.0)
    world.internet.run(1)
    before = client.address
    world.internet.run(600)
    assert client.address == before
    assert client.status["refresh_interval"] == 30
    assert client.status["refresh_interval_is_learned"]


def test_secondary_port_is_another_one_and_is_closed_afterwards():
    world = World()
    client = learner(world, 10_000.0)
    world.internet.run(5)
    encapsulation = client.engine.wanted(0).table.encapsulation
    (port,) = encapsulation.more_ports
    assert port != encapsulation.port
    world.internet.run(1000)
    assert client.engine.wanted(0).table.encapsulation.more_ports == frozenset()


@pytest.mark.parametrize("spec", [{}, {"longest_refresh_interval": 120}])
def test_nothing_is_tried_unasked_nor_without_a_nat(spec):
    world = World()
    client = world.client(Kind.NONE if spec else Kind.PORT_RESTRICTED, **spec)
    world.internet.run(300)
    assert client.engine.wanted(0).table.encapsulation.more_ports == frozenset()
    assert client.status["refresh_interval"] == 30
    assert not client.status["refresh_interval_is_learned"]


def test_new_mapping_is_found_out_about_anew():
    world = World()
    client = learner(world, 10_000.0)
    world.internet.run(1000)
    assert client.status["refresh_interval"] == 120
    before = client.address
    client.nat.reboot()
    world.internet.run(121)
    assert client.address != before
    assert client.status["refresh_interval"] < 120
    world.internet.run(1000)
    assert client.status["refresh_interval"] == 120


def test_server_that_is_away_while_it_is_asked_does_no_harm():
    world = World()
    client = learner(world, 10_000.0)
    world.internet.run(20)
    world.internet.detach(SERVER)
    world.internet.run(60)
    world.internet.attach(SERVER, world.server)
    world.internet.run(1500)
    assert client.status["ready"]
    assert client.status["refresh_interval"] in (30, 120)


def test_key_is_used_at_the_secondary_port_too_rfc4380_5_2_2():
    world = World()
    key = {"client_identifier": "laptop", "key": "secret"}
    other = IPv4Address("198.41.0.10")
    world.machine_of_server(other, clients=[key], require_authentication=True)
    client = learner(world, 10_000.0, servers=[str(other)], **key)
    world.internet.run(1000)
    assert client.status["refresh_interval"] == 120


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=120), max_size=10), st.booleans())
def test_nobody_else_has_a_client_learn_anything(payloads, from_server):
    world = World()
    client = learner(world, 25.0)
    world.internet.run(31)  # the bubble is on its way, and the NAT has forgotten
    (port,) = client.engine.wanted(0).table.encapsulation.more_ports
    source = Endpoint(SERVER if from_server else RELAY, TEREDO_PORT, port)
    for payload in payloads:
        for whole in (payload, bubble(client.address, client.address) + payload):
            client.engine.receive_datagram(whole, source, client.addresses[0], world.internet.now)
            client.pump()
    assert not client.status["refresh_interval_is_learned"]


def test_bound_below_the_interval_is_refused():
    spec = {"servers": ["a"], "refresh_interval": 60, "longest_refresh_interval": 30}
    with pytest.raises(SpecificationError, match=r"longest_refresh_interval: 30 is less than"):
        TeredoClientSpec.parse(spec, "teredo_client/t")

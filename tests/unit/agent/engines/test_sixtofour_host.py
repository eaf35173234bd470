# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 host."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.engines.sixtofour.host import SixToFourHost
from v6ferry.engines.sixtofour.host_specification import SixToFourHostSpec
from v6ferry.engines.specification import SpecificationError
from v6ferry.forwarding.decide import (
    Accept,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.system.state import HostFacts, UnderlayAddress

PUBLIC, OTHER, PRIVATE = (IPv4Address(a) for a in ("131.107.0.1", "131.107.0.2", "10.0.0.1"))
OURS, PEER = IPv6Address("2002:836b:1::836b:1"), IPv6Address("2002:9d3c:1::9d3c:1")
PEER_V4 = IPv4Address("157.60.0.1")


def host(*public, native=(), **options):
    engine = SixToFourHost(SixToFourHostSpec.parse(options, "sixtofour_host/test"), Random(1), 0.0)
    see(engine, *public, native=native)
    return engine


def see(engine, *public, native=()):
    facts = HostFacts(
        underlay=tuple(UnderlayAddress(one, "eth0") for one in public),
        underlay_mtu={"eth0": 1500},
        host_endpoints=frozenset(public),
        preferred_addresses={"eth0": tuple(map(IPv6Address, native))} if native else {},
    )
    engine.update_facts(facts, 0.0)


def own(engine):
    return [one.address for one in engine.wanted(0.0).interface.addresses]


def test_address_embeds_the_public_one_twice_and_follows_it_rfc3056_2():
    engine = host(PUBLIC)
    assert own(engine) == [OURS]
    assert not engine.wanted(0.0).interface.forwarding
    see(engine, OTHER)
    assert own(engine) == [IPv6Address("2002:836b:2::836b:2")]


def test_private_address_makes_none_but_on_a_closed_network():
    assert own(host(PRIVATE)) == []
    assert "globally_unique" in host(PRIVATE).status(0.0)["summary"]
    assert own(host(PRIVATE, globally_unique=False)) == [IPv6Address("2002:a00:1::a00:1")]


def test_automatic_is_idle_while_there_is_native_ipv6_and_says_why():
    engine = host(PUBLIC, native=["2001:db8::5"])
    assert own(engine) == []
    assert engine.wanted(0.0).interface.routes == ()
    status = engine.status(0.0)
    assert status["ready"]
    assert not status["active"]
    assert "native IPv6, 2001:db8::5 on eth0" in status["summary"]
    see(engine, PUBLIC)
    assert own(engine) == [OURS]


@pytest.mark.parametrize("address", ["2002:1::1", "2001:0:1::1", "fd00::1"])
def test_transition_and_local_addresses_are_not_native(address):
    assert own(host(PUBLIC, native=[address])) == [OURS]


def test_mode_overrides_what_the_host_has():
    assert own(host(PUBLIC, native=["2001:db8::5"], mode="enabled")) == [OURS]
    assert own(host(PUBLIC, mode="disabled")) == []
    with pytest.raises(SpecificationError, match=r"mode: 'on' is not one of automatic, enabled"):
        host(PUBLIC, mode="on")


def test_relay_by_name_keeps_its_last_address():
    engine = host(PUBLIC, relay="6to4.example.net", route_metric=9)
    assert engine.wanted(0.0).names == {"6to4.example.net"}
    assert not engine.status(0.0)["ready"]
    engine.name_resolved("6to4.example.net", (PEER_V4,), 0.0)
    engine.name_resolved("6to4.example.net", (), 1.0)
    (default,) = [r for r in engine.wanted(1.0).interface.routes if r.prefix.prefixlen == 0]
    assert (default.gateway, default.metric) == (PEER, 9)
    successor = host(PUBLIC, relay="6to4.example.net")
    successor.restore(engine.snapshot(), 2.0)
    assert successor.status(2.0)["relay"] == str(PEER_V4)


def test_only_our_own_addresses_leave_and_come_in_rfc3964_5():
    table = host(PUBLIC).wanted(0.0).table
    assert isinstance(decide_encapsulation(table, OURS, PEER), Encapsulate)
    foreign = IPv6Address("2002:a00:1::1")
    assert not isinstance(decide_encapsulation(table, foreign, PEER), Encapsulate)
    assert not isinstance(decide_encapsulation(table, OURS, foreign), Encapsulate)
    assert isinstance(decide_decapsulation(table, PEER_V4, PUBLIC, PEER, OURS), Accept)
    for outer, source, destination in (
        (PEER_V4, foreign, OURS),
        (PEER_V4, PEER, foreign),
        (PRIVATE, foreign, OURS),
        (PEER_V4, IPv6Address("2001:db8::1"), OURS),
    ):
        said = decide_decapsulation(table, outer, PUBLIC, source, destination)
        assert not isinstance(said, Accept)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo clients behind every pair of NATs, in virtual time: who reaches whom, and how soon."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from v6ferry.engines.interface import DatagramEngine

from tests.simulation.nat import Kind, Nat
from tests.simulation.teredo import World, round_trips

KINDS = (
    Kind.NONE,
    Kind.FULL_CONE,
    Kind.ADDRESS_RESTRICTED,
    Kind.PORT_RESTRICTED,
    Kind.SYMMETRIC,
)
FORESEEN = (Kind.PORT_PRESERVING, Kind.SEQUENTIAL)
SYMMETRIC = (Kind.SYMMETRIC, *FORESEEN)
ALL_KINDS = (*KINDS, *FORESEEN)
_STRICT = (Kind.PORT_RESTRICTED, *SYMMETRIC)
FORBIDDEN = {
    (here, there) for here in _STRICT for there in _STRICT if Kind.SYMMETRIC in (here, there)
}
"""Each would have to know a port that the other's NAT chooses at random when it sends."""
LATEST = 2.5
"""Round trips to the first reply between two clients; miredo takes as many."""
LATEST_SYMMETRIC = 4
"""A symmetric NAT's port is known only when its client has answered (RFC 6081 section 6.1)."""
LATEST_FORESEEN = {
    (Kind.PORT_RESTRICTED, Kind.SEQUENTIAL): 5,
    (Kind.PORT_PRESERVING, Kind.PORT_PRESERVING): 6,
    (Kind.PORT_PRESERVING, Kind.SEQUENTIAL): 8,
    (Kind.SEQUENTIAL, Kind.PORT_PRESERVING): 8,
    (Kind.SEQUENTIAL, Kind.SEQUENTIAL): 10,
}
"""The echo test takes a round trip, and between two such NATs neither port is known at first."""
LATEST_NATIVE = 3.6
"""Round trips to the first reply through a relay; miredo takes as many."""


@pytest.mark.parametrize("there", ALL_KINDS, ids=lambda kind: kind.value)
@pytest.mark.parametrize("here", ALL_KINDS, ids=lambda kind: kind.value)
def test_client_reaches_a_silent_client(here: Kind, there: Kind) -> None:
    world = World()
    a, b = world.client(here), world.client(there)
    world.internet.run(5)
    took = a.ping(b.address)
    if (here, there) in FORBIDDEN:
        assert took is None
        return
    assert took is not None
    latest = LATEST_SYMMETRIC if {here, there} & set(SYMMETRIC) else LATEST
    latest = LATEST_FORESEEN.get((here, there), latest)
    if here not in SYMMETRIC and there in (Kind.NONE, Kind.FULL_CONE):
        latest = 2  # its NAT lets the bubble in that goes straight to it
    assert round_trips(took) <= latest
    assert b.ping(a.address, 2) == pytest.approx(0.04)


@pytest.mark.parametrize("inner", KINDS[1:], ids=lambda kind: kind.value)
@pytest.mark.parametrize("outer", KINDS[1:], ids=lambda kind: kind.value)
def test_two_nats_one_in_the_other_are_as_the_stricter_of_them(outer: Kind, inner: Kind) -> None:
    world = World()
    outside = world.nat(outer)
    nat = Nat(outside, IPv4Address("100.64.0.1"), inner, world.random)
    a, b = world.client(nat=nat), world.client(Kind.ADDRESS_RESTRICTED)
    world.internet.run(5)
    stricter = max(outer, inner, key=KINDS.index)
    assert a.status["nat"] == ("symmetric" if stricter is Kind.SYMMETRIC else "restricted")
    assert a.ping(b.address) is not None
    assert b.ping(a.address, 2) is not None
    assert a.ping(world.native.address, 3) is not None


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.value)
def test_client_reaches_a_native_host_rfc4380_5_2_9(kind: Kind) -> None:
    world = World()
    client = world.client(kind)
    world.internet.run(5)
    took = client.ping(world.native.address)
    assert took is not None
    assert round_trips(took) <= LATEST_NATIVE


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.value)
def test_native_host_reaches_a_silent_client_rfc4380_5_4_1(kind: Kind) -> None:
    world = World()
    client = world.client(kind)
    world.internet.run(5)
    took = world.native.ping(client.address)
    assert took is not None
    assert round_trips(took) <= LATEST_NATIVE + 0.1


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.value)
def test_client_learns_of_its_nat_rfc4380_5_2_1(kind: Kind) -> None:
    world = World()
    client, with_cone_bit = world.client(kind), world.client(kind, cone_bit=True)
    world.internet.run(5)
    known = {Kind.NONE: "none", **dict.fromkeys(SYMMETRIC, "symmetric")}
    assert client.status["nat"] == known.get(kind, "restricted")
    known[Kind.FULL_CONE] = "cone"
    assert with_cone_bit.status["nat"] == known.get(kind, "restricted")
    assert bool(int(with_cone_bit.address) >> 63 & 1) == (kind is Kind.FULL_CONE)


def test_engines_are_what_the_driver_takes_for_datagram_engines() -> None:
    world = World()
    for machine in (world.server, world.relay, world.client()):
        assert isinstance(machine.engine, DatagramEngine)

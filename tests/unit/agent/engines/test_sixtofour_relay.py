# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 relay's tables: what passes in which direction."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.addresses.sixtofour import sixtofour_address
from v6ferry.daemon.resources import check
from v6ferry.engines.sixtofour.relay import SixToFourRelay
from v6ferry.engines.sixtofour.relay_specification import SixToFourRelaySpec
from v6ferry.forwarding.decide import (
    Accept,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.system.state import HostFacts, UnderlayAddress

PUBLIC = IPv4Address("131.107.23.89")
ANYCAST, SITE = IPv4Address("192.88.99.1"), IPv4Address("157.60.0.1")
NATIVE = IPv6Address("2001:db8::1")


def relay(public=PUBLIC, **options):
    spec = SixToFourRelaySpec.parse(options, "sixtofour_relay/test")
    engine = SixToFourRelay(spec, Random(1), 0.0)
    engine.update_facts(
        HostFacts(
            underlay=(UnderlayAddress(public, "eth0"),),
            underlay_mtu={"eth0": 1500},
            host_endpoints=frozenset({public}),
        ),
        0.0,
    )
    return engine


@pytest.mark.parametrize("address", ["fe80::1", "fec0::1", "fd00::1", "ff02::1", "::10.0.0.1"])
def test_what_is_not_native_is_near_in_neither_direction_rfc3964_5_2(address):
    table = relay().wanted(0.0).table
    for index in (table.source_index, table.destination_index):
        assert index.match(int(IPv6Address(address))).accept is False


def test_native_addresses_are_left_to_the_check_for_loops_rfc6324_3():
    table = relay().wanted(0.0).table
    assert table.destination_index.match(int(IPv6Address("2001:db8::1"))) is None


def test_only_6to4_sources_come_in_rfc3964_5_2():
    table = relay().wanted(0.0).table
    assert table.ingress_index.match(int(IPv6Address("2001:db8::1"))) is None


def test_private_address_makes_no_relay_unless_the_network_is_closed_rfc3056_2():
    private = IPv4Address("10.0.0.1")
    assert not relay(private).status(0.0)["ready"]
    assert relay(private, globally_unique=False).status(0.0)["ready"]


def test_anycast_must_be_off_by_default_rfc7526_4():
    """RFC 7526 section 4: "the anycast 6to4 mechanism MUST be disabled by default"."""
    wanted = relay().wanted(0.0)
    assert wanted.interface.ipv4 == frozenset()
    assert ANYCAST not in wanted.table.local_endpoints
    assert check("sixtofour_relay", "default", {}).warnings == ()


def test_anycast_relay_hears_at_that_address_and_sends_from_its_own_rfc3068_2_4():
    engine = relay(anycast=True)
    wanted, site = engine.wanted(0.0), sixtofour_address(SITE)
    assert wanted.interface.ipv4 == {ANYCAST}
    for here in (ANYCAST, PUBLIC):
        decision = decide_decapsulation(wanted.table, SITE, here, site, NATIVE)
        assert isinstance(decision, Accept)
    back = decide_encapsulation(wanted.table, NATIVE, site)
    assert isinstance(back, Encapsulate)
    assert back.source == PUBLIC
    assert "192.88.99.1" in engine.status(0.0)["summary"]


def test_anycast_relay_without_an_address_of_its_own_does_not_answer():
    engine = relay(IPv4Address("10.0.0.1"), anycast=True)
    assert engine.wanted(0.0).interface.ipv4 == frozenset()
    assert not engine.status(0.0)["ready"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sixtofour_relay", {"anycast": True}),
        ("sixtofour_host", {"relay": "192.88.99.1"}),
        ("sixtofour_router", {"relay": "192.88.99.1"}),
    ],
)
def test_anycast_is_warned_of_rfc7526(kind, options):
    (warning,) = check(kind, "default", options).warnings
    assert "RFC 7526" in warning


@pytest.mark.parametrize("kind", ["sixtofour_host", "sixtofour_router"])
def test_other_relays_are_not_warned_of(kind):
    assert check(kind, "default", {"relay": "192.0.2.1"}).warnings == ()

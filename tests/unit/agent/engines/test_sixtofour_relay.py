# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 relay's tables: what passes in which direction."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.engines.sixtofour.relay import SixToFourRelay
from v6ferry.engines.sixtofour.relay_specification import SixToFourRelaySpec
from v6ferry.system.state import HostFacts, UnderlayAddress

PUBLIC = IPv4Address("131.107.23.89")


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

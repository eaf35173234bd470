# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic tunnels between IPv4-compatible addresses (RFC 2893 section 5)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.engines.compatible import CompatibleTunnel, CompatibleTunnelSpec
from v6ferry.engines.specification import SpecificationError
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)

from tests.unit.agent.virtual import facts

HERE, SECOND, THERE = (IPv4Address(one) for one in ("10.0.0.1", "10.0.0.2", "10.0.3.1"))
OURS, THEIRS = IPv6Address("::10.0.0.1"), IPv6Address("::10.0.3.1")


def engine(*addresses, **options):
    spec = CompatibleTunnelSpec.parse(options, "compatible_tunnel/default")
    made = CompatibleTunnel(spec, Random(1), 0.0)
    made.update_facts(facts(*addresses), 0.0)
    return made


def test_every_ipv4_address_makes_an_address_rfc2893_5_1():
    interface = engine(HERE, SECOND).wanted(0.0).interface
    assert [str(one.address) for one in interface.addresses] == ["::a00:1", "::a00:2"]
    assert [str(one.prefix) for one in interface.routes] == ["::/96"]


def test_destination_is_the_endpoint_and_the_source_ours_rfc2893_5_2():
    table = engine(HERE, SECOND).wanted(0.0).table
    second = IPv6Address("::10.0.0.2")
    assert decide_encapsulation(table, OURS, THEIRS) == Encapsulate(THERE, HERE, "automatic")
    assert decide_encapsulation(table, second, THEIRS) == Encapsulate(THERE, SECOND, "automatic")
    assert isinstance(decide_encapsulation(table, IPv6Address("2001:db8::1"), THEIRS), Drop)


def test_only_the_sender_s_own_address_comes_in_and_only_for_ours_rfc2893_5_4():
    table = engine(HERE, SECOND).wanted(0.0).table
    assert decide_decapsulation(table, THERE, HERE, THEIRS, OURS) == Accept("automatic")
    for source, destination in (
        ("::10.0.3.2", OURS),
        ("2001:db8::1", OURS),
        (THEIRS, "::10.0.0.2"),  # ours, but not the one that the outer packet came to
        (THEIRS, "2001:db8::1"),
        ("::1", OURS),
    ):
        decision = decide_decapsulation(
            table, THERE, HERE, IPv6Address(source), IPv6Address(destination)
        )
        assert isinstance(decision, Drop), (source, destination)


def test_host_without_ipv4_waits_for_it():
    status = engine().status(0.0)
    assert (status["ready"], status["addresses"]) == (False, [])


def test_unknown_option_is_one_clear_error():
    with pytest.raises(SpecificationError, match="compatible_tunnel/default: unknown option rout"):
        engine(HERE, route="::/96")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of RFC 3964 section 5, for a 6to4 host, router and relay."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.addresses.sixtofour import sixtofour_address
from v6ferry.daemon.resources import check
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.system.state import HostFacts, UnderlayAddress

HERE, SECOND = IPv4Address("131.107.0.1"), IPv4Address("131.107.9.1")
BROADCAST = IPv4Address("131.107.0.255")
THERE, RELAY, ELSEWHERE = (
    IPv4Address(one) for one in ("157.60.0.1", "194.207.1.5", "12.155.161.1")
)
OURS, OUR_SECOND, THEIRS = (sixtofour_address(one) for one in (HERE, SECOND, THERE))
OTHER_SITE = sixtofour_address(ELSEWHERE)
NATIVE, OTHER_NATIVE = IPv6Address("2001:db8::1"), IPv6Address("2001:db8:9::1")
KINDS = ("sixtofour_host", "sixtofour_router", "sixtofour_relay")
NOT_GLOBAL = [
    "0.0.0.1",
    "10.0.0.1",
    "127.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    # Not known to RFC 3964 yet, and no more global.
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
]
NEVER = [
    "::",
    "::1",
    "::157.60.0.1",
    "::ffff:157.60.0.1",
    "::ffff:0:157.60.0.1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff02::2",
    "ff0e::1",
    "fd00::1",
]


def table_of(kind, resolved=(), **options):
    if kind != "sixtofour_relay":
        options = {"relay": str(RELAY)} | options
    engine = check(kind, "test", options).engine(Random(1), 0.0)
    engine.update_facts(
        HostFacts(
            underlay=(UnderlayAddress(HERE, "eth0"), UnderlayAddress(SECOND, "eth0")),
            underlay_mtu={"eth0": 1500},
            host_endpoints=frozenset({HERE, SECOND}),
            broadcast_addresses=frozenset({BROADCAST}),
        ),
        0.0,
    )
    if resolved:
        engine.name_resolved(options["relay"], resolved, 0.0)
    return engine.wanted(0.0).table


@pytest.fixture(params=KINDS)
def table(request):
    return table_of(request.param)


@pytest.fixture(params=KINDS[:2])
def end(request):
    """The table of a host or a site's router."""
    return table_of(request.param)


@pytest.fixture
def relay():
    return table_of("sixtofour_relay")


def out(table, source, destination):
    return decide_encapsulation(table, source, destination)


def into(table, outer, source, destination, *, to=HERE):
    return decide_decapsulation(table, outer, to, source, destination)


def is_dropped(decision):
    return isinstance(decision, Drop)


# Section 5.1: encapsulating IPv6 into IPv4


def test_6to4_source_goes_out_from_the_address_that_it_embeds_rfc3964_5_1(table):
    assert out(table, OURS, THEIRS).source == HERE
    assert out(table, OUR_SECOND, THEIRS).source == SECOND


def test_6to4_source_of_somebody_else_does_not_go_out_rfc3964_5_1(table):
    assert out(table, OTHER_SITE, THEIRS) == Drop(DropReason.INNER_SOURCE)


def test_6to4_destination_goes_to_the_address_that_it_embeds_rfc3964_5_1(table):
    assert out(table, OURS, THEIRS).endpoint == THERE


def test_native_source_leaves_through_a_relay_alone_rfc3964_5_1(end, relay):
    assert out(end, NATIVE, THEIRS) == Drop(DropReason.INNER_SOURCE)
    assert isinstance(out(relay, NATIVE, THEIRS), Encapsulate)


def test_nothing_goes_out_between_native_addresses_rfc3964_5_1(table):
    assert is_dropped(out(table, NATIVE, OTHER_NATIVE))


# Section 5.2: decapsulating IPv4 into IPv6


def test_6to4_destination_embeds_the_outer_one_rfc3964_5_2(table):
    assert isinstance(into(table, THERE, THEIRS, OURS), Accept)
    assert into(table, THERE, THEIRS, OURS, to=SECOND) == Drop(DropReason.INNER_DESTINATION)
    assert into(table, THERE, THEIRS, OTHER_SITE) == Drop(DropReason.INNER_DESTINATION)


def test_6to4_source_embeds_the_outer_one_rfc3964_5_2(table):
    decision = into(table, ELSEWHERE, THEIRS, OURS)
    assert decision.reason is DropReason.SOURCE_MISMATCH


def test_outer_destination_is_ours_rfc3964_5_2(table):
    decision = into(table, THERE, THEIRS, OURS, to=ELSEWHERE)
    assert decision == Drop(DropReason.OUTER_DESTINATION)


def test_nothing_comes_in_between_native_addresses_rfc3964_5_2(table):
    assert is_dropped(into(table, THERE, NATIVE, OTHER_NATIVE))


def test_native_destination_is_reached_through_a_relay_alone_rfc3964_5_2(end, relay):
    assert into(end, THERE, THEIRS, NATIVE) == Drop(DropReason.INNER_DESTINATION)
    assert isinstance(into(relay, THERE, THEIRS, NATIVE), Accept)


def test_native_source_does_not_come_to_a_relay_rfc3964_5_2(end, relay):
    assert is_dropped(into(relay, THERE, NATIVE, OURS))
    assert isinstance(into(end, ELSEWHERE, NATIVE, OURS), Accept)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_native_source_may_be_made_to_come_through_our_relay_alone(kind):
    """Where the relay is known, nobody else needs to be trusted."""
    table = table_of(kind, accept_relays="configured")
    assert isinstance(into(table, RELAY, NATIVE, OURS), Accept)
    assert into(table, ELSEWHERE, NATIVE, OURS).reason is DropReason.SOURCE_MISMATCH
    assert isinstance(into(table, THERE, THEIRS, OURS), Accept)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_relay_given_by_name_is_accepted_at_each_of_its_addresses(kind):
    options = {"relay": "6to4.example.net", "accept_relays": "configured"}
    assert is_dropped(into(table_of(kind, **options), RELAY, NATIVE, OURS))
    table = table_of(kind, resolved=(RELAY, ELSEWHERE), **options)
    for one in (RELAY, ELSEWHERE):
        assert isinstance(into(table, one, NATIVE, OURS), Accept)
    assert is_dropped(into(table, THERE, NATIVE, OURS))


@pytest.mark.parametrize("kind", KINDS[:2])
def test_native_source_does_not_come_without_a_relay(kind):
    assert is_dropped(into(table_of(kind, relay=None), RELAY, NATIVE, OURS))


# Section 5.3.1: IPv4 addresses


@pytest.mark.parametrize("text", NOT_GLOBAL)
def test_ipv4_address_is_global_unicast_rfc3964_5_3_1(table, text):
    address = IPv4Address(text)
    embedding = IPv6Address(0x2002 << 112 | int(address) << 80 | 1)
    assert is_dropped(out(table, OURS, embedding))
    assert is_dropped(out(table, embedding, THEIRS))
    for destination in (OURS, NATIVE):
        assert is_dropped(into(table, address, embedding, destination))
        assert is_dropped(into(table, address, NATIVE, destination))
    assert is_dropped(into(table, THERE, THEIRS, embedding))


def test_broadcast_address_of_a_subnet_of_ours_is_no_endpoint_rfc3964_5_3_1(table):
    assert out(table, OURS, sixtofour_address(BROADCAST)).reason is DropReason.ENDPOINT_REFUSED
    decision = into(table, BROADCAST, sixtofour_address(BROADCAST), OURS)
    assert decision == Drop(DropReason.ENDPOINT_REFUSED)


@pytest.mark.parametrize("kind", KINDS)
def test_user_can_only_allow_fewer_endpoints_rfc3964_5_3_1(kind):
    allowed = ["10.0.0.0/8", "192.168.7.0/24", "157.0.0.0/8", "192.0.0.0/6"]
    table = table_of(kind, allowed_endpoints=allowed)
    for text in ("10.0.0.1", "192.168.7.1", "192.168.8.1", "12.155.161.1"):
        decision = out(table, OURS, sixtofour_address(IPv4Address(text)))
        assert decision.reason is DropReason.ENDPOINT_REFUSED
    assert out(table, OURS, THEIRS).endpoint == THERE


@pytest.mark.parametrize("kind", KINDS)
def test_private_addresses_are_endpoints_of_a_closed_network(kind):
    table = table_of(kind, globally_unique=False)
    private = IPv4Address("10.0.0.9")
    theirs = sixtofour_address(private)
    assert out(table, OURS, theirs).endpoint == private
    assert isinstance(into(table, private, theirs, OURS), Accept)
    assert is_dropped(into(table, BROADCAST, sixtofour_address(BROADCAST), OURS))


# Section 5.3.2: IPv6 addresses


@pytest.mark.parametrize("text", NEVER)
def test_ipv6_address_is_global_unicast_rfc3964_5_3_2(table, text):
    address = IPv6Address(text)
    assert is_dropped(out(table, address, THEIRS))
    assert is_dropped(out(table, OURS, address))
    assert is_dropped(into(table, RELAY, address, OURS))
    assert is_dropped(into(table, RELAY, address, NATIVE))
    assert is_dropped(into(table, THERE, THEIRS, address))


@pytest.mark.parametrize("kind", KINDS)
def test_unique_local_addresses_are_let_through_on_a_closed_network_rfc4193_4_3(kind):
    table = table_of(kind, globally_unique=False)
    unique_local = IPv6Address("fd00::1")
    if kind == "sixtofour_relay":
        assert isinstance(into(table, THERE, THEIRS, unique_local), Accept)
        assert isinstance(out(table, unique_local, THEIRS), Encapsulate)
    else:
        assert isinstance(into(table, RELAY, unique_local, OURS), Accept)


# RFC 6324 section 3


def test_what_would_come_back_is_dropped_rfc6324_3_3(table):
    isatap = IPv6Address("2001:db8:7:7:200:5efe:836b:1")
    assert is_dropped(into(table, THERE, THEIRS, isatap))
    assert is_dropped(out(table, isatap, THEIRS))


def test_our_own_address_is_no_far_end_rfc6324_3_1(table):
    assert out(table, OURS, IPv6Address("2002:836b:1::9")).reason is DropReason.LOOP_ENDPOINT
    assert into(table, HERE, OURS, OURS) == Drop(DropReason.OUTER_SOURCE_IS_OURS)

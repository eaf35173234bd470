# SPDX-License-Identifier: GPL-3.0-or-later
"""6rd engines: prefixes, tables, relays, and what hosts behind hear."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import sixrd
from v6ferry.engines.sixrd.border_relay import SixrdBorderRelay
from v6ferry.engines.sixrd.specification import SixrdBorderRelaySpec, SixrdCustomerEdgeSpec
from v6ferry.engines.sixrd.tables import Domain
from v6ferry.engines.specification import SpecificationError
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.forwarding.table import ISATAP, SIXTOFOUR
from v6ferry.system.state import HostFacts, Route, UnderlayAddress

from tests.unit.agent.engines.sixrd_virtual import EDGE, RELAY, RELAY2, SPEC, Edge, facts, spec

NATIVE = IPv6Address("2001:db9::1")
OURS, BEHIND = IPv6Address("2001:db8:6464:100::a64:6401"), IPv6Address("2001:db8:6464:101::9")
OTHER_EDGE, OTHER = IPv4Address("10.2.0.1"), IPv6Address("2001:db8:200:101::5")
OUTSIDE = IPv4Address("192.0.2.7")


def border_relay(*addresses, loopback=(), **options):
    spec = SixrdBorderRelaySpec.parse(
        {"prefix": "2001:db8::/32", "ipv4_prefix": "10.0.0.0/8", **options}, "sixrd_br/test"
    )
    engine = SixrdBorderRelay(spec, Random(1), 0.0)
    underlay = [UnderlayAddress(one, "eth0") for one in addresses]
    underlay += [UnderlayAddress(one, "lo", is_loopback=True) for one in loopback]
    engine.update_facts(
        HostFacts(tuple(underlay), host_endpoints=frozenset([*addresses, *loopback])), 0.0
    )
    return engine


def out(engine, source, destination):
    return decide_encapsulation(engine.wanted(0.0).table, source, destination)


def into(engine, outer, ours, source, destination):
    return decide_decapsulation(engine.wanted(0.0).table, outer, ours, source, destination)


# Customer edge


def test_customer_edge_of_the_rfc_s_example_rfc5969_7_1_1():
    """RFC 5969 section 7.1.1: 10.100.100.1 in 10.0.0.0/8, a relay at 10.0.0.1."""
    edge = Edge()
    assert edge.delegated == "2001:db8:6464:100::/56"
    routes = {str(one.prefix): one.gateway for one in edge.wanted.interface.routes}
    assert routes == {"2001:db8::/32": None, "::/0": None}
    assert [str(one.address) for one in edge.wanted.interface.addresses] == [str(OURS)]
    assert edge.status["ready"]


@pytest.mark.parametrize(
    ("source", "destination", "verdict"),
    [
        (BEHIND, OTHER, OTHER_EDGE),
        (OURS, OTHER, OTHER_EDGE),
        (BEHIND, NATIVE, RELAY),
        (BEHIND, IPv6Address("2001:db8:0:100::1"), RELAY),
        (NATIVE, OTHER, DropReason.INNER_SOURCE),
        (OTHER, NATIVE, DropReason.INNER_SOURCE),
        (IPv6Address("fe80::1"), NATIVE, DropReason.INNER_SOURCE),
        (BEHIND, IPv6Address("2001:db8:6464:1ff::1"), DropReason.REFUSED_BY_RULE),
        (BEHIND, IPv6Address("ff02::16"), DropReason.MULTICAST),
    ],
)
def test_what_a_customer_edge_sends_rfc5969_9_2(source, destination, verdict):
    """RFC 5969 section 9.2: others directly, all else to the relay, nothing in another's name."""
    decision = out(Edge().engine, source, destination)
    if isinstance(verdict, DropReason):
        assert decision.reason is verdict
    else:
        assert (decision.endpoint, decision.source) == (verdict, EDGE)


@pytest.mark.parametrize(
    ("outer", "source", "destination", "verdict"),
    [
        (OTHER_EDGE, OTHER, BEHIND, "accepted"),
        (RELAY, NATIVE, BEHIND, "accepted"),
        (RELAY, OTHER, BEHIND, "accepted"),
        (OTHER_EDGE, NATIVE, BEHIND, DropReason.SOURCE_MISMATCH),
        (IPv4Address("10.3.0.1"), OTHER, BEHIND, DropReason.SOURCE_MISMATCH),
        (OTHER_EDGE, OTHER, NATIVE, DropReason.INNER_DESTINATION),
        (OTHER_EDGE, OTHER, OTHER, DropReason.INNER_DESTINATION),
        (OTHER_EDGE, IPv6Address("fe80::1"), BEHIND, DropReason.SOURCE_MISMATCH),
        (RELAY, IPv6Address("fe80::1"), BEHIND, DropReason.SOURCE_MISMATCH),
        (RELAY, BEHIND, BEHIND, DropReason.SOURCE_MISMATCH),
        (OUTSIDE, NATIVE, BEHIND, DropReason.ENDPOINT_REFUSED),
        (EDGE, BEHIND, BEHIND, DropReason.OUTER_SOURCE_IS_OURS),
    ],
)
def test_what_a_customer_edge_accepts_rfc5969_9_2(outer, source, destination, verdict):
    """RFC 5969 sections 9.2 and 12."""
    decision = into(Edge().engine, outer, EDGE, source, destination)
    if verdict == "accepted":
        assert isinstance(decision, Accept)
    else:
        assert decision.reason is verdict


def test_relay_outside_of_the_customers_prefix_is_spoken_to_and_nobody_else_there():
    edge = Edge(border_relays=[str(OUTSIDE)])
    assert out(edge.engine, BEHIND, NATIVE).endpoint == OUTSIDE
    assert isinstance(into(edge.engine, OUTSIDE, EDGE, NATIVE, BEHIND), Accept)
    nobody = IPv4Address("192.0.2.8")
    decision = into(edge.engine, nobody, EDGE, NATIVE, BEHIND)
    assert decision == Drop(DropReason.ENDPOINT_REFUSED)


def test_far_ends_are_those_that_user_and_domain_both_allow():
    edge = Edge(allowed_endpoints=["10.2.0.0/16"])
    assert out(edge.engine, BEHIND, OTHER).endpoint == OTHER_EDGE
    refused = out(edge.engine, BEHIND, IPv6Address("2001:db8:300:100::1"))
    assert refused.reason is DropReason.ENDPOINT_REFUSED


def test_other_tunnels_of_the_host_learn_how_this_one_finds_endpoints_rfc6324_3_3():
    table = Edge().wanted.table
    assert {ISATAP, SIXTOFOUR} < set(table.automatic)
    assert any(one.endpoint(int(BEHIND)) == int(EDGE) for one in table.automatic)
    # What is behind it embeds its endpoint and is no loop for them.
    assert [BEHIND in prefix for prefix in table.site_prefixes] == [True]


def test_route_that_an_administrator_sets_through_another_edge_goes_there():
    gateway = IPv6Address("2001:db8:200:100::1")
    edge = Edge()
    network = IPv6Network("2001:dba::/32")
    host = facts(EDGE)
    edge.set_facts(
        HostFacts(
            host.underlay,
            host_endpoints=host.host_endpoints,
            foreign_routes=(Route(network, gateway), Route(IPv6Network("::/0"), gateway)),
        )
    )
    assert out(edge.engine, BEHIND, IPv6Address("2001:dba::1")).endpoint == OTHER_EDGE


def test_customer_edge_behind_a_private_network_takes_the_address_towards_the_relay():
    """Two addresses: the one the kernel sends from to the relay is that of the domain."""
    lan = IPv4Address("172.16.0.1")
    edge = Edge(facts(lan, EDGE))
    assert edge.delegated is None
    assert "name it in underlay_interfaces" in edge.status["summary"]
    assert RELAY in edge.wanted.endpoints
    edge.set_facts(facts(lan, EDGE, sources={RELAY: EDGE}))
    assert edge.delegated == "2001:db8:6464:100::/56"
    edge.set_facts(facts(lan, EDGE))  # the route has gone for a moment
    assert edge.delegated == "2001:db8:6464:100::/56"


def test_address_of_a_private_interface_is_never_that_of_the_domain():
    lan = IPv4Address("10.9.9.9")
    edge = Edge(facts(EDGE, private=(lan,)), private_interfaces=[{"interface": "lan0"}])
    assert edge.delegated == "2001:db8:6464:100::/56"


def test_relay_that_has_a_name_is_waited_for():
    edge = Edge(border_relays=["relay.isp.example"])
    assert edge.wanted.names == {"relay.isp.example"}
    assert not edge.status["ready"]
    assert "no border relay known: relay.isp.example" in edge.status["summary"]
    edge.engine.name_resolved("relay.isp.example", (RELAY,), 0.0)
    edge.settle()
    assert out(edge.engine, BEHIND, NATIVE).endpoint == RELAY
    edge.engine.name_resolved("relay.isp.example", (), 1.0)
    assert edge.status["ready"]


def test_no_default_route_where_none_is_wanted():
    edge = Edge(default_route=False, private_interfaces=[{"interface": "lan0"}])
    assert [str(one.prefix) for one in edge.wanted.interface.routes] == ["2001:db8::/32"]
    edge.run(1)
    assert edge.advertised[-1][2].router_lifetime == 0


# Border relays


def test_silent_relay_is_left_for_the_next_and_taken_again_rfc5969_8():
    """RFC 5969 section 8: what it is given does not come back."""
    edge = Edge(border_relays=[str(RELAY), str(RELAY2)])
    edge.run(10, traffic="two way")
    assert edge.in_use == RELAY
    edge.forwarding.discard(RELAY)
    began = edge.now
    while edge.in_use == RELAY:
        edge.run(1, traffic="one way")
        assert edge.now - began <= 15
    assert edge.in_use == RELAY2
    assert edge.state_of(RELAY) == "silent"
    edge.forwarding.add(RELAY)
    edge.run(65, traffic="two way")
    assert edge.in_use == RELAY


def test_relay_that_answers_no_probe_but_carries_traffic_is_used():
    edge = Edge()
    edge.forwarding.clear()
    edge.run(30)
    assert edge.state_of(RELAY) == "silent"
    assert edge.in_use == RELAY  # there is no other
    edge.run(12, traffic="two way")
    assert edge.state_of(RELAY) == "reachable"


def test_probes_are_few():
    edge = Edge()
    edge.run(600)
    assert 20 <= len(edge.probed) <= 25
    edge.forwarding.clear()
    edge.probed.clear()
    edge.run(600)
    assert len(edge.probed) <= 25


# Hosts behind


def test_private_interfaces_get_a_subnet_each_rfc5969_7_1_1():
    edge = Edge(private_interfaces=[{"interface": "lan0"}, {"interface": "lan1", "subnet_id": 255}])
    edge.run(1)
    told = {interface: message for _time, interface, message in edge.advertised}
    prefixes = {name: [str(p.prefix) for p in one.prefixes] for name, one in told.items()}
    assert prefixes == {"lan0": ["2001:db8:6464:101::/64"], "lan1": ["2001:db8:6464:1ff::/64"]}
    assert all(one.router_lifetime == 1800 for one in told.values())
    assert edge.wanted.interface.forwarding


def test_delegated_64_is_for_one_interface():
    edge = Edge(ipv4_mask_length=0, private_interfaces=[{"interface": "lan0"}])
    edge.run(1)
    assert str(edge.advertised[-1][2].prefixes[0].prefix) == "2001:db8:a64:6401::/64"


def test_old_prefix_is_deprecated_and_the_new_one_advertised_at_once_rfc9096_3_5():
    edge = Edge(private_interfaces=[{"interface": "lan0"}])
    edge.run(100)
    edge.advertised.clear()
    changed = edge.now
    edge.set_facts(facts(IPv4Address("10.100.100.7")))
    edge.run(1)
    time, _interface, message = edge.advertised[0]
    lifetimes = {str(p.prefix): p.preferred_lifetime for p in message.prefixes}
    assert time - changed <= 0.5
    assert lifetimes == {"2001:db8:6464:701::/64": 2700, "2001:db8:6464:101::/64": 0}
    assert edge.delegated == "2001:db8:6464:700::/56"
    assert out(edge.engine, BEHIND, NATIVE).reason is DropReason.INNER_SOURCE


def test_hosts_hear_that_there_is_no_way_out_without_an_address_rfc7084_g_4():
    edge = Edge(private_interfaces=[{"interface": "lan0"}])
    edge.run(100)
    edge.set_facts(facts())
    edge.run(1)
    message = edge.advertised[-1][2]
    assert message.router_lifetime == 0
    assert [p.preferred_lifetime for p in message.prefixes] == [0]
    assert not edge.status["ready"]


def test_removed_customer_edge_takes_leave_of_its_hosts_rfc4861_6_2_5():
    edge = Edge(private_interfaces=[{"interface": "lan0"}])
    edge.run(10)
    edge.engine.begin_withdrawal(edge.now)
    edge.settle()
    edge.run(3)
    assert edge.engine.withdrawn()
    assert edge.advertised[-1][2].router_lifetime == 0


def test_successor_knows_what_hosts_were_told_and_what_names_meant():
    options = {"border_relays": ["relay.example"], "private_interfaces": [{"interface": "lan0"}]}
    edge = Edge(**options)
    edge.engine.name_resolved("relay.example", (RELAY,), 0.0)
    edge.run(10)
    heir = Edge(facts(), **options)
    heir.engine.restore(edge.engine.snapshot(), 0.0)
    heir.set_facts(facts(IPv4Address("10.100.100.7")))
    heir.run(1)
    ended = {str(p.prefix): p.preferred_lifetime for p in heir.advertised[-1][2].prefixes}
    assert ended["2001:db8:6464:101::/64"] == 0
    assert heir.in_use == RELAY


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_engine_survives_any_snapshot(value):
    edge = Edge(private_interfaces=[{"interface": "lan0"}])
    for snapshot in (
        {"resolved": value, "endpoint": value, "silent": value, "lan": value},
        {"resolved": {}, "endpoint": value, "silent": [], "lan": {"lan0": value}},
        {"resolved": {}, "endpoint": None, "silent": value, "lan": {}},
    ):
        edge.engine.restore(snapshot, 0.0)
        edge.settle()


# Border relay


@pytest.mark.parametrize(
    ("outer", "source", "verdict"),
    [
        (EDGE, BEHIND, "accepted"),
        (OTHER_EDGE, BEHIND, DropReason.SOURCE_MISMATCH),
        (EDGE, NATIVE, DropReason.SOURCE_MISMATCH),
        (EDGE, IPv6Address("fe80::1"), DropReason.SOURCE_MISMATCH),
        (OUTSIDE, NATIVE, DropReason.ENDPOINT_REFUSED),
    ],
)
def test_border_relay_takes_nothing_that_is_not_of_the_domain_rfc5969_9_2(outer, source, verdict):
    """RFC 5969 sections 9.2 and 12."""
    decision = into(border_relay(RELAY), outer, RELAY, source, NATIVE)
    if verdict == "accepted":
        assert isinstance(decision, Accept)
    else:
        assert decision.reason is verdict


def test_border_relay_sends_to_the_edge_that_the_destination_embeds_rfc5969_9_2():
    assert out(border_relay(RELAY), NATIVE, BEHIND) == Encapsulate(
        EDGE, RELAY, "2001:db8::/32 to customer edges"
    )
    own = IPv6Address("2001:db8:0:100::77")  # under the relay's own delegated prefix
    assert out(border_relay(RELAY), NATIVE, own).reason is DropReason.LOOP_ENDPOINT
    assert out(border_relay(RELAY), NATIVE, NATIVE).reason is DropReason.NO_RULE


def test_border_relay_has_an_anycast_address_on_a_loopback_interface_rfc5969_7():
    """RFC 5969 section 7: one IPv4 address for all relays; it is the outer source, too."""
    relay = border_relay(IPv4Address("198.51.100.9"), loopback=(OUTSIDE,))
    assert relay.status(0.0)["underlay_addresses"] == ["198.51.100.9"]
    relay = border_relay(
        IPv4Address("198.51.100.9"), loopback=(OUTSIDE,), underlay_addresses=[str(OUTSIDE)]
    )
    assert out(relay, NATIVE, BEHIND).source == OUTSIDE
    assert [one["address"] for one in relay.status(0.0)["addresses"]] == ["2001:db8::1"]


def test_border_relay_without_an_address_says_so():
    status = border_relay().status(0.0)
    assert not status["ready"]
    assert "underlay_addresses" in status["summary"]


# Specification


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prefix": None}, "prefix: is required"),
        ({"prefix": "10.0.0.0/8"}, "prefix: "),
        ({"prefix": "2001:db8::1/32"}, "host bits"),
        ({"prefix": "fe80::/10"}, "cannot be a 6rd prefix"),
        ({"prefix": "::/0"}, "cannot be a 6rd prefix"),
        ({"prefix": "2001:db8::/48"}, "give a /40 or shorter, or a longer ipv4_mask_length"),
        ({"ipv4_mask_length": 33}, "use 0 to 32"),
        ({"border_relays": []}, "border_relays: is required"),
        ({"border_relays": ["2001:db8::1"]}, r"border_relays\[0\]: .* IPv6"),
        ({"private_interfaces": [{"interface": "sixrd0"}]}, "provider's side"),
        ({"private_interfaces": [{"interface": "a"}, {"interface": "a"}]}, "there twice"),
        ({"private_interfaces": [{"interface": "a", "subnet_id": 256}]}, "use 0 to 255"),
        (
            {
                "ipv4_mask_length": 0,
                "private_interfaces": [{"interface": "a"}, {"interface": "b"}],
            },
            "a delegated /64 has 1",
        ),
        (
            {
                "private_interfaces": [
                    {"interface": "a", "subnet_id": 5},
                    {"interface": "b", "subnet_id": 5},
                ]
            },
            "subnet_id 5 already",
        ),
        ({"router_lifetime": 60}, "router_lifetime: 60 is shorter"),
        ({"relays": []}, "unknown option relays"),
    ],
)
def test_wrong_option_is_named(changed, message):
    with pytest.raises(SpecificationError, match=message):
        SixrdCustomerEdgeSpec.parse({**SPEC, **changed}, "sixrd_ce/x")


def test_subnets_are_numbered_around_those_that_are_given():
    private = [{"interface": "a"}, {"interface": "b", "subnet_id": 1}, {"interface": "c"}]
    found = spec(private_interfaces=private).private.interfaces
    assert [one.subnet_id for one in found] == [2, 1, 3]


# Tables and addresses agree

LENGTHS = st.tuples(st.integers(4, 64), st.integers(0, 32)).filter(
    lambda lengths: lengths[0] + 32 - lengths[1] <= 64
)
"""Of a 6rd prefix, and of what all IPv4 addresses have in common: the rest fits 64 bits."""


@given(LENGTHS, st.ip_addresses(v=4), st.integers(0, (1 << 64) - 1))
def test_selector_is_the_inverse_of_delegation_rfc5969_4(lengths, ipv4, host):
    """RFC 5969 section 4: for any lengths, an address of a customer leads to that customer."""
    length, mask_length = lengths
    prefix = IPv6Network((0x2A << 120, length), strict=False)
    domain = Domain(prefix, IPv4Network((int(ipv4), mask_length), strict=False))
    address = domain.delegated(ipv4)[host]
    assert domain.selector.endpoint(int(address)) == int(ipv4)
    assert sixrd.embedded_ipv4(address, prefix, domain.common) == ipv4


@given(LENGTHS, st.ip_addresses(v=4), st.ip_addresses(v=6))
def test_selector_and_address_code_agree_on_any_address(lengths, ipv4, address):
    length, mask_length = lengths
    domain = Domain(
        IPv6Network((0x2A << 120, length), strict=False),
        IPv4Network((int(ipv4), mask_length), strict=False),
    )
    found = sixrd.embedded_ipv4(address, domain.prefix, domain.common)
    assert domain.selector.endpoint(int(address)) == (None if found is None else int(found))


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_decisions_are_made_of_any_addresses(outer, ours, source, destination):
    for engine in (Edge().engine, border_relay(RELAY)):
        out(engine, source, destination)
        into(engine, outer, ours, source, destination)

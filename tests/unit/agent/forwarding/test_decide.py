# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tables of an ISATAP host and router say of a packet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.forwarding.table import ForwardingRule, PrefixIndex, TunnelTable

from tests.unit.agent.virtual import HOST_A, HOST_B, PREFIX, ROUTER, Node, Underlay

A, B = "2001:db8:0:7:0:5efe:192.168.47.99", "2001:db8:0:7:200:5efe:131.107.71.209"
LL_A, LL_B = "fe80::5efe:192.168.47.99", "fe80::200:5efe:131.107.71.209"
NATIVE = "2001:db8:0:c::c"
ROUTER_ADDRESS = "2001:db8:0:7:0:5efe:10.0.0.1"


@pytest.fixture(scope="module")
def nodes():
    router, a = Node.router(), Node.host(HOST_A)
    Underlay(router, a).run(2)
    return router, a


def out(node, source, destination):
    return decide_encapsulation(node.wanted.table, IPv6Address(source), IPv6Address(destination))


def into(node, outer_source, source, destination, outer_destination=None):
    here = outer_destination or node.facts.underlay[0].address
    return decide_decapsulation(
        node.wanted.table,
        IPv4Address(outer_source),
        IPv4Address(here),
        IPv6Address(source),
        IPv6Address(destination),
    )


# On the way out


@pytest.mark.parametrize(("source", "destination"), [(A, B), (LL_A, LL_B)])
def test_endpoint_is_in_the_low_32_bits_of_an_on_link_destination_rfc5214_7_2(
    nodes, source, destination
):
    """RFC 5214 section 7.2: the next hop of an on-link destination is itself."""
    assert out(nodes[1], source, destination) == Encapsulate(
        HOST_B, HOST_A, out(nodes[1], source, destination).rule
    )


def test_endpoint_of_everything_else_is_the_default_router_s_rfc5214_7_2(nodes):
    """RFC 5214 section 7.2: the next hop is the router's ISATAP link-local address."""
    decision = out(nodes[1], A, NATIVE)
    assert (decision.endpoint, decision.source) == (ROUTER, HOST_A)


def test_outer_source_is_the_one_that_the_inner_source_embeds_rfc5214_7_3():
    """RFC 5214 section 7.3: or the receiver would drop the packet."""
    host = Node.host(HOST_A, HOST_B, routers=[str(ROUTER)], link_local="always")
    assert out(host, LL_B, "fe80::5efe:10.0.0.9").source == HOST_B
    assert out(host, LL_A, "fe80::5efe:10.0.0.9").source == HOST_A
    assert out(host, NATIVE, "fe80::5efe:10.0.0.9").source is None


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("ff02::1", DropReason.MULTICAST),
        ("ff05::1:3", DropReason.MULTICAST),
        ("2001:db8:0:7::1", DropReason.DESTINATION_NOT_EMBEDDED),
        ("2001:db8:0:7:0:5efe:127.0.0.1", DropReason.ENDPOINT_NOT_UNICAST),
        ("2001:db8:0:7:0:5efe:224.0.0.1", DropReason.ENDPOINT_NOT_UNICAST),
        ("2001:db8:0:7:0:5efe:255.255.255.255", DropReason.ENDPOINT_NOT_UNICAST),
        ("2001:db8:0:7:0:5efe:0.0.0.0", DropReason.ENDPOINT_NOT_UNICAST),
    ],
)
def test_no_packet_leaves_for_an_endpoint_that_is_none_rfc5214_6_3(nodes, destination, reason):
    """RFC 5214 section 6.3 (no multicast) and RFC 4213 section 3.6 (no such IPv4 addresses)."""
    decision = out(nodes[1], A, destination)
    assert isinstance(decision, Drop)
    assert decision.reason is reason


def test_without_a_route_nothing_leaves():
    host = Node.host(link_local="always", routers=["isatap"])
    assert out(host, LL_A, NATIVE).reason is DropReason.NO_RULE


def test_own_endpoint_is_never_the_far_end_rfc6324_3_1(nodes):
    """RFC 6324 section 3.1: the packet would come straight back."""
    decision = out(nodes[0], NATIVE, ROUTER_ADDRESS)
    assert decision.reason is DropReason.LOOP_ENDPOINT


def test_forwarded_source_that_embeds_our_endpoint_is_a_loop_rfc6324_3_3(nodes):
    """RFC 6324 section 3.3: a 6to4 or ISATAP source that names this router, but is not its own."""
    for source in ("2002:a00:1::1", "2001:db8:9:9:0:5efe:10.0.0.1"):
        assert out(nodes[0], source, A).reason is DropReason.LOOP_SOURCE
    assert isinstance(out(nodes[0], ROUTER_ADDRESS, A), Encapsulate)


# On the way in


def test_host_takes_packets_of_neighbours_and_of_its_router_rfc5214_7_3(nodes):
    """RFC 5214 section 7.3: the source embeds the outer one, or a router of the list sent it."""
    host = nodes[1]
    assert isinstance(into(host, HOST_B, B, A), Accept)
    assert isinstance(into(host, HOST_B, LL_B, LL_A), Accept)
    assert isinstance(into(host, ROUTER, NATIVE, A), Accept)
    assert isinstance(into(host, ROUTER, B, A), Accept)


@pytest.mark.parametrize("u_bit", ["", "200"])
def test_either_u_bit_is_taken_rfc5214_6_1(nodes, u_bit):
    """RFC 5214 section 6.1: peers differ on which addresses are globally unique."""
    source = f"2001:db8:0:7:{u_bit or 0}:5efe:131.107.71.209"
    assert isinstance(into(nodes[1], HOST_B, source, A), Accept)


@pytest.mark.parametrize(
    ("outer", "source"),
    [
        (HOST_B, NATIVE),
        (HOST_B, "2001:db8:0:7:0:5efe:10.0.0.77"),
        (HOST_B, "fe80::5efe:10.0.0.1"),
        (ROUTER, "fe80::5efe:10.0.0.77"),
        (ROUTER, "fe80:1::5efe:10.0.0.1"),
        (HOST_B, "2001:db8:0:7::1"),
    ],
)
def test_spoofed_source_is_dropped_rfc5214_7_3(nodes, outer, source):
    """RFC 5214 section 7.3."""
    assert into(nodes[1], outer, source, A).reason is DropReason.SOURCE_MISMATCH


@pytest.mark.parametrize("source", ["::", "::1", "::10.0.0.9", "::ffff:10.0.0.9", "ff02::1"])
def test_source_that_no_packet_may_have_is_dropped_rfc4213_3_6(nodes, source):
    """RFC 4213 section 3.6: unspecified, loopback, IPv4-compatible and -mapped, multicast."""
    assert into(nodes[1], ROUTER, source, A).reason is DropReason.INNER_SOURCE


@pytest.mark.parametrize("outer", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_outer_source_must_be_unicast_rfc4213_3_6(nodes, outer):
    """RFC 4213 section 3.6."""
    assert into(nodes[1], outer, B, A).reason is DropReason.OUTER_SOURCE


def test_packet_for_another_address_of_the_host_is_not_the_tunnel_s():
    host = Node.host(HOST_A, HOST_B, underlay_addresses=[str(HOST_A)])
    decision = into(host, ROUTER, NATIVE, A, outer_destination=HOST_B)
    assert decision.reason is DropReason.OUTER_DESTINATION


def test_packet_from_ourselves_is_dropped_rfc6324_3_1(nodes):
    """RFC 6324 section 3.1."""
    assert into(nodes[0], ROUTER, ROUTER_ADDRESS, A).reason is DropReason.OUTER_SOURCE_IS_OURS


@pytest.mark.parametrize(
    "destination", ["2002:a00:1::9", "2001:db8:9:9:0:5efe:10.0.0.1", "2001:db8:0:9:200:5efe:a00:1"]
)
def test_destination_that_leads_back_to_us_is_a_loop_rfc6324_3_3(nodes, destination):
    """RFC 6324 section 3.3: it would leave through a tunnel whose far end is this router."""
    assert into(nodes[0], HOST_A, A, destination).reason is DropReason.LOOP_DESTINATION


def test_multicast_is_taken_only_for_neighbor_discovery_rfc5214_6_3(nodes):
    """RFC 5214 section 6.3: there is none; but a solicitation to all routers does no harm."""
    assert into(nodes[0], HOST_A, LL_A, "ff02::2").control_only
    assert into(nodes[0], HOST_A, LL_A, "ff02::16").reason is DropReason.INNER_DESTINATION


# Longest prefix


@given(
    st.lists(st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)), max_size=12),
    st.integers(0, 2**128 - 1),
)
def test_longest_prefix_wins(entries, address):
    networks = {IPv6Network((base >> (128 - n) << (128 - n), n)) for base, n in entries}
    rules = [ForwardingRule(network, None, str(network)) for network in networks]
    expected = max(
        (one for one in networks if IPv6Address(address) in one),
        key=lambda one: one.prefixlen,
        default=None,
    )
    found = PrefixIndex(rules).match(address)
    assert (found and found.prefix) == expected


def test_empty_table_drops_everything():
    table = TunnelTable("isatap0")
    assert decide_encapsulation(table, PREFIX[1], PREFIX[2]).reason is DropReason.NO_RULE
    assert (
        decide_decapsulation(table, HOST_A, HOST_B, PREFIX[1], PREFIX[2]).reason
        is DropReason.OUTER_DESTINATION
    )

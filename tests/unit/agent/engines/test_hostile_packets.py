# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines and decisions take any bytes without raising."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st
from v6ferry.addresses.isatap import isatap_link_local
from v6ferry.forwarding.decide import decide_decapsulation, decide_encapsulation
from v6ferry.wire.neighbor_discovery import RouterSolicitation, encode

from tests.unit.agent.virtual import (
    HOST_A,
    PREFIX,
    ROUTER,
    Node,
    advertisement,
)

IPV4 = st.integers(0, 2**32 - 1).map(IPv4Address)
IPV6 = st.one_of(
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.integers(0, 2**32 - 1).map(lambda low: IPv6Address((0x5EFE << 32 | low) + int(PREFIX[0]))),
    st.integers(0, 2**32 - 1).map(lambda low: IPv6Address(0xFE80 << 112 | 0x5EFE << 32 | low)),
    st.integers(0, 2**32 - 1).map(lambda high: IPv6Address(0x2002 << 112 | high << 80)),
)
ADVERTISEMENT = encode(
    advertisement(PREFIX, mtu=1400), isatap_link_local(ROUTER), isatap_link_local(HOST_A)
)
SOLICITATION = encode(RouterSolicitation(), isatap_link_local(HOST_A), isatap_link_local(ROUTER))
NODES = [Node.host(), Node.router()]


@st.composite
def damaged(draw):
    """A good packet with some bytes changed, and maybe cut short."""
    packet = bytearray(draw(st.sampled_from([ADVERTISEMENT, SOLICITATION])))
    for _turn in range(draw(st.integers(0, 4))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, len(packet)))])


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), damaged()), IPV4, st.sampled_from([0, 1]))
def test_engines_survive_any_packet(packet, sender, which):
    node = NODES[which]
    before = node.wanted.interface
    node.engine.receive(packet, sender, HOST_A, node.now)
    node.engine.wanted(node.now)
    node.engine.packets_to_send()
    node.engine.status(node.now)
    if sender not in (ROUTER, HOST_A):
        assert node.engine.wanted(node.now).interface == before


@given(IPV4, IPV4, IPV6, IPV6)
def test_decisions_are_made_of_any_addresses(outer_source, outer_destination, source, destination):
    for node in NODES:
        table = node.wanted.table
        decide_decapsulation(table, outer_source, outer_destination, source, destination)
        decide_encapsulation(table, source, destination)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_engines_survive_any_snapshot(value):
    for engine in (Node.host().engine, Node.router().engine):
        for snapshot in (
            {"resolved": value, "advertisements": value, "hosts": value, "ending": value},
            {"resolved": {"isatap": value}, "advertisements": [{"router": value}], "hosts": []},
            {"hosts": [[value] * 4], "ending": {"2001:db8::/64": value}},
        ):
            engine.restore(snapshot, 0.0)

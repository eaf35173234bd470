# SPDX-License-Identifier: GPL-3.0-or-later
"""What tables can say beyond what ISATAP needs: UDP, peers, far ends and near sides."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from v6ferry.addresses.teredo import TeredoAddress
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.forwarding.table import (
    COMPATIBLE,
    PEERS,
    SIXTOFOUR,
    TEREDO,
    Encapsulation,
    Endpoint,
    EndpointRule,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    NearRule,
    TunnelTable,
)

HERE, THERE = IPv4Address("131.107.0.1"), IPv4Address("157.60.0.1")
ALL = IPv6Network("::/0")
TEREDO_PREFIX = IPv6Network("2001::/32")
SIXTOFOUR_PREFIX = IPv6Network("2002::/16")
SERVER = IPv4Address("206.73.118.1")
NATIVE, OTHER_NATIVE = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
OUR_TEREDO = TeredoAddress(SERVER, HERE, 8192).encode()
THEIR_TEREDO = TeredoAddress(SERVER, THERE, 4096).encode()
OUR_SITE, THEIR_SITE = IPv6Address("2002:836b:1:5::9"), IPv6Address("2002:9d3c:1:1::1")
NOBODY = IPv6Address("2002:c000:201::1")  # of 192.0.2.1, another site


def table(**fields: Any) -> TunnelTable:
    return TunnelTable(
        "tunnel0",
        local_endpoints=frozenset({HERE}),
        host_endpoints=frozenset({HERE}),
        host_addresses=frozenset({OUR_TEREDO}),
        **fields,
    )


def teredo(**fields: Any) -> TunnelTable:
    return table(
        forwarding=(
            ForwardingRule(TEREDO_PREFIX, TEREDO, "clients"),
            ForwardingRule(ALL, PEERS, "peers"),
        ),
        ingress=(
            IngressRule(TEREDO_PREFIX, (TEREDO,), "clients"),
            IngressRule(ALL, (PEERS,), "peers"),
        ),
        encapsulation=Encapsulation(port=8192),
        **fields,
    )


def sixtofour(**fields: Any) -> TunnelTable:
    return table(
        forwarding=(ForwardingRule(SIXTOFOUR_PREFIX, SIXTOFOUR, "sites"),),
        ingress=(IngressRule(SIXTOFOUR_PREFIX, (SIXTOFOUR,), "sites"),),
        **fields,
    )


def test_client_behind_a_nat_is_sent_to_at_its_mapped_address_and_port_rfc4380_5_2_4():
    decision = decide_encapsulation(teredo(), OUR_TEREDO, THEIR_TEREDO)
    assert decision == Encapsulate(THERE, None, "clients", port=4096)


def test_packet_of_a_client_is_taken_from_its_mapped_address_and_port_alone_rfc4380_5_2_3():
    def from_port(port: int) -> Accept | Drop:
        return decide_decapsulation(teredo(), THERE, HERE, THEIR_TEREDO, OUR_TEREDO, port=port)

    assert from_port(4096) == Accept("clients")
    assert from_port(4097) == Drop(DropReason.SOURCE_MISMATCH, "clients")


def test_native_host_is_sent_to_through_its_peer():
    relay = Endpoint(THERE, 3545)
    decision = decide_encapsulation(teredo(), OUR_TEREDO, NATIVE, {NATIVE: relay})
    assert decision == Encapsulate(THERE, None, "peers", port=3545)


def test_unknown_peer_is_sent_nothing():
    decision = decide_encapsulation(
        teredo(), OUR_TEREDO, NATIVE, {OTHER_NATIVE: Endpoint(THERE, 9)}
    )
    assert decision == Drop(DropReason.NO_PEER, "peers")


@pytest.mark.parametrize(
    ("relay", "verdict"),
    [
        (Endpoint(THERE, 3545), Accept("peers")),
        (Endpoint(THERE, 3546), Drop(DropReason.SOURCE_MISMATCH, "peers")),
        (Endpoint(IPv4Address("192.0.2.9"), 3545), Drop(DropReason.SOURCE_MISMATCH, "peers")),
    ],
)
def test_native_host_is_heard_through_its_peer_alone(relay: Endpoint, verdict: Accept | Drop):
    decision = decide_decapsulation(
        teredo(), THERE, HERE, NATIVE, OUR_TEREDO, port=3545, peers={NATIVE: relay}
    )
    assert decision == verdict


def test_peer_is_spoken_to_and_heard_at_the_port_of_ours_that_it_has_rfc6081_5_3():
    one = replace(teredo(), encapsulation=Encapsulation(port=8192, more_ports=frozenset({61001})))
    peers = {NATIVE: Endpoint(THERE, 3545, local_port=61001)}
    decision = decide_encapsulation(one, OUR_TEREDO, NATIVE, peers)
    assert decision == Encapsulate(THERE, None, "peers", port=3545, local_port=61001)

    def at(port: int) -> Accept | Drop:
        return decide_decapsulation(
            one, THERE, HERE, NATIVE, OUR_TEREDO, port=3545, local_port=port, peers=peers
        )

    assert at(61001) == Accept("peers")
    assert at(0) == Drop(DropReason.SOURCE_MISMATCH, "peers")


def test_endpoint_without_a_port_is_none_in_udp():
    fixed = ForwardingRule(ALL, Fixed(THERE), "fixed")
    one = table(forwarding=(fixed,), encapsulation=Encapsulation(port=8192))
    decision = decide_encapsulation(one, OUR_TEREDO, NATIVE)
    assert decision == Drop(DropReason.DESTINATION_NOT_EMBEDDED, "fixed")


def test_port_of_an_endpoint_is_of_no_interest_in_protocol_41():
    one = table(forwarding=(ForwardingRule(ALL, Fixed(THERE, 9), "fixed"),))
    assert decide_encapsulation(one, NATIVE, OTHER_NATIVE) == Encapsulate(THERE, None, "fixed")


def test_far_end_that_is_refused_is_neither_spoken_nor_listened_to():
    private = EndpointRule(IPv4Network("157.60.0.0/16"), allowed=False)
    one = sixtofour(endpoint_rules=(private,))
    out = decide_encapsulation(one, OUR_SITE, THEIR_SITE)
    into = decide_decapsulation(one, THERE, HERE, THEIR_SITE, OUR_SITE)
    assert (out.reason, into.reason) == (DropReason.ENDPOINT_REFUSED,) * 2


def test_longest_prefix_decides_of_a_far_end():
    rules = (
        EndpointRule(IPv4Network("0.0.0.0/0"), allowed=False),
        EndpointRule(IPv4Network("157.60.0.1/32"), allowed=True),
    )
    one = sixtofour(endpoint_rules=rules)
    assert isinstance(decide_encapsulation(one, NATIVE, THEIR_SITE), Encapsulate)
    refused = decide_encapsulation(one, NATIVE, IPv6Address("2002:9d3c:2::1"))
    assert refused == Drop(DropReason.ENDPOINT_REFUSED, "sites")


NEAR = (NearRule(ALL, False), NearRule(SIXTOFOUR_PREFIX, SIXTOFOUR))
"""Of a 6to4 router: its own site alone (RFC 3964 section 5)."""


@pytest.mark.parametrize(
    ("source", "passes"), [(OUR_SITE, True), (NOBODY, False), (NATIVE, False), (THEIR_SITE, False)]
)
def test_only_sources_of_the_near_side_leave_rfc3964_5(source: IPv6Address, passes: bool):
    own = frozenset({OUR_SITE})
    one = TunnelTable(
        "tunnel0",
        forwarding=(ForwardingRule(SIXTOFOUR_PREFIX, SIXTOFOUR, "sites"),),
        local_endpoints=frozenset({HERE}),
        host_endpoints=frozenset({HERE}),
        host_addresses=own,
        source_rules=NEAR,
    )
    decision = decide_encapsulation(one, source, THEIR_SITE)
    if passes:
        assert isinstance(decision, Encapsulate)
    else:
        assert decision == Drop(DropReason.INNER_SOURCE)


@pytest.mark.parametrize("destination", [NOBODY, NATIVE])
def test_only_destinations_of_the_near_side_come_in_rfc3964_5(destination: IPv6Address):
    one = sixtofour(destination_rules=NEAR)
    decision = decide_decapsulation(one, THERE, HERE, THEIR_SITE, destination)
    assert decision == Drop(DropReason.INNER_DESTINATION)


def test_destination_embeds_the_address_that_the_outer_packet_came_to_rfc3964_5():
    """With two endpoints of ours, a packet to the one may not be for the site of the other."""
    second = IPv4Address("192.0.2.1")
    one = TunnelTable(
        "tunnel0",
        ingress=(IngressRule(SIXTOFOUR_PREFIX, (SIXTOFOUR,), "sites"),),
        local_endpoints=frozenset({HERE, second}),
        host_addresses=frozenset({NOBODY}),
        destination_rules=NEAR,
        automatic=(),
    )
    assert decide_decapsulation(one, THERE, second, THEIR_SITE, NOBODY) == Accept("sites")
    crossed = decide_decapsulation(one, THERE, HERE, THEIR_SITE, NOBODY)
    assert crossed == Drop(DropReason.INNER_DESTINATION)


def test_what_any_automatic_tunnel_would_bring_back_is_a_loop_rfc6324_3_3():
    listed = IngressRule(ALL, (Listed(frozenset({THERE})),), "peer")
    one = table(ingress=(listed,), automatic=(TEREDO,))
    somebody = TeredoAddress(SERVER, HERE, 3544).encode()
    decision = decide_decapsulation(one, THERE, HERE, NATIVE, somebody)
    assert decision == Drop(DropReason.LOOP_DESTINATION)
    assert decide_decapsulation(one, THERE, HERE, NATIVE, OUR_SITE) == Accept("peer")


def link(**fields: Any) -> TunnelTable:
    """A link between HERE and THERE."""
    return table(
        forwarding=(ForwardingRule(ALL, Fixed(THERE), "far end"),),
        ingress=(IngressRule(ALL, (Listed(frozenset({THERE})),), "far end"),),
        **fields,
    )


def arrival(
    of: TunnelTable, source: str, destination: str, outer: IPv4Address = THERE
) -> Accept | Drop:
    return decide_decapsulation(of, outer, HERE, IPv6Address(source), IPv6Address(destination))


@pytest.mark.parametrize("group", ["ff02::1", "ff02::5", "ff02::1:ff00:1", "ff0e::101"])
def test_link_of_two_ends_carries_multicast_rfc4213_3(group):
    carrying = link(multicast=True)
    sent = decide_encapsulation(carrying, IPv6Address("fe80::1"), IPv6Address(group))
    assert isinstance(sent, Encapsulate)
    assert sent.endpoint == THERE
    assert arrival(carrying, "fe80::2", group) == Accept("far end")
    assert decide_encapsulation(link(), IPv6Address("fe80::1"), IPv6Address(group)) == Drop(
        DropReason.MULTICAST
    )


def test_unspecified_source_only_asks_for_its_own_address_rfc4213_3_6():
    carrying = link(multicast=True)
    assert isinstance(arrival(carrying, "::", "ff02::1:ff00:1"), Accept)
    assert arrival(carrying, "::", "2001:db8::1") == Drop(DropReason.INNER_SOURCE)
    assert arrival(link(), "::", "ff02::1:ff00:1") == Drop(DropReason.INNER_SOURCE)


OUR_COMPATIBLE = IPv6Address("::131.107.0.1")


def compatible() -> TunnelTable:
    """A host with an IPv4-compatible address."""
    prefix = IPv6Network("::/96")
    made = table(
        forwarding=(ForwardingRule(prefix, COMPATIBLE, "automatic"),),
        ingress=(IngressRule(prefix, (COMPATIBLE,), "automatic"),),
        ipv4_compatible=True,
        automatic=(COMPATIBLE,),
    )
    return replace(made, host_addresses=frozenset({OUR_COMPATIBLE}))


def test_ipv4_compatible_destination_is_the_endpoint_rfc2893_5_2():
    sent = decide_encapsulation(compatible(), OUR_COMPATIBLE, IPv6Address("::157.60.0.1"))
    assert isinstance(sent, Encapsulate)
    assert sent.endpoint == THERE
    for never in ("::224.0.0.1", "::127.0.0.1", "::255.255.255.255", "::0.0.0.9"):
        refused = decide_encapsulation(compatible(), OUR_COMPATIBLE, IPv6Address(never))
        assert refused == Drop(DropReason.ENDPOINT_NOT_UNICAST, "automatic")


def test_ipv4_compatible_source_must_be_the_sender_s_own_rfc2893_5_3():
    assert arrival(compatible(), "::157.60.0.1", "::131.107.0.1") == Accept("automatic")
    assert arrival(compatible(), "::157.60.0.2", "::131.107.0.1") == Drop(
        DropReason.SOURCE_MISMATCH, "automatic"
    )


def test_ipv4_compatible_destination_that_would_come_back_is_refused_rfc6324_3_3():
    nobodys = replace(compatible(), host_addresses=frozenset())
    assert arrival(nobodys, "::157.60.0.1", "::131.107.0.1") == Drop(DropReason.LOOP_DESTINATION)


@pytest.mark.parametrize("martian", ["::1", "::", "::ffff:157.60.0.1", "ff02::1"])
def test_ipv4_compatible_tunnel_refuses_martians_all_the_same_rfc4213_3_6(martian):
    assert arrival(compatible(), martian, "::131.107.0.1") == Drop(DropReason.INNER_SOURCE)


def test_ipv4_compatible_addresses_are_refused_elsewhere_rfc4213_3_6():
    assert arrival(link(), "::157.60.0.1", "2001:db8::1") == Drop(DropReason.INNER_SOURCE)
    assert arrival(link(), "2001:db8::2", "::131.107.0.1") == Drop(DropReason.INNER_DESTINATION)


def test_prefix_behind_us_that_embeds_our_endpoint_is_no_loop_rfc6324_3_3():
    """Where a near rule says that it is ours: hosts of a site are behind the site's router."""
    behind = IPv6Address("2002:836b:1:6::9")  # of no interface of this host
    one = sixtofour(source_rules=NEAR, destination_rules=NEAR)
    assert decide_encapsulation(one, behind, THEIR_SITE) == Encapsulate(THERE, None, "sites")
    assert decide_decapsulation(one, THERE, HERE, THEIR_SITE, behind) == Accept("sites")
    without = sixtofour()
    out = decide_encapsulation(without, behind, THEIR_SITE)
    into = decide_decapsulation(without, THERE, HERE, THEIR_SITE, behind)
    assert (out, into) == (
        Drop(DropReason.LOOP_SOURCE, "sites"),
        Drop(DropReason.LOOP_DESTINATION),
    )

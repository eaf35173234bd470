# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMP errors and explicit congestion notification at the ends of a tunnel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.forwarding.ecn import CE, DECAPSULATED, DROP, ECT_0, ECT_1, NOT_ECT, encapsulated
from v6ferry.forwarding.icmp_errors import (
    ErrorLimiter,
    address_unreachable,
    no_route,
    packet_too_big,
    translate,
    tunnel_path_mtu,
)
from v6ferry.wire.checksum import internet_checksum
from v6ferry.wire.icmpv4 import Icmpv4Error
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_error
from v6ferry.wire.ipv4 import Ipv4Header
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.parser import WireError

from tests.unit.agent.virtual import HOST_A, HOST_B, ROUTER, Node, Underlay

A, B = IPv6Address("2001:db8:0:7:0:5efe:192.168.47.99"), "2001:db8:0:7:200:5efe:131.107.71.209"
UDP, ICMPV6 = 17, 58


@pytest.fixture(scope="module")
def table():
    router, a = Node.router(), Node.host(HOST_A)
    Underlay(router, a).run(2)
    return a.wanted.table


def inner(length=100, source=A, destination=B, next_header=UDP, payload=None):
    body = payload if payload is not None else bytes(length - 40)
    header = Ipv6Header(
        source=source,
        destination=IPv6Address(destination),
        next_header=next_header,
        payload_length=len(body),
    )
    return header.build() + body


def icmp_error(kind, code, quoted, mtu=0, sender="10.9.9.9"):
    body = bytes((kind, code, 0, 0)) + mtu.to_bytes(4, "big") + quoted
    checksum = internet_checksum(body)
    body = body[:2] + checksum.to_bytes(2, "big") + body[4:]
    header = Ipv4Header(source=IPv4Address(sender), destination=HOST_A, protocol=1, ttl=60)
    return Icmpv4Error.parse(header.build(len(body)) + body)


def outer(packet, source=HOST_A, destination=HOST_B, keep=None):
    header = Ipv4Header(source=source, destination=destination, protocol=41, ttl=64)
    whole = header.build(len(packet)) + packet
    return whole if keep is None else whole[: 20 + keep]


def test_packet_too_big_goes_to_the_sender_rfc4213_3_2_2(table):
    """RFC 4213 section 3.2.2: with the tunnel's MTU; from an address of ours of its scope."""
    reply = packet_too_big(table, inner(1400), 1300)
    header = Ipv6Header.parse(reply)
    assert (header.destination, header.source) == (A, A)
    assert reply[40] == Icmpv6Type.PACKET_TOO_BIG
    assert int.from_bytes(reply[44:48], "big") == 1300


@pytest.mark.parametrize(
    ("path", "tunnel"), [(1500, 1480), (1400, 1380), (1300, 1280), (1299, 1280), (68, 1280)]
)
def test_tunnel_mtu_is_never_below_1280_rfc4213_3_2_2(path, tunnel):
    """RFC 4213 section 3.2.2; RFC 8200 section 5."""
    assert tunnel_path_mtu(path) == tunnel


def test_error_about_an_error_is_never_sent_rfc4443_2_4_e(table):
    """RFC 4443 section 2.4 (e.1) and (e.2)."""
    error = icmpv6_error(Icmpv6Type.DESTINATION_UNREACHABLE, 0, 0, A, inner(100, IPv6Address(B)))
    assert no_route(table, error) is None


@pytest.mark.parametrize("source", ["::", "ff02::1"])
def test_error_to_no_single_node_is_never_sent_rfc4443_2_4_e(table, source):
    """RFC 4443 section 2.4 (e.6)."""
    assert no_route(table, inner(100, IPv6Address(source))) is None


def test_error_about_multicast_is_only_packet_too_big_rfc4443_2_4_e(table):
    """RFC 4443 section 2.4 (e.3)."""
    assert address_unreachable(table, inner(100, destination="ff0e::1")) is None
    assert packet_too_big(table, inner(1400, destination="ff0e::1"), 1280) is not None


@given(st.binary(min_size=40, max_size=80))
def test_any_bytes_get_a_good_error_or_none(data):
    reply = no_route(Node.host(link_local="always").wanted.table, data)
    assert reply is None or Ipv6Header.parse(reply).next_header == ICMPV6


def test_unreachable_with_a_long_quotation_becomes_address_unreachable_rfc4213_3_4(table):
    """RFC 4213 section 3.4: the inner packet is there, so its sender can be told."""
    packet = inner(500)
    found = translate(table, icmp_error(3, 1, outer(packet)), None)
    assert (found.endpoint, found.fragmentation_needed) == (HOST_B, False)
    assert found.reply[40:42] == bytes((Icmpv6Type.DESTINATION_UNREACHABLE, 3))
    assert Ipv6Header.parse(found.reply).destination == A


@pytest.mark.parametrize(("kind", "code"), [(3, 0), (3, 2), (3, 13), (11, 0), (12, 0)])
def test_every_other_error_becomes_one_too_rfc4213_3_4(table, kind, code):
    """RFC 4213 section 3.4: time exceeded and the like, too."""
    assert translate(table, icmp_error(kind, code, outer(inner(500))), None).reply is not None


def test_short_quotation_is_answered_with_the_next_packet_rfc4213_3_4(table):
    """RFC 4213 section 3.4: old routers quote 8 bytes, which name no inner sender."""
    found = translate(table, icmp_error(3, 1, outer(inner(500), keep=8)), None)
    assert (found.reply, found.endpoint) == (None, HOST_B)


def test_fragmentation_needed_becomes_packet_too_big_rfc4213_3_2_2(table):
    """RFC 4213 section 3.2.2: by what the kernel has learned of the path."""
    found = translate(table, icmp_error(3, 4, outer(inner(1480)), mtu=1400), 1400)
    assert found.fragmentation_needed
    assert found.reply[40] == Icmpv6Type.PACKET_TOO_BIG
    assert int.from_bytes(found.reply[44:48], "big") == 1380


def test_fragmentation_needed_for_what_fits_now_is_old_news(table):
    assert translate(table, icmp_error(3, 4, outer(inner(1000)), mtu=1400), 1400).reply is None


def test_port_unreachable_means_nothing_for_protocol_41(table):
    """Linux sends it for packets that a tunnel program has taken already."""
    found = translate(table, icmp_error(3, 3, outer(inner(500))), None)
    assert found.ignored
    assert found.reply is None


@pytest.mark.parametrize(
    "quoted",
    [
        outer(inner(100), source=ROUTER),
        outer(inner(100), destination=ROUTER),
        outer(inner(100, destination="2001:db8:0:7:0:5efe:10.7.7.7")),
    ],
    ids=["not our source", "wrong endpoint", "wrong inner destination"],
)
def test_quotation_of_a_packet_we_cannot_have_sent_is_refused(table, quoted):
    with pytest.raises(WireError):
        translate(table, icmp_error(3, 1, quoted), None)


def test_errors_are_limited_rfc4443_2_4_f():
    """RFC 4443 section 2.4 (f): a token bucket."""
    limiter = ErrorLimiter(per_second=10, burst=5)
    assert [limiter.allows(0.0) for _turn in range(7)] == [True] * 5 + [False] * 2
    assert limiter.allows(0.11)
    assert not limiter.allows(0.12)


# RFC 6040


@pytest.mark.parametrize("inner_field", [NOT_ECT, ECT_0, ECT_1, CE])
def test_outer_field_is_a_copy_rfc6040_4_1(inner_field):
    """RFC 6040 section 4.1, normal mode."""
    assert encapsulated(inner_field) == inner_field


@pytest.mark.parametrize(
    ("inner_field", "results"),
    [
        # outer:    Not-ECT  ECT(0)  ECT(1)  CE
        (NOT_ECT, (NOT_ECT, NOT_ECT, NOT_ECT, DROP)),
        (ECT_0, (ECT_0, ECT_0, ECT_1, CE)),
        (ECT_1, (ECT_1, ECT_1, ECT_1, CE)),
        (CE, (CE, CE, CE, CE)),
    ],
)
def test_decapsulation_is_figure_4_rfc6040_4_2(inner_field, results):
    """RFC 6040 section 4.2, figure 4, in the figure's own order of columns."""
    columns = (NOT_ECT, ECT_0, ECT_1, CE)
    assert tuple(DECAPSULATED[inner_field][outer_field] for outer_field in columns) == results

# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv6 header: RFC 8200 section 3."""

import contextlib
import dataclasses
from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, NEXT_HEADER_UDP, Ipv6Header
from v6ferry.wire.parser import WireError

HEADER = Ipv6Header(
    source=IPv6Address("2001:db8:0:7:0:5efe:192.168.47.99"),
    destination=IPv6Address("2001:db8:0:7:200:5efe:131.107.71.209"),
    next_header=NEXT_HEADER_UDP,
    payload_length=8,
)

headers = st.builds(
    Ipv6Header,
    source=st.ip_addresses(v=6),
    destination=st.ip_addresses(v=6),
    next_header=st.integers(0, 255),
    payload_length=st.integers(0, 64),
    hop_limit=st.integers(0, 255),
    traffic_class=st.integers(0, 255),
    flow_label=st.integers(0, (1 << 20) - 1),
)


@given(headers)
def test_what_was_built_is_parsed(header: Ipv6Header) -> None:
    built = header.build()
    assert len(built) == IPV6_HEADER_LENGTH
    assert Ipv6Header.parse(built + bytes(header.payload_length)) == header
    assert Ipv6Header.parse(memoryview(built), quoted=True) == header


@given(headers)
def test_scapy_decodes_what_we_build(header: Ipv6Header) -> None:
    decoded = IPv6(header.build())
    assert (IPv6Address(decoded.src), IPv6Address(decoded.dst)) == (
        header.source,
        header.destination,
    )
    assert (decoded.version, decoded.tc, decoded.fl) == (6, header.traffic_class, header.flow_label)
    assert (decoded.plen, decoded.nh, decoded.hlim) == (
        header.payload_length,
        header.next_header,
        header.hop_limit,
    )


def test_we_parse_what_scapy_builds() -> None:
    packet = IPv6(
        src=str(HEADER.source), dst=str(HEADER.destination), tc=0xB9, fl=0xABCDE, hlim=3
    ) / UDP(dport=53)
    parsed = Ipv6Header.parse(bytes(packet))
    assert parsed == dataclasses.replace(
        HEADER, traffic_class=0xB9, flow_label=0xABCDE, hop_limit=3
    )
    assert (parsed.dscp, parsed.ecn) == (46, 1)


def test_another_version_is_refused() -> None:
    with pytest.raises(WireError, match=r"^version: is 4, not 6$"):
        Ipv6Header.parse(b"\x45" + bytes(59))


def test_a_cut_packet_is_refused_unless_quoted() -> None:
    packet = HEADER.build() + bytes(7)
    with pytest.raises(WireError, match="payload_length: is 8, but the packet has 7"):
        Ipv6Header.parse(packet)
    assert Ipv6Header.parse(packet, quoted=True) == HEADER
    with pytest.raises(WireError, match="ipv6_header"):
        Ipv6Header.parse(packet[:39], quoted=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("traffic_class", 256),
        ("flow_label", 1 << 20),
        ("payload_length", 65536),
        ("next_header", 256),
        ("hop_limit", -1),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: str, value: int) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(WireError) as caught:
        dataclasses.replace(HEADER, **changes).build()
    assert caught.value.field == field


@given(st.binary(max_size=80).map(lambda data: b"\x60" + data), st.booleans())
def test_random_bytes_raise_nothing_but_wire_errors(data: bytes, quoted: bool) -> None:
    with contextlib.suppress(WireError):
        Ipv6Header.parse(data, quoted=quoted)

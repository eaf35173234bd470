# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv4 header: RFC 791."""

import contextlib
import dataclasses
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from v6ferry.wire.ipv4 import PROTOCOL_IPV6, Ipv4Header
from v6ferry.wire.parser import WireError

HOST_A = IPv4Address("192.168.47.99")
HOST_B = IPv4Address("131.107.71.209")
HEADER = Ipv4Header(source=HOST_A, destination=HOST_B, protocol=PROTOCOL_IPV6)

headers = st.builds(
    Ipv4Header,
    source=st.ip_addresses(v=4),
    destination=st.ip_addresses(v=4),
    protocol=st.integers(0, 255),
    ttl=st.integers(0, 255),
    dscp=st.integers(0, 63),
    ecn=st.integers(0, 3),
    identification=st.integers(0, 0xFFFF),
    dont_fragment=st.booleans(),
    more_fragments=st.booleans(),
    fragment_offset=st.integers(0, 0x1FFF),
    options=st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
)


@given(headers, st.binary(max_size=64))
def test_what_was_built_is_parsed(header: Ipv4Header, payload: bytes) -> None:
    packet = header.build(len(payload)) + payload
    expected = dataclasses.replace(header, total_length=len(packet))
    assert Ipv4Header.parse(packet) == expected
    assert Ipv4Header.parse(memoryview(packet)) == expected
    assert expected.total_length - expected.header_length == len(payload)


@given(headers)
def test_scapy_decodes_what_we_build(header: Ipv4Header) -> None:
    packet = header.build(0)
    decoded = IP(packet)
    assert (decoded.src, decoded.dst) == (str(header.source), str(header.destination))
    assert (decoded.tos >> 2, decoded.tos & 3) == (header.dscp, header.ecn)
    assert (decoded.proto, decoded.ttl, decoded.id) == (
        header.protocol,
        header.ttl,
        header.identification,
    )
    assert (bool(decoded.flags.DF), bool(decoded.flags.MF), decoded.frag) == (
        header.dont_fragment,
        header.more_fragments,
        header.fragment_offset,
    )
    assert (decoded.version, decoded.ihl * 4, decoded.len) == (
        4,
        header.header_length,
        len(packet),
    )
    # Scapy's own checksum is the same.
    checksum = decoded.chksum
    plain = IP(Ipv4Header.build(dataclasses.replace(header, options=b""), 0))
    plain_checksum = plain.chksum
    del plain.chksum
    assert IP(bytes(plain)).chksum == plain_checksum
    assert checksum == int.from_bytes(packet[10:12], "big")


def test_we_parse_what_scapy_builds() -> None:
    packet = bytes(
        IP(src=str(HOST_A), dst=str(HOST_B), ttl=7, tos=0xB9, flags="DF", id=4711)
        / IPv6(src="fe80::1", dst="fe80::2", nh=59)
    )
    assert Ipv4Header.parse(packet) == Ipv4Header(
        source=HOST_A,
        destination=HOST_B,
        protocol=PROTOCOL_IPV6,
        ttl=7,
        dscp=46,
        ecn=1,
        identification=4711,
        dont_fragment=True,
        total_length=60,
    )


@pytest.mark.parametrize(
    ("changes", "is_fragment"),
    [({}, False), ({"more_fragments": True}, True), ({"fragment_offset": 185}, True)],
)
def test_fragments(changes: dict[str, Any], is_fragment: bool) -> None:
    assert dataclasses.replace(HEADER, **changes).is_fragment is is_fragment


@pytest.mark.parametrize(
    ("position", "value", "field"),
    [
        (0, 0x65, "version"),
        (0, 0x44, "header_length"),
        (0, 0x4F, "header_length"),
        (3, 19, "total_length"),
        (3, 25, "total_length"),
        (8, 0, "header_checksum"),
    ],
)
def test_a_wrong_field_is_named(position: int, value: int, field: str) -> None:
    packet = bytearray(HEADER.build(4) + bytes(4))
    packet[position] = value
    with pytest.raises(WireError) as caught:
        Ipv4Header.parse(bytes(packet))
    assert caught.value.field == field


def test_bytes_after_the_packet_are_ignored() -> None:
    assert Ipv4Header.parse(HEADER.build(4) + bytes(30)).total_length == 24


def test_a_quoted_packet_may_be_cut_and_changed() -> None:
    quoted = bytearray(HEADER.build(1000) + bytes(8))
    quoted[8] -= 1
    assert Ipv4Header.parse(bytes(quoted), quoted=True).total_length == 1020
    with pytest.raises(WireError):
        Ipv4Header.parse(bytes(quoted))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dscp", 64),
        ("ecn", 4),
        ("identification", 65536),
        ("fragment_offset", 8192),
        ("ttl", 256),
        ("protocol", -1),
        ("options", b"123"),
        ("options", bytes(44)),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: str, value: int | bytes) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(WireError) as caught:
        dataclasses.replace(HEADER, **changes).build(0)
    assert caught.value.field == field


@pytest.mark.parametrize("payload_length", [-1, 65516])
def test_a_packet_beyond_65535_bytes_is_refused(payload_length: int) -> None:
    with pytest.raises(WireError, match="total_length"):
        HEADER.build(payload_length)


@given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(min_size=20, max_size=80).map(lambda data: b"\x45\0\0\x14" + data),
    ),
    st.booleans(),
)
def test_random_bytes_raise_nothing_but_wire_errors(data: bytes, quoted: bool) -> None:
    with contextlib.suppress(WireError):
        Ipv4Header.parse(data, quoted=quoted)

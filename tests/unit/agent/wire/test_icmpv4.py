# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMPv4 errors about tunnel packets: RFC 792, RFC 1191, RFC 4884."""

import contextlib
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from v6ferry.wire.checksum import internet_checksum
from v6ferry.wire.icmpv4 import Icmpv4Error, Icmpv4Type
from v6ferry.wire.ipv4 import PROTOCOL_IPV6
from v6ferry.wire.parser import WireError

GATEWAY = "192.0.2.1"
HOST_A = "192.168.47.99"
HOST_B = "131.107.71.209"
TUNNELED = bytes(
    IP(src=HOST_A, dst=HOST_B, ttl=64, flags="DF", proto=41)
    / IPv6(src="fe80::1", dst="fe80::2")
    / UDP(sport=1, dport=2)
    / bytes(200)
)


def icmp_packet(icmp_type: int, code: int, rest: bytes, quoted: bytes) -> bytes:
    """Put together an error by hand where scapy has an opinion of its own."""
    message = bytearray(bytes((icmp_type, code, 0, 0)) + rest + quoted)
    message[2:4] = internet_checksum(message).to_bytes(2, "big")
    return bytes(IP(src=GATEWAY, dst=HOST_A, proto=1) / bytes(message))


def test_fragmentation_needed_tells_the_mtu_rfc1191_4() -> None:
    """RFC 1191 section 4: the low 16 bits of the second word are the next-hop MTU."""
    data = bytes(
        IP(src=GATEWAY, dst=HOST_A) / ICMP(type=3, code=4, nexthopmtu=1400) / TUNNELED[:28]
    )
    error = Icmpv4Error.parse(data)
    assert (error.type, error.code, error.mtu) == (3, 4, 1400)
    assert error.reporter == IPv4Address(GATEWAY)
    assert error.quoted == TUNNELED[:28]


def test_the_quoted_header_may_announce_more_than_is_quoted() -> None:
    error = Icmpv4Error.parse(icmp_packet(11, 0, bytes(4), TUNNELED[:28]))
    header = error.quoted_header
    assert (header.source, header.destination) == (IPv4Address(HOST_A), IPv4Address(HOST_B))
    assert header.protocol == PROTOCOL_IPV6
    assert header.total_length == len(TUNNELED)


@pytest.mark.parametrize(
    ("icmp_type", "code"), [(3, 0), (3, 1), (3, 3), (4, 0), (5, 1), (11, 0), (12, 0)]
)
def test_other_errors_have_no_mtu(icmp_type: int, code: int) -> None:
    error = Icmpv4Error.parse(icmp_packet(icmp_type, code, b"\0\0\x05\x78", TUNNELED))
    assert (error.type, error.code, error.mtu) == (Icmpv4Type(icmp_type), code, 0)
    assert error.quoted == TUNNELED


def test_extensions_are_not_part_of_the_quoted_packet_rfc4884_4() -> None:
    """RFC 4884 section 4.1: the length, in 32-bit words, says where the extensions begin."""
    quoted = TUNNELED[:128]
    extension = b"\x20\0\0\0" + b"\0\x08\x01\x01\0\0\x01\x40"
    error = Icmpv4Error.parse(icmp_packet(3, 4, b"\0\x20\x05\x78", quoted + extension))
    assert error.quoted == quoted
    assert error.mtu == 1400


def test_padding_of_a_short_packet_is_dropped_rfc4884_4() -> None:
    """RFC 4884 section 4.1: a packet shorter than 128 bytes is padded with zeros."""
    short = bytes(IP(src=HOST_A, dst=HOST_B, proto=41) / IPv6(nh=59))
    padded = short.ljust(128, b"\0")
    error = Icmpv4Error.parse(icmp_packet(11, 0, b"\0\x20\0\0", padded + b"\x20\0\0\0"))
    assert error.quoted == short


def test_a_router_may_quote_a_changed_header() -> None:
    """The quoted TTL has often been decremented without a new checksum."""
    quoted = bytearray(TUNNELED[:28])
    quoted[8] = 1
    assert Icmpv4Error.parse(icmp_packet(11, 0, bytes(4), bytes(quoted))).quoted_header.ttl == 1


def test_a_redirect_gateway_is_no_length_rfc4884_4() -> None:
    """RFC 4884 section 4: only types 3, 11 and 12 have the length field."""
    gateway = IPv4Address("10.8.0.1").packed
    assert Icmpv4Error.parse(icmp_packet(5, 1, gateway, TUNNELED)).quoted == TUNNELED


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (bytes(IP(src=GATEWAY, dst=HOST_A) / ICMP(type=8) / TUNNELED), "type"),
        (bytes(IP(src=GATEWAY, dst=HOST_A) / UDP() / TUNNELED), "protocol"),
        (bytes(IP(src=GATEWAY, dst=HOST_A, frag=1, proto=1) / TUNNELED), "fragment_offset"),
        (bytes(IP(src=GATEWAY, dst=HOST_A) / ICMP(type=3, chksum=1) / TUNNELED), "checksum"),
        (icmp_packet(3, 0, bytes(4), TUNNELED[:19]), "quoted"),
        (icmp_packet(3, 0, bytes(4), b"\x60" + bytes(40)), "quoted"),
        (icmp_packet(3, 0, b"\0\x01\0\0", TUNNELED), "quoted"),
        (icmp_packet(3, 0, b"\0\0", b""), "next_hop_mtu"),
        (b"", "ipv4_header"),
    ],
)
def test_a_wrong_field_is_named(data: bytes, field: str) -> None:
    with pytest.raises(WireError) as caught:
        Icmpv4Error.parse(data)
    assert caught.value.field == field


@given(
    st.sampled_from([3, 4, 5, 11, 12, 0, 8]),
    st.integers(0, 255),
    st.binary(min_size=4, max_size=4),
    st.one_of(st.binary(max_size=80), st.integers(0, len(TUNNELED)).map(lambda n: TUNNELED[:n])),
)
def test_hostile_messages_raise_nothing_but_wire_errors(
    icmp_type: int, code: int, rest: bytes, quoted: bytes
) -> None:
    with contextlib.suppress(WireError):
        error = Icmpv4Error.parse(icmp_packet(icmp_type, code, rest, quoted))
        assert error.quoted == quoted[: len(error.quoted)]
        assert error.quoted_header.header_length <= len(error.quoted)


@given(st.binary(max_size=120))
def test_random_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    with contextlib.suppress(WireError):
        Icmpv4Error.parse(data)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The Internet checksum: RFC 1071."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP
from scapy.layers.inet6 import IPv6
from scapy.utils import checksum as scapy_checksum
from v6ferry.wire.checksum import (
    icmpv6_checksum,
    internet_checksum,
    pseudo_header_sum,
    tcp_checksums_are_right,
)


def test_example_rfc1071_3() -> None:
    """RFC 1071 section 3: these bytes add up to ddf2."""
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


@pytest.mark.parametrize(
    ("data", "expected"),
    [("", 0xFFFF), ("0000", 0xFFFF), ("ffff", 0), ("ffffffff", 0), ("01", 0xFEFF)],
)
def test_zero_has_two_forms_and_odd_data_is_padded(data: str, expected: int) -> None:
    assert internet_checksum(bytes.fromhex(data)) == expected


@given(st.binary(max_size=200))
def test_scapy_computes_the_same(data: bytes) -> None:
    assert internet_checksum(data) == scapy_checksum(data)
    assert internet_checksum(memoryview(data)) == scapy_checksum(data)


@given(st.binary(min_size=2, max_size=200).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_checksum_gives_zero(data: bytes) -> None:
    assert internet_checksum(data + internet_checksum(data).to_bytes(2, "big")) == 0


ADDRESSES = st.builds(IPv6Address, st.integers(0, 2**128 - 1))


@given(ADDRESSES, ADDRESSES, st.binary(min_size=4, max_size=200))
def test_pseudo_header_is_what_the_rest_is_added_to_rfc8200_8_1(
    source: IPv6Address, destination: IPv6Address, message: bytes
) -> None:
    """RFC 8200 section 8.1."""
    start = pseudo_header_sum(source.packed + destination.packed, len(message), 58)
    whole = icmpv6_checksum(source, destination, message)
    assert internet_checksum(start.to_bytes(2, "big") + message) % 0xFFFF == whole % 0xFFFF


def segment(data: bytes, source: str = "2001:db8::1") -> bytes:
    """A TCP segment with the checksum that scapy computes."""
    return bytes(IPv6(src=source, dst="2001:db8::2") / TCP(sport=9, dport=9, flags="A") / data)


@given(st.lists(st.binary(max_size=99), min_size=1, max_size=5))
def test_scapy_finds_the_same_tcp_checksums_right_rfc9293_3_1(data: list[bytes]) -> None:
    """RFC 9293 section 3.1."""
    assert tcp_checksums_are_right([segment(one) for one in data])


@given(st.binary(min_size=1, max_size=99), st.data())
def test_any_wrong_bit_is_found(data: bytes, drawn: st.DataObject) -> None:
    packet = bytearray(segment(data))
    bit = drawn.draw(st.integers(8 * 8, len(packet) * 8 - 1))  # the header before is not covered
    packet[bit // 8] ^= 1 << bit % 8
    assert not tcp_checksums_are_right([bytes(packet)])
    assert not tcp_checksums_are_right([segment(b"right"), bytes(packet)])

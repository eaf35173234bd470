# SPDX-License-Identifier: GPL-3.0-or-later
"""The Internet checksum: RFC 1071."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import checksum as scapy_checksum
from v6ferry.wire.checksum import internet_checksum


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

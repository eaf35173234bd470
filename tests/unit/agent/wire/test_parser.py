# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds-checked parser."""

import pickle
from ipaddress import IPv4Address, IPv6Address

import pytest
from v6ferry.wire import WireError
from v6ferry.wire.parser import Parser


def test_fields_are_read_one_after_another() -> None:
    target = IPv6Address("2001:db8::1")
    parser = Parser(bytes.fromhex("01 0203 04050607 0a000001 0809") + target.packed + b"rest")
    assert parser.u8("a") == 1
    assert parser.u16("b") == 0x0203
    assert parser.u32("c") == 0x04050607
    assert parser.ipv4_address("d") == IPv4Address("10.0.0.1")
    parser.skip(2, "e")
    assert parser.ipv6_address("f") == target
    assert parser.remaining == 4
    assert parser.bytes(4, "g") == b"rest"
    assert parser.remaining == 0


@pytest.mark.parametrize("method", ["u8", "u16", "u32", "ipv4_address", "ipv6_address"])
def test_reading_past_the_end_names_the_field(method: str) -> None:
    with pytest.raises(WireError, match=r"^hop_limit: needs \d+ bytes, 0 are left$") as caught:
        getattr(Parser(b""), method)("hop_limit")
    assert caught.value.field == "hop_limit"


def test_a_failed_read_takes_nothing() -> None:
    parser = Parser(b"\x01")
    with pytest.raises(WireError):
        parser.u16("length")
    assert parser.u8("type") == 1


def test_a_restricted_parser_ends_where_it_should() -> None:
    parser = Parser(b"\x01\x02\x03")
    option = parser.restrict(2, "option")
    assert option.bytes(2, "body") == b"\x01\x02"
    with pytest.raises(WireError):
        option.u8("beyond")
    assert parser.u8("next") == 3


@pytest.mark.parametrize("count", [-1, 4])
def test_a_restriction_beyond_the_data_is_refused(count: int) -> None:
    with pytest.raises(WireError, match=r"^option: "):
        Parser(b"\x01\x02\x03").restrict(count, "option")


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(WireError("ttl", "is 0")))
    assert (error.field, error.message, str(error)) == ("ttl", "is 0", "ttl: is 0")

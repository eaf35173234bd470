# SPDX-License-Identifier: GPL-3.0-or-later
"""The PROXY protocol; sections are those of HAProxy 2.6's doc/proxy-protocol.txt."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.wire.proxy_protocol import (
    LONGEST_HEADER,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    format_v1,
    format_v2,
    parse_proxy_header,
)

PORTS = st.integers(0, 65535)
IPV4, IPV6 = st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)
SAME_FAMILY = st.one_of(st.tuples(IPV4, IPV4), st.tuples(IPV6, IPV6))
FORMATS = pytest.mark.parametrize("write", [format_v1, format_v2])


def test_line_of_version_1_section_2_1():
    header = ProxyHeader(("192.168.0.1", 56324), ("192.168.0.11", 443))
    line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    assert format_v1(header) == line
    assert parse_proxy_header(line + b"GET /") == (header, len(line))


def test_longest_lines_of_version_1_section_2_1():
    longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    line = f"PROXY TCP6 {longest} {longest} 65535 65535\r\n".encode()
    assert len(line) == 104
    parsed = parse_proxy_header(line)
    assert parsed == (ProxyHeader((longest, 65535), (longest, 65535)), 104)
    unknown = f"PROXY UNKNOWN {longest} {longest} 65535 65535\r\n".encode()
    assert len(unknown) == 107
    assert parse_proxy_header(unknown) == (ProxyHeader(None, None), 107)


def test_header_of_version_2_section_2_2():
    header = ProxyHeader(("192.0.2.1", 1000), ("192.0.2.2", 80))
    expected = (
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a" + b"\x21\x11\x00\x0c"
        b"\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x50"
    )
    assert format_v2(header) == expected
    # Extensions (section 2.2.1) are passed over.
    longer = expected[:14] + b"\x00\x10" + expected[16:] + b"\x04\x00\x01x"
    assert parse_proxy_header(longer + b"rest") == (header, len(longer))


def test_health_check_of_version_2_names_nobody_section_2_2():
    local = SIGNATURE + b"\x20\x00\x00\x00"
    assert parse_proxy_header(local) == (ProxyHeader(None, None), 16)
    assert format_v2(ProxyHeader(None, None)) == local


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "neither"),
        (b"PROXY " + b"x" * 120, "within 107 bytes"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n", "is not PROXY"),
        (b"PROXY UDP4 1.2.3.4 1.2.3.5 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "wrong address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "interface"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.5 65536 2\r\n", "wrong port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.5 01 2\r\n", "wrong port"),
        (b"PROXY TCP4 1.2.3.\xff 1.2.3.5 1 2\r\n", "ASCII"),
        (SIGNATURE + b"\x31\x11\x00\x0c", "unknown command"),
        (SIGNATURE + b"\x21\x44\x00\x0c", "family"),
        (SIGNATURE + b"\x21\x11\x00\x0b", "too few"),
        (SIGNATURE + b"\x21\x11\xff\xff", "too many"),
    ],
)
def test_what_is_no_header_is_refused(data, why):
    with pytest.raises(ProxyHeaderError, match=why):
        parse_proxy_header(data)


@FORMATS
@given(SAME_FAMILY, PORTS, PORTS, st.binary(max_size=40))
def test_what_is_written_is_read_whole_or_byte_by_byte(write, hosts, port, other, rest):
    header = ProxyHeader((hosts[0], port), (hosts[1], other))
    written = write(header)
    assert parse_proxy_header(written + rest) == (header, len(written))
    for length in range(len(written)):
        assert parse_proxy_header(written[:length]) is None


@FORMATS
def test_families_that_differ_are_written_as_ipv6(write):
    header = ProxyHeader(("10.0.0.4", 1), ("2001:db8::1%eth0", 2))
    parsed = parse_proxy_header(write(header))
    assert parsed is not None
    assert parsed[0] == ProxyHeader((str(IPv6Address("::ffff:a00:4")), 1), ("2001:db8::1", 2))


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=60).map(lambda data: b"PROXY " + data),
        st.binary(max_size=300).map(lambda data: SIGNATURE + data),
        st.binary(max_size=40).map(
            lambda data: SIGNATURE + b"\x21\x21" + struct.pack("!H", len(data)) + data
        ),
    )
)
def test_anything_is_a_header_or_the_beginning_of_one_or_refused(data):
    try:
        parsed = parse_proxy_header(data)
    except ProxyHeaderError:
        return
    if parsed is None:
        assert len(data) < LONGEST_HEADER
    else:
        assert parsed[1] <= len(data)

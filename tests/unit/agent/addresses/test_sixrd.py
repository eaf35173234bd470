# SPDX-License-Identifier: GPL-3.0-or-later
"""6rd prefixes: RFC 5969 section 4."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import delegated_prefix, sixrd

PROVIDER = IPv6Network("2001:db8::/32")


@pytest.mark.parametrize(
    ("ipv4", "mask_length", "expected"),
    [
        ("10.100.100.1", 0, "2001:db8:a64:6401::/64"),
        ("10.100.100.1", 8, "2001:db8:6464:100::/56"),
        ("10.100.100.1", 16, "2001:db8:6401::/48"),
        ("10.100.100.1", 32, "2001:db8::/32"),
    ],
)
def test_delegated_prefix_leaves_the_common_bits_out_rfc5969_4(
    ipv4: str, mask_length: int, expected: str
) -> None:
    """RFC 5969 section 4: prefix, then the IPv4 address without its IPv4MaskLen high bits."""
    assert delegated_prefix(PROVIDER, IPv4Address(ipv4), mask_length) == IPv6Network(expected)


def test_a_delegated_prefix_beyond_64_bits_is_refused_rfc5969_4() -> None:
    """RFC 5969 section 4: the delegated prefix must leave a /64 to the customer."""
    with pytest.raises(ValueError, match=r"2001:db8::/40: .* exceeds 64 bits"):
        delegated_prefix(IPv6Network("2001:db8::/40"), IPv4Address("10.0.0.1"))


@pytest.mark.parametrize("mask_length", [-1, 33])
def test_a_wrong_mask_length_is_refused(mask_length: int) -> None:
    with pytest.raises(ValueError, match="mask length"):
        delegated_prefix(PROVIDER, IPv4Address("10.0.0.1"), mask_length)


def test_an_address_outside_the_domain_has_no_endpoint() -> None:
    outside = IPv6Address("2001:db9::1")
    assert sixrd.embedded_ipv4(outside, PROVIDER, IPv4Network("0.0.0.0/0")) is None


@given(st.integers(0, 32), st.ip_addresses(v=4), st.integers(0, 32), st.data())
def test_every_address_of_a_customer_tells_its_endpoint(
    prefix_length: int, ipv4: IPv4Address, mask_length: int, data: st.DataObject
) -> None:
    domain = IPv6Network((int(PROVIDER.network_address), prefix_length), strict=False)
    common = IPv4Network((int(ipv4), mask_length), strict=False)
    delegated = delegated_prefix(domain, ipv4, mask_length)
    host = data.draw(st.integers(0, (1 << 64) - 1))
    assert delegated.prefixlen == prefix_length + 32 - mask_length
    assert sixrd.embedded_ipv4(delegated[host], domain, common) == ipv4


OPTION = bytes.fromhex("0820 20010db8 00000000 00000000 00000000 0a000001")


@pytest.mark.parametrize(
    "text",
    [
        OPTION.hex(),
        OPTION.hex(":"),
        f"0x{OPTION.hex().upper()}",
        "8 32 2001:db8:: 10.0.0.1",
    ],
)
def test_dhcp_option_is_read_as_clients_write_it_rfc5969_7_1_1(text: str) -> None:
    """RFC 5969 section 7.1.1."""
    domain = sixrd.parse_dhcp_option(text)
    assert domain == sixrd.SixrdOption(8, PROVIDER, (IPv4Address("10.0.0.1"),))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0 bytes"),
        (OPTION[:21].hex(), "21 bytes"),
        (OPTION.hex() + "0a00", "24 bytes"),
        ("zz", "hexadecimal"),
        ("21" + OPTION.hex()[2:], "mask length 33"),
        ("0081" + OPTION.hex()[4:], "length of 129"),
        ("0028" + OPTION.hex()[4:], "exceeds 64 bits"),
        ("300 32 2001:db8:: 10.0.0.1", "no OPTION_6RD"),
        ("8 32 2001:db8:: somewhere", "no OPTION_6RD"),
    ],
)
def test_dhcp_option_that_no_customer_edge_may_use_says_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        sixrd.parse_dhcp_option(text)


@given(
    st.integers(0, 32),
    st.integers(0, 64),
    st.ip_addresses(v=6),
    st.lists(st.ip_addresses(v=4), min_size=1, max_size=4, unique=True),
)
def test_dhcp_option_comes_back_as_it_was(
    mask_length: int, prefix_length: int, address: IPv6Address, relays: list[IPv4Address]
) -> None:
    prefix = IPv6Network((int(address), prefix_length), strict=False)
    option = sixrd.SixrdOption(mask_length, prefix, tuple(relays))
    encoded = sixrd.encode_dhcp_option(option)
    if prefix_length + 32 - mask_length > 64:
        with pytest.raises(ValueError, match="exceeds 64 bits"):
            sixrd.decode_dhcp_option(encoded)
    else:
        assert sixrd.decode_dhcp_option(encoded) == option


@given(st.binary(max_size=60))
def test_dhcp_option_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    try:
        option = sixrd.decode_dhcp_option(data)
    except ValueError:
        return
    assert option.prefix.prefixlen + 32 - option.ipv4_mask_length <= 64


@given(st.text(max_size=60))
def test_dhcp_option_of_any_text_is_read_or_refused(text: str) -> None:
    try:
        sixrd.parse_dhcp_option(text)
    except ValueError:
        return

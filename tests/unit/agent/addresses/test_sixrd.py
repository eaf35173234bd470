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

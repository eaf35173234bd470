# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP addresses: RFC 5214 section 6, and the examples of Microsoft's white paper of 2008."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import (
    format_isatap,
    interface_identifier,
    is_globally_unique,
    is_isatap_identifier,
    is_unicast_endpoint,
    isatap,
    isatap_address,
    isatap_link_local,
)

INTRANET = IPv6Network("2001:db8:0:7::/64")

endpoints = st.ip_addresses(v=4).filter(is_unicast_endpoint)
# Bits 125 and down: global unicast, unique local and link-local prefixes, never multicast.
prefixes = st.integers(0, (0xFF << 56) - 1).map(lambda high: IPv6Network((high << 64, 64)))


@pytest.mark.parametrize(
    ("ipv4", "expected"),
    [
        ("192.168.47.99", "2001:db8:0:7:0:5efe:192.168.47.99"),
        ("131.107.71.209", "2001:db8:0:7:200:5efe:131.107.71.209"),
        ("10.0.0.1", "2001:db8:0:7:0:5efe:10.0.0.1"),
    ],
)
def test_white_paper_global_addresses(ipv4: str, expected: str) -> None:
    address = isatap_address(INTRANET, IPv4Address(ipv4))
    assert address == IPv6Address(expected)
    assert format_isatap(address) == expected


@pytest.mark.parametrize(
    ("ipv4", "expected"),
    [
        ("10.0.0.1", "fe80::5efe:10.0.0.1"),
        ("10.40.1.29", "fe80::5efe:10.40.1.29"),
        ("192.168.41.30", "fe80::5efe:192.168.41.30"),
        ("131.107.71.209", "fe80::200:5efe:131.107.71.209"),
    ],
)
def test_white_paper_link_local_addresses(ipv4: str, expected: str) -> None:
    address = isatap_link_local(IPv4Address(ipv4))
    assert address == IPv6Address(expected)
    assert format_isatap(address) == expected


def test_universal_bit_says_globally_unique_rfc5214_6_1() -> None:
    """RFC 5214 section 6.1: the u bit is 1 exactly for a globally unique IPv4 address."""
    assert interface_identifier(IPv4Address("10.1.2.3")) == 0x00005EFE_0A010203
    assert interface_identifier(IPv4Address("8.8.8.8")) == 0x02005EFE_08080808


@pytest.mark.parametrize("high_bits", ["0", "200"])
def test_either_universal_bit_is_recognised_rfc5214_6_1(high_bits: str) -> None:
    """RFC 5214 section 6.1: peers may disagree about uniqueness, so both forms are ISATAP."""
    address = IPv6Address(f"2001:db8::{high_bits}:5efe:10.0.0.1")
    assert is_isatap_identifier(address)
    assert isatap.embedded_ipv4(address) == IPv4Address("10.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8::100:5efe:10.0.0.1",  # the group bit
        "2001:db8::300:5efe:10.0.0.1",
        "2001:db8::1:5efe:10.0.0.1",
        "2001:db8::5eff:10.0.0.1",
        "ff02::5efe:10.0.0.1",  # multicast addresses have no interface identifier
        "::10.0.0.1",
        "::",
        "2001:db8::1",
    ],
)
def test_other_identifiers_are_not_isatap(address: str) -> None:
    assert not is_isatap_identifier(IPv6Address(address))
    assert isatap.embedded_ipv4(IPv6Address(address)) is None


@pytest.mark.parametrize("prefix", ["2001:db8::/48", "2001:db8::/65", "::/0", "2001:db8::1/128"])
def test_a_prefix_of_another_length_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"^prefix .*/\d+: .* 64 bits, not \d+; give a /64"):
        isatap_address(IPv6Network(prefix), IPv4Address("10.0.0.1"))


def test_a_multicast_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="multicast"):
        isatap_address(IPv6Network("ff02::/64"), IPv4Address("10.0.0.1"))


@pytest.mark.parametrize("ipv4", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_an_address_that_no_host_can_have_is_refused(ipv4: str) -> None:
    with pytest.raises(ValueError, match=f"IPv4 address {ipv4}"):
        isatap_link_local(IPv4Address(ipv4))


@given(prefixes, endpoints)
def test_what_was_embedded_comes_back(prefix: IPv6Network, ipv4: IPv4Address) -> None:
    address = isatap_address(prefix, ipv4)
    assert address in prefix
    assert isatap.embedded_ipv4(address) == ipv4
    assert bool(int(address) >> 57 & 1) == is_globally_unique(ipv4)

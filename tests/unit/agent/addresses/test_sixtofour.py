# SPDX-License-Identifier: GPL-3.0-or-later
"""6to4 addresses: RFC 3056 section 2, and the examples of Microsoft's white paper of 2008."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import is_unicast_endpoint, sixtofour, sixtofour_address, sixtofour_prefix

endpoints = st.ip_addresses(v=4).filter(is_unicast_endpoint)


@pytest.mark.parametrize(
    ("ipv4", "prefix"),
    [
        ("131.107.23.89", "2002:836b:1759::/48"),
        ("157.60.0.1", "2002:9d3c:1::/48"),
        ("131.107.0.1", "2002:836b:1::/48"),
    ],
)
def test_white_paper_prefixes(ipv4: str, prefix: str) -> None:
    assert sixtofour_prefix(IPv4Address(ipv4)) == IPv6Network(prefix)


def test_white_paper_address_of_a_host_router() -> None:
    assert sixtofour_address(IPv4Address("131.107.0.1")) == IPv6Address("2002:836b:1::836b:1")


@pytest.mark.parametrize(
    ("address", "ipv4"),
    [
        ("2002:9d3c:1:1::1", "157.60.0.1"),
        ("2002:836b:1::836b:1", "131.107.0.1"),
        ("2002:c2cf:105::1", "194.207.1.5"),
    ],
)
def test_white_paper_addresses_tell_their_router(address: str, ipv4: str) -> None:
    assert sixtofour.embedded_ipv4(IPv6Address(address)) == IPv4Address(ipv4)


@pytest.mark.parametrize("address", ["2001:ffff::1", "2003::1", "::2002:9d3c:1", "fe80::1"])
def test_other_prefixes_are_not_6to4(address: str) -> None:
    assert sixtofour.embedded_ipv4(IPv6Address(address)) is None


@pytest.mark.parametrize("ipv4", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_an_address_that_no_router_can_have_is_refused(ipv4: str) -> None:
    with pytest.raises(ValueError, match=f"IPv4 address {ipv4}"):
        sixtofour_prefix(IPv4Address(ipv4))


@given(endpoints, st.integers(0, (1 << 80) - 1))
def test_every_address_of_a_site_tells_its_router(ipv4: IPv4Address, host: int) -> None:
    prefix = sixtofour_prefix(ipv4)
    assert prefix.subnet_of(sixtofour.SIXTOFOUR_PREFIX)
    assert sixtofour.embedded_ipv4(prefix[host]) == ipv4

# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of IPv4 addresses."""

from ipaddress import IPv4Address

import pytest
from v6ferry.addresses import is_globally_unique, is_unicast_endpoint


@pytest.mark.parametrize(
    "address",
    [
        "131.107.71.209",
        "157.60.0.1",
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.0.9",  # Port Control Protocol anycast
        "192.0.0.10",  # TURN anycast
        "192.31.196.1",  # AS112
        "192.52.193.1",  # automatic multicast tunneling
        "192.175.48.1",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
    ],
)
def test_globally_unique_addresses(address: str) -> None:
    assert is_globally_unique(IPv4Address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.47.99",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "233.252.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_that_several_hosts_may_have(address: str) -> None:
    assert not is_globally_unique(IPv4Address(address))


@pytest.mark.parametrize("address", ["1.0.0.0", "10.0.0.1", "126.255.255.255", "128.0.0.0"])
def test_unicast_endpoints_are_hosts_public_or_private(address: str) -> None:
    assert is_unicast_endpoint(IPv4Address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.255.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
    ],
)
def test_no_endpoints(address: str) -> None:
    assert not is_unicast_endpoint(IPv4Address(address))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters: the white paper's examples, round trips, and what bad input says."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.v6ops.transition.plugins.filter.transition_addresses import FilterModule
from hypothesis import given
from hypothesis import strategies as st

FILTERS = FilterModule().filters()
HOSTS = st.integers(1 << 24, (224 << 24) - 1).filter(lambda number: number >> 24 != 127)
IPV4 = HOSTS.map(lambda number: str(IPv4Address(number)))
IPV6 = st.integers(0, 2**128 - 1).map(lambda number: str(IPv6Address(number)))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("isatap_address", ["192.168.47.99", "2001:db8:0:7::/64"], "2001:db8:0:7:0:5efe:c0a8:2f63"),
        (
            "isatap_address",
            ["131.107.71.209", "2001:db8:0:7::/64", True],
            "2001:db8:0:7:200:5efe:131.107.71.209",
        ),
        ("configured_tunnel_link_local", ["10.0.3.1"], "fe80::a00:301"),
        ("isatap_link_local", ["10.0.0.1"], "fe80::5efe:a00:1"),
        ("isatap_link_local", ["131.107.71.209", True], "fe80::200:5efe:131.107.71.209"),
        ("isatap_embedded_ipv4", ["2001:db8:0:7:0:5efe:c0a8:2f63"], "192.168.47.99"),
        ("isatap_embedded_ipv4", ["2001:db8::1"], None),
        ("sixtofour_prefix", ["157.60.0.1"], "2002:9d3c:1::/48"),
        ("sixrd_prefix", ["10.100.100.1", "2001:db8::/32", 8], "2001:db8:6464:100::/56"),
        (
            "sixrd_dhcp_option",
            ["08:20:20:01:0d:b8:00:00:00:00:00:00:00:00:00:00:00:00:0a:00:00:01"],
            {"prefix": "2001:db8::/32", "ipv4_mask_length": 8, "border_relays": ["10.0.0.1"]},
        ),
    ],
)
def test_examples_of_the_documentation(name, arguments, expected):
    assert FILTERS[name](*arguments) == expected


def test_decode_names_the_technologies_of_an_address():
    decoded = FILTERS["ipv6_transition_decode"]("2002:9d3c:1::5efe:10.0.0.1")
    assert (decoded["kind"], decoded["kinds"]) == ("6to4", ["6to4", "isatap"])
    assert (decoded["embedded_ipv4"], decoded["isatap_ipv4"]) == ("157.60.0.1", "10.0.0.1")


@given(IPV4)
def test_isatap_address_can_be_taken_apart_again(ipv4):
    address = FILTERS["isatap_address"](ipv4, "2001:db8:0:7::/64")
    assert FILTERS["isatap_embedded_ipv4"](address) == ipv4
    assert FILTERS["ipv6_transition_decode"](address)["kind"] == "isatap"


@given(IPV6)
def test_decode_has_the_same_keys_for_every_address(address):
    decoded = FILTERS["ipv6_transition_decode"](address)
    assert set(decoded) == {"address", "kind", "kinds", "embedded_ipv4", "isatap_ipv4", "teredo"}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("isatap_address", ["2001:db8::1", "2001:db8::/64"], "is not an IPv4 address such as"),
        ("isatap_address", ["10.0.0.1", "2001:db8::/63"], "/64"),
        ("isatap_address", ["10.0.0.1", "10.0.0.0/8"], "is not an IPv6 prefix such as"),
        ("isatap_link_local", [["10.0.0.1"]], "for a list, use map"),
        ("isatap_link_local", [167772161], "is not an IPv4 address"),
        ("ipv6_transition_decode", ["10.0.0.1"], "is not an IPv6 address such as"),
        ("sixrd_dhcp_option", ["0820"], "OPTION_6RD of 2 bytes: must have 22"),
        ("sixrd_dhcp_option", [8], "8 is not a text"),
        ("sixrd_prefix", ["10.0.0.1", "2001:db8::/32", "8"], "ipv4_mask_length '8' is not a"),
        ("isatap_address", ["10.0.0.1"], "prefix"),
    ],
)
def test_bad_input_names_the_filter_and_what_would_do(name, arguments, message):
    with pytest.raises(AnsibleFilterError) as raised:
        FILTERS[name](*arguments)
    assert str(raised.value).startswith(f"{name}: ")
    assert message in str(raised.value)

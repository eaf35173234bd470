# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling IPv6 addresses apart, and writing them for people."""

import json
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import (
    decode,
    format_isatap,
    format_with_ipv4,
    ipv4_compatible,
    ipv4_mapped,
    is_isatap_identifier,
)


@pytest.mark.parametrize(
    ("address", "kind", "embedded"),
    [
        ("2001:db8:0:7:0:5efe:192.168.47.99", "isatap", "192.168.47.99"),
        ("2001:db8:0:7:200:5efe:131.107.71.209", "isatap", "131.107.71.209"),
        ("fe80::5efe:10.0.0.1", "isatap", "10.0.0.1"),
        ("2002:836b:1759:5::1", "6to4", "131.107.23.89"),
        ("2002:9d3c:1:1::1", "6to4", "157.60.0.1"),
        ("2001:0:ce49:7601:2cad:dfff:7c94:fffe", "teredo", "131.107.0.1"),
        ("3ffe:831f:ce49:7601:8000:efff:7c94:fffe", "teredo-obsolete", "131.107.0.1"),
        # Port 41217 makes the identifier of a Teredo address begin like an ISATAP one.
        ("2001:0:ce49:7601:0:5efe:7c94:fffe", "teredo", "131.107.0.1"),
        ("::ffff:10.0.0.1", "ipv4-mapped", "10.0.0.1"),
        ("::131.107.0.1", "ipv4-compatible", "131.107.0.1"),
        ("::", "native", None),
        ("::1", "native", None),
        ("2001:db8::1", "native", None),
        ("fe80::1", "native", None),
        ("ff02::1", "native", None),
    ],
)
def test_kind_and_embedded_address(address: str, kind: str, embedded: str | None) -> None:
    decoded = decode(IPv6Address(address))
    assert decoded.kind == kind
    assert decoded.embedded_ipv4 == (embedded and IPv4Address(embedded))


def test_a_6to4_address_may_carry_an_isatap_identifier() -> None:
    decoded = decode(IPv6Address("2002:9d3c:1:1:0:5efe:10.0.0.1"))
    assert decoded.kinds == ("6to4", "isatap")
    assert decoded.embedded_ipv4 == IPv4Address("157.60.0.1")
    assert decoded.isatap_ipv4 == IPv4Address("10.0.0.1")


def test_as_dict_of_an_isatap_address() -> None:
    assert decode(IPv6Address("2001:db8:0:7:0:5efe:192.168.47.99")).as_dict() == {
        "address": "2001:db8:0:7:0:5efe:192.168.47.99",
        "kind": "isatap",
        "kinds": ["isatap"],
        "embedded_ipv4": "192.168.47.99",
        "isatap_ipv4": "192.168.47.99",
        "teredo": None,
    }


def test_as_dict_of_a_teredo_address() -> None:
    assert decode(IPv6Address("2001:0:ce49:7601:e866:efff:62c3:fffe")).as_dict()["teredo"] == {
        "server": "206.73.118.1",
        "client": "157.60.0.1",
        "port": 4096,
        "flags": 0xE866,
        "cone": True,
    }


@given(st.ip_addresses(v=4))
def test_mapped_and_compatible_addresses(ipv4: IPv4Address) -> None:
    assert decode(ipv4_mapped(ipv4)).embedded_ipv4 == ipv4
    # ::0.0.0.0 and ::0.0.0.1 are the unspecified and the loopback address.
    if int(ipv4) > 1:
        assert decode(ipv4_compatible(ipv4)).embedded_ipv4 == ipv4


interesting = st.one_of(
    st.ip_addresses(v=6),
    st.ip_addresses(v=6, network="2002::/16"),
    st.ip_addresses(v=6, network="2001::/32"),
    st.ip_addresses(v=6, network="::/80"),
    st.ip_addresses(v=6, network="fe80::5efe:0:0/96"),
    st.ip_addresses(v=6, network="2002:9d3c:1::200:5efe:0:0/96"),
)


@given(interesting)
def test_decode_never_fails_and_is_ready_for_json(address: IPv6Address) -> None:
    decoded = decode(address)
    as_dict = json.loads(json.dumps(decoded.as_dict()))
    assert IPv6Address(as_dict["address"]) == address
    assert decoded.kind in as_dict["kinds"]


@given(interesting)
def test_formatting_is_only_another_notation(address: IPv6Address) -> None:
    assert IPv6Address(format_with_ipv4(address)) == address
    assert IPv6Address(format_isatap(address)) == address
    assert ("." in format_isatap(address)) >= is_isatap_identifier(address)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("2001:db8:0:7::1", "2001:db8:0:7::1"),
        ("fe80::5efe:0:0", "fe80::5efe:0.0.0.0"),
        ("2001:db8:1:2:0:5efe:a00:1", "2001:db8:1:2:0:5efe:10.0.0.1"),
        ("fe80::5efe:a00:1%isatap0", "fe80::5efe:10.0.0.1%isatap0"),
    ],
)
def test_format_isatap(address: str, text: str) -> None:
    assert format_isatap(IPv6Address(address)) == text

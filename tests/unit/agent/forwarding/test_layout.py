# SPDX-License-Identifier: GPL-3.0-or-later
"""The structures of the eBPF plane in Python, against the C source that they describe."""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.forwarding.ebpf import layout
from v6ferry.forwarding.ebpf.tables import Identifiers, tunnel_entries
from v6ferry.forwarding.table import (
    ISATAP,
    SIXTOFOUR,
    TEREDO,
    BitPattern,
    Embedded,
    Encapsulation,
    IngressRule,
    TunnelTable,
)
from v6ferry.system.errors import SystemFault

SOURCE = (Path(__file__).parents[4] / "agent/bpf/tunnel.bpf.c").read_text()


def enumerators(name: str) -> list[str]:
    """Names of the enumerators of a C enumeration, in their order."""
    body = re.search(rf"enum {name} \{{(.*?)\}};", SOURCE, re.DOTALL)
    assert body is not None
    return re.findall(r"^\t([A-Z0-9_]+)(?: = \d+)?,", body[1], re.MULTILINE)


def defined(name: str) -> int:
    """Value of a C macro that is a number."""
    found = re.search(rf"#define {name} (\d+)\b", SOURCE)
    assert found is not None
    return int(found[1])


def test_drop_reasons_are_in_the_order_of_the_programs():
    names = [f"DROP_{reason.name}" for reason in layout.DROP_REASONS]
    assert enumerators("drop_reason") == [*names, "DROP_REASONS", "DROP_SLOTS"]


@pytest.mark.parametrize(
    ("enumeration", "ours", "prefix", "more"),
    [
        ("hand_up_reason", layout.HandUp, "UP", ["UP_REASONS", "UP_SLOTS"]),
        ("set", layout.MemberSet, "SET", []),
        ("way", layout.Way, "WAY", []),
        ("accept", layout.Accept, "ACCEPT", []),
        ("near", layout.Near, "NEAR", []),
        ("tunnel_flag", layout.TunnelFlag, "TUNNEL", []),
        ("selector_flag", layout.SelectorFlag, "SELECTOR", []),
    ],
)
def test_enumerations_are_those_of_the_programs(
    enumeration: str, ours: type[IntEnum] | type[IntFlag], prefix: str, more: list[str]
):
    names = [f"{prefix}_{one.name}" for one in ours]
    assert enumerators(enumeration) == names + more


def test_every_reason_has_a_slot():
    assert len(layout.DROP_REASONS) <= 16
    assert len(layout.HandUp) <= 16


@pytest.mark.parametrize(
    "name", ["ACCEPTED_SELECTORS", "AUTOMATIC_SELECTORS", "CANDIDATES", "SOURCE_SELECTORS"]
)
def test_numbers_are_those_of_the_programs(name: str):
    assert getattr(layout, name) == defined(name)


@given(st.integers(0, 2**128 - 1), st.integers(0, 96), st.integers(0, 31))
def test_embedded_endpoint_has_the_common_bits_and_those_of_the_address(value, offset, common):
    """RFC 5969 section 4: the CE's IPv4 address less its first IPv4MaskLen bits."""
    mask = 0xFFFFFFFF >> common
    embedded = Embedded(offset, common=~mask & 0xC0A80000, common_length=common)
    bits = f"{value:0128b}"[offset : offset + 32 - common]
    assert embedded.endpoint(value) == (~mask & 0xC0A80000) | int(bits, 2)


def test_embedded_endpoint_of_6rd():
    """RFC 5969 section 4: 2001:db8::/32, IPv4 mask length 8, 10.100.100.1."""
    prefix = BitPattern(0x20010DB8 << 96, 0xFFFFFFFF << 96)
    sixrd = Embedded(32, prefix, int(IPv4Address("10.0.0.0")), 8)
    address = int(IPv6Address("2001:db8:6464:100::1"))
    assert sixrd.endpoint(address) == int(IPv4Address("10.100.100.1"))


def table(**fields: object) -> TunnelTable:
    return TunnelTable(interface="tun0", **fields)  # type: ignore[arg-type]


def test_table_that_the_programs_cannot_execute_is_refused_by_name():
    three = (ISATAP, SIXTOFOUR, Embedded(0))
    rule = IngressRule(IPv6Network("2001:db8::/32"), three, "too much")
    with pytest.raises(SystemFault, match="ingress rule too much"):
        tunnel_entries(table(ingress=(rule,)), 1, Identifiers())
    with pytest.raises(SystemFault, match=r"tun0: .* source selectors"):
        tunnel_entries(table(encapsulation=Encapsulation(sources=three)), 1, Identifiers())


def test_numbers_of_rules_are_used_again_when_they_are_free():
    identifiers = Identifiers()
    first, second = identifiers.of("tun0", "a"), identifiers.of("tun0", "b")
    assert first != second
    assert identifiers.of("tun0", "a") == first
    identifiers.release("tun0", ["a"])
    assert identifiers.of("tun1", "a") == first
    assert len({identifiers.of("tun1", name) for name in "abcde"} | {second}) == 6


def test_endpoint_and_port_of_teredo_are_inverted_rfc4380_4():
    """The white paper's example: 2001:0:ce49:7601:e866:efff:62c3:fffe is 157.60.0.1:4096."""
    address = int(IPv6Address("2001:0:ce49:7601:e866:efff:62c3:fffe"))
    assert TEREDO.endpoint(address) == int(IPv4Address("157.60.0.1"))
    assert TEREDO.port(address) == 4096
    assert ISATAP.port(address) is None

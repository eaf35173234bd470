# SPDX-License-Identifier: GPL-3.0-or-later
"""Rtnetlink events, told apart by their first bytes."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.system.netlink_events import CHANGE_KINDS, Changes, change_kinds, changes_in


def message(message_type: int, family: int, length: int = 32) -> bytes:
    header = struct.pack("=IHHII", length, message_type, 0, 0, 0)
    return header + bytes([family]) + bytes(length - 17)


@pytest.mark.parametrize(
    ("message_type", "family", "kind"),
    [
        (16, socket.AF_UNSPEC, "link"),
        (17, socket.AF_INET6, "link"),
        (20, socket.AF_INET, "ipv4-address"),
        (21, socket.AF_INET6, "ipv6-address"),
        (24, socket.AF_INET, "ipv4-route"),
        (25, socket.AF_INET6, "ipv6-route"),
        (37, socket.AF_UNSPEC, "filter"),
        (44, socket.AF_UNSPEC, "filter"),
        (45, socket.AF_UNSPEC, "filter"),
    ],
)
def test_kind_of_an_event(message_type, family, kind):
    assert change_kinds(message(message_type, family)) == {kind}


def test_several_messages_in_a_datagram_are_padded_to_four_bytes():
    data = message(16, 0, 33) + bytes(3) + message(24, socket.AF_INET)
    assert change_kinds(data) == {"link", "ipv4-route"}


def test_other_messages_and_families_are_no_change():
    assert change_kinds(message(28, socket.AF_INET) + message(20, 28)) == set()


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data):
    assert change_kinds(data) <= CHANGE_KINDS


def attribute(kind: int, value: int) -> bytes:
    return struct.pack("=HHi", 8, kind, value)


def event(message_type: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), message_type, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("data", "interfaces"),
    [
        (event(16, struct.pack("=BBHi", 0, 0, 1, 7)), {7}),
        (event(20, struct.pack("=BBBBi", socket.AF_INET6, 64, 0, 0, 8)), {8}),
        (event(24, bytes([socket.AF_INET6]) + bytes(11) + attribute(6, 1) + attribute(4, 9)), {9}),
        (event(24, bytes([socket.AF_INET6]) + bytes(11) + attribute(6, 1)), None),  # multipath
        (event(80, bytes([socket.AF_INET, 0, 0, 0]) + attribute(1, 5)), {5}),
        (event(80, bytes([socket.AF_INET, 0, 0, 0]) + attribute(1, -1)), None),  # all of them
        (event(16, b""), None),
    ],
)
def test_interface_of_an_event(data, interfaces):
    assert changes_in(data).interfaces == interfaces


def test_changes_are_joined():
    one, other = Changes.of({"link"}, {1}), Changes.of({"ipv6-route"}, {2})
    assert one.joined(other) == {"link", "ipv6-route"}
    assert one.joined(other).interfaces == {1, 2}
    assert one.joined(Changes.of((), None)).interfaces is None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rtnetlink events, told apart by their first bytes."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.system.netlink_events import CHANGE_KINDS, change_kinds


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

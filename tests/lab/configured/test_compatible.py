# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic tunnels between IPv4-compatible addresses, with real packets (RFC 2893 section 5)."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import IPv6

from tests.lab import Lab
from tests.lab.configured.test_changes import hostile
from tests.lab.configured.tunnels import present, status, tunnels
from tests.lab.isatap.intranet import addresses, eventually, pings
from tests.lab.isatap.test_data_plane import send

pytestmark = pytest.mark.lab

KIND = "compatible_tunnel"
A, B = "::192.168.47.99", "::131.107.71.209"


def test_hosts_find_each_other_by_their_addresses_rfc2893_5(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    with tunnels((a, present("default", KIND)), (b, present("default", KIND))):
        assert pings(a, B)
        assert pings(b, A)
        assert addresses(a, "compatible0") == {"::192.168.47.99"}
        before = sum(status(a, "default", KIND)["counters"]["drops"].values())
        # A source that is not the sender's own, a martian, and destinations that are not ours.
        packets = [
            hostile(IPv6(src=source, dst=destination))
            for source, destination in (
                ("::10.9.9.9", A),
                ("::1", A),
                ("2001:db8::1", A),
                (B, "::10.9.9.9"),
                (B, "2001:db8::1"),
            )
        ]
        with a.capture("compatible0", "icmp6 and ip6[40] = 128") as capture:
            send(b, *packets)
            eventually(
                lambda: (
                    sum(status(a, "default", KIND)["counters"]["drops"].values())
                    == before + len(packets)
                )
            )
        assert capture.packets == []
    assert addresses(a, "compatible0") == set()
    assert not pings(a, B, wait=0.3)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What Linux's sit driver and isatapd do wrong on an ISATAP link, done right.

Seen in Debian's kernels 6.1, 6.12 and 7.3; each test names what they do. Further ones: loops
(``test_data_plane``), dead routers and changing addresses (``test_routers``).
"""

from __future__ import annotations

import time

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6

from tests.lab import ISATAP, Lab
from tests.lab.isatap.intranet import B, apply, drops, pings, set_up, status
from tests.lab.isatap.test_data_plane import send, tunnelled

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab():
    with Lab(ISATAP) as lab:
        set_up(lab)
        yield lab


@pytest.mark.parametrize(
    "endpoint", ["224.0.0.1", "255.255.255.255", "192.168.47.255", "127.0.0.1", "0.0.0.0"]
)
def test_packets_to_what_is_no_host_never_leave_rfc5214_7_2(lab, endpoint):
    """RFC 5214 section 7.2. sit, once warm from a neighbour, sends to multicast and broadcast."""
    a = lab["a"]
    pings(a, "2001:db8:0:7:0:5efe:192.168.47.254", wait=0.2)
    with a.capture("eth0", "proto 41") as capture:
        pings(a, f"2001:db8:0:7:0:5efe:{endpoint}", wait=0.3)
    assert capture.packets == []
    assert sum(drops(a).values()) > 0


def test_neighbour_beyond_a_router_is_reached_after_one_on_the_link(lab):
    """sit keeps one route for all endpoints: after an on-link one, the others are unreachable."""
    for _turn in range(3):
        pings(lab["a"], "2001:db8:0:7:0:5efe:192.168.47.254", wait=0.2)
        assert pings(lab["a"], B)


def test_router_cannot_advertise_in_another_s_name_rfc5214_8_3_3(lab):
    """RFC 5214 section 8.3.3. sit makes a second default route of such an advertisement."""
    a = lab["a"]
    apply(a, "isatap_host", routers=["10.0.0.1", "10.0.1.53"])
    forged = (
        IPv6(src="fe80::5efe:10.0.1.53", dst="fe80::5efe:192.168.47.99", hlim=255)
        / ICMPv6ND_RA(routerlifetime=1800)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)
    )
    before = a.run(["ip", "-6", "route"]).stdout
    send(lab["router"], tunnelled(forged, "10.0.0.1", "192.168.47.99"))
    time.sleep(0.3)
    assert a.run(["ip", "-6", "route"]).stdout == before
    assert drops(a)["inner_source_does_not_match_outer"] >= 1
    apply(a, "isatap_host", routers=["10.0.0.1"])


def test_congestion_experienced_is_not_watered_down_rfc6040_4_1(lab):
    """RFC 6040 section 4.1. sit turns CE into ECT(0) in the outer header."""
    with lab["b"].capture("eth0", "proto 41 and dst host 131.107.71.209") as capture:
        assert pings(lab["a"], B, "-Q", "3")
    assert capture.packets[0][IP].tos == 3


def test_modern_router_s_icmp_error_reaches_the_sender_rfc4213_3_4(lab):
    """RFC 4213 section 3.4. With sit, an error that quotes more than 8 bytes reaches nobody."""
    a = lab["a"]
    before = status(a)["counters"]["icmp_errors_out"]
    done = a.run(
        ["ping", "-n", "-c", "1", "-W", "5", "2001:db8:0:7:200:5efe:131.107.71.78"],
        check=False,
        timeout=20,
    )
    assert "Destination unreachable: Address unreachable" in done.stdout
    assert status(a)["counters"]["icmp_errors_out"] > before


def test_short_lifetimes_bring_no_storm_of_solicitations_rfc5214_8_3_4(lab):
    """RFC 5214 section 8.3.4. isatapd answers a lifetime of 1 s with a solicitation every 0.8 s."""
    a = lab["a"]
    short = (
        IPv6(src="fe80::5efe:10.0.0.1", dst="fe80::5efe:192.168.47.99", hlim=255)
        / ICMPv6ND_RA(routerlifetime=1800)
        / ICMPv6NDOptPrefixInfo(
            prefix="2001:db8:0:9::", prefixlen=64, validlifetime=1, preferredlifetime=1
        )
    )
    with a.capture("eth0", "proto 41 and ip[60] = 133") as capture:
        for _turn in range(4):
            send(lab["router"], tunnelled(short, "10.0.0.1", "192.168.47.99"))
            time.sleep(1)
    assert capture.packets == []
    assert pings(a, B)

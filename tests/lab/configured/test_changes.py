# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes while a tunnel is there: addresses, names, the far end; and who may not send."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from tests.lab import Lab, LabHost
from tests.lab.configured.tunnels import present, status, tunnels, unclaimed, way_to
from tests.lab.isatap.intranet import addresses, eventually, pings
from tests.lab.isatap.test_data_plane import send

pytestmark = pytest.mark.lab

ROUTER, ROUTER2, A, B = "10.0.0.1", "10.0.2.1", "192.168.47.99", "131.107.71.209"
NEW_A = "192.168.47.77"
C = "2001:db8:0:c::c"


def readdress(host: LabHost, address: str) -> None:
    """Give the host another IPv4 address."""
    host.run(["ip", "-4", "addr", "flush", "dev", "eth0"])
    host.run(["ip", "addr", "add", f"{address}/24", "dev", "eth0"])
    host.run(["ip", "route", "replace", "default", "via", "192.168.47.254"])


def test_far_end_that_moves_is_followed_by_name_and_local_address(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    b.write("/etc/hosts", f"{A} mate\n")
    with tunnels(
        (a, present("b", remote=B, addresses=["2001:db8:0:e::a/64"])),
        (
            b,
            present("a", remote="mate", addresses=["2001:db8:0:e::b/64"], name_refresh_interval=10),
        ),
    ):
        assert pings(b, "2001:db8:0:e::a")
        index = b.run(["cat", "/sys/class/net/ct-a/ifindex"]).stdout
        readdress(a, NEW_A)
        b.write("/etc/hosts", f"{NEW_A} mate\n")
        try:
            eventually(lambda: status(a, "b")["local"] == NEW_A)
            eventually(lambda: addresses(a, "ct-b") == {"fe80::c0a8:2f4d", "2001:db8:0:e::a"})
            eventually(lambda: pings(b, "2001:db8:0:e::a", wait=0.3), timeout=15)
            assert b.run(["cat", "/sys/class/net/ct-a/ifindex"]).stdout == index
            assert status(b, "a")["remote"] == NEW_A
        finally:
            readdress(a, A)


def test_agent_that_was_killed_goes_on_with_the_name_it_knew(lab: Lab, plane: str) -> None:
    b = lab["b"]
    b.write("/etc/hosts", f"{A} mate\n")
    with tunnels(
        (lab["a"], present("b", remote=B, addresses=["2001:db8:0:e::a/64"])),
        (b, present("a", remote="mate", addresses=["2001:db8:0:e::b/64"])),
    ):
        eventually(lambda: b.path("/run/v6ferry/snapshots/configured_tunnel/a.json").exists())
        b.kill_agent()
        b.write("/etc/hosts", "")
        b.start_agent("--plane", plane)
        assert pings(b, "2001:db8:0:e::a")
        assert status(b, "a")["remote"] == A


@pytest.mark.parametrize("target", [None, "2001:db8:0:c::1"], ids=["neighbor", "echo"])
def test_silent_far_end_gives_its_routes_to_the_next_tunnel_rfc4213_3_8(
    lab: Lab, target: str | None
) -> None:
    a, router = lab["a"], lab["router"]
    keepalive = {"keepalive": True, "keepalive_interval": 1, "keepalive_losses": 2}
    first = keepalive | ({} if target is None else {"keepalive_target": target})
    second = keepalive | {"route_metric": 2048}
    near = {"addresses": ["2001:db8:0:a::1/64"], "forwarding": True}
    near2 = {"addresses": ["2001:db8:0:b::1/64"], "forwarding": True}
    ours, ours2 = ["2001:db8:0:a::2/64"], ["2001:db8:0:b::2/64"]
    with tunnels(
        (router, present("a", remote=A, **near)),
        (lab["router2"], present("a", remote=A, **near2)),
        (a, present("first", remote=ROUTER, addresses=ours, default_route=True, **first)),
        (a, present("second", remote=ROUTER2, addresses=ours2, default_route=True, **second)),
    ):
        assert way_to(a, C) == "ct-first"
        assert pings(a, C)
        router.run(["ip", "link", "set", "eth0", "down"])
        try:
            assert eventually(lambda: way_to(a, C) == "ct-second", timeout=6) < 5
            assert not status(a, "first")["ready"]
            assert "is silent; its routes are withdrawn" in status(a, "first")["summary"]
            assert pings(a, "2001:db8:0:b::1")
        finally:
            router.run(["ip", "link", "set", "eth0", "up"])
            router.run(["ip", "route", "replace", "default", "via", "10.0.0.254"])
        eventually(lambda: way_to(a, C) == "ct-first", timeout=6)
        assert pings(a, C)


def hostile(inner: IPv6, source: str = B) -> IP:
    return IP(src=source, dst=A, proto=41, id=7) / inner / ICMPv6EchoRequest(id=7)


def test_only_the_far_end_may_send_and_no_martians_rfc4213_3_6_and_4(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    mate = "2001:db8:0:e::b"
    with tunnels(
        (
            a,
            present(
                "b",
                remote=B,
                addresses=["2001:db8:0:e::a/64"],
                allowed_sources=["2001:db8:0:e::/64"],
                refused_sources=["2001:db8:0:e::bad/128"],
            ),
        ),
    ):
        before = unclaimed(a).get("no_tunnel_accepts", 0)
        with a.capture("ct-b", "icmp6 and ip6[40] = 128") as capture:
            send(
                b,
                *(
                    hostile(IPv6(src=source, dst="2001:db8:0:e::a"))
                    for source in ("::1", "::", "::10.0.0.1", "::ffff:10.0.0.1", "ff02::1")
                ),
                hostile(IPv6(src="2001:db8:0:e::bad", dst="2001:db8:0:e::a")),
                hostile(IPv6(src="2001:db8:5::1", dst="2001:db8:0:e::a")),
                hostile(IPv6(src=mate, dst="2001:db8:0:e::77")),
            )
            send(lab["router"], hostile(IPv6(src=mate, dst="2001:db8:0:e::a"), ROUTER))
            eventually(lambda: unclaimed(a).get("no_tunnel_accepts", 0) == before + 1)
            send(b, hostile(IPv6(src=mate, dst="2001:db8:0:e::a")))
            capture.wait_for(1)
        assert [one[IPv6].src for one in capture.packets] == [mate]
        assert status(a, "b")["counters"]["drops"] == {
            "inner_destination_forbidden": 1,
            "inner_source_does_not_match_outer": 2,
            "inner_source_forbidden": 5,
        }


def test_nothing_is_sent_to_this_host_itself_rfc6324(lab: Lab) -> None:
    with tunnels((lab["a"], present("self", remote=A, default_route=True)), wait=0):
        seen = status(lab["a"], "self")
        assert not seen["ready"]
        assert seen["summary"] == f"{A} is this host itself: a tunnel has two ends"
        assert way_to(lab["a"], C) is None

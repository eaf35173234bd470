# SPDX-License-Identifier: GPL-3.0-or-later
"""The three configurations of RFC 4213 section 1.1 with real packets."""

from __future__ import annotations

import json

import pytest

from tests.lab import Lab
from tests.lab.configured.tunnels import absent, apply, present, status, tunnels, way_to
from tests.lab.isatap.intranet import addresses, pings

pytestmark = pytest.mark.lab

ROUTER, BRANCH, A, B = "10.0.0.1", "10.0.3.1", "192.168.47.99", "131.107.71.209"
MAIN, BRANCH_LAN = "2001:db8:0:c::/64", "2001:db8:0:d::/64"
C, D = "2001:db8:0:c::c", "2001:db8:0:d::d"


def test_router_to_router_connects_two_networks(lab: Lab, plane: str) -> None:
    link = [{"prefix": BRANCH_LAN}], [{"prefix": MAIN}]
    with tunnels(
        (lab["router"], present("branch", remote=BRANCH, routes=link[0], forwarding=True)),
        (lab["branch"], present("main", remote=ROUTER, routes=link[1], forwarding=True)),
    ):
        assert pings(lab["c"], D)
        assert pings(lab["d"], C)
        seen = status(lab["router"], "branch")
        assert seen["plane"].lower() == plane
        assert (seen["local"], seen["remote"], seen["interface"]) == (ROUTER, BRANCH, "ct-branch")
        assert addresses(lab["router"], "ct-branch") == {"fe80::a00:1"}
    assert addresses(lab["router"], "ct-branch") == set()
    assert way_to(lab["router"], D) is None
    forwarding = lab["router"].run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout
    assert forwarding.strip() == "0"


def test_host_to_router_and_router_to_host(lab: Lab) -> None:
    with tunnels(
        (
            lab["router"],
            present("a", remote=A, addresses=["2001:db8:0:a::1/64"], forwarding=True),
        ),
        (
            lab["a"],
            present("site", remote=ROUTER, addresses=["2001:db8:0:a::2/64"], default_route=True),
        ),
    ):
        assert pings(lab["a"], C)
        assert pings(lab["c"], "2001:db8:0:a::2")
        assert way_to(lab["a"], "2001:db8:ffff::1") == "ct-site"
        found = json.loads(lab["a"].v6ferry("explain", C, "--json").stdout)
        assert (found["endpoint"], found["outer_source"]) == (ROUTER, A)
        # An address of the link that nobody has is not sent back and forth.
        with lab["a"].capture("eth0", "proto 41 and ip[60] = 128") as capture:
            assert not pings(lab["a"], "2001:db8:0:a::9", wait=0.3)
        assert len(capture.packets) == 1
        assert status(lab["router"], "a")["counters"]["drops"]["inner_destination_forbidden"] == 1


def test_host_to_host_with_link_local_addresses_and_multicast(lab: Lab) -> None:
    with tunnels(
        (lab["a"], present("b", remote=B, addresses=["fe80::a/64"])),
        (lab["b"], present("a", remote=A, addresses=["fe80::b/64"], tunnel_mtu="dynamic")),
    ):
        assert addresses(lab["a"], "ct-b") == {"fe80::a"}
        assert pings(lab["a"], "fe80::b%ct-b")
        # Routing protocols live on multicast.
        assert pings(lab["a"], "ff02::1%ct-b")
        assert pings(lab["b"], "fe80::a%ct-a", "-s", "1400", "-M", "do")


def test_tunnel_is_checked_before_it_is_made_and_idempotent(lab: Lab) -> None:
    wanted = present("a-rather-long-name", remote=B)
    done = lab["a"].v6ferry("apply", "-", input=json.dumps(present("x")), check=False)
    assert done.stderr == "v6ferry: configured_tunnel/x: remote: is required\n"
    with tunnels((lab["a"], wanted)):
        (again,) = apply(lab["a"], wanted)
        assert not again["changed"]
        assert len(again["status"]["interface"]) == 15
    (gone,) = apply(lab["a"], absent("a-rather-long-name"))
    assert not gone["changed"]

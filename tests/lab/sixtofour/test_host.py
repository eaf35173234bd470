# SPDX-License-Identifier: GPL-3.0-or-later
"""Two 6to4 hosts on an IPv4 Internet."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost, bulk
from tests.lab.isatap.intranet import addresses, apply, eventually, pings, remove, status
from tests.lab.sixtofour.site import OTHER_PUBLIC, PUBLIC, REMOTE, SITES, set_address
from tests.lab.topology import Zone

pytestmark = pytest.mark.lab

KIND = "sixtofour_host"
OURS, CHANGED, PEER = (
    "2002:836b:1759::836b:1759",
    "2002:836b:175a::836b:175a",
    "2002:9d3c:1::9d3c:1",
)


@pytest.fixture(scope="module")
def hosts(plane: str) -> Iterator[Lab]:
    with Lab(SITES) as lab:
        for name in ("router", "remote"):
            lab[name].start_agent("--plane", plane)
            apply(lab[name], KIND)
        yield lab


def test_hosts_reach_each_other_and_follow_a_change_of_address(hosts):
    host, remote = hosts["router"], hosts["remote"]
    eventually(lambda: pings(host, PEER, wait=0.5), 5)
    assert pings(remote, OURS)
    set_address(hosts, PUBLIC, OTHER_PUBLIC)
    eventually(lambda: CHANGED in addresses(host, "sixtofour0"), 3)
    eventually(lambda: pings(remote, CHANGED, wait=0.5), 3)
    set_address(hosts, OTHER_PUBLIC, PUBLIC)
    eventually(lambda: pings(remote, OURS, wait=0.5), 3)


def test_automatic_is_idle_while_there_is_a_native_address(hosts):
    host = hosts["router"]
    host.run(["ip", "addr", "add", "2001:db8::77/64", "dev", "lan0", "nodad"])
    eventually(lambda: OURS not in addresses(host, "sixtofour0"), 3)
    why = "idle: there is native IPv6, 2001:db8::77 on lan0"
    assert why in status(host)["summary"]
    # On the host, too, one wants to know why 6to4 is not in it.
    answer = json.loads(host.v6ferry("explain", PEER, "--json", check=False).stdout)
    assert "the kernel has no IPv6 route to it" in answer["verdict"]
    assert why in answer["idle"]["sixtofour_host/default"]
    native = host.v6ferry("explain", "2001:db8::78").stdout
    assert f"3. sixtofour_host/default carries nothing at the moment: {why}" in native
    assert "=> it goes natively through lan0" in native
    host.run(["ip", "addr", "del", "2001:db8::77/64", "dev", "lan0"])
    eventually(lambda: pings(host, PEER, wait=0.5), 3)


def test_foreign_source_is_dropped_and_counted_rfc3964_5(hosts):
    host = hosts["router"]
    host.run(["ip", "-6", "addr", "add", "2002:a00:1::5/128", "dev", "lan0", "nodad"])
    with hosts["core"].capture("eth0", "ip proto 41") as capture:
        pings(host, PEER, "-I", "2002:a00:1::5", wait=0.3)
    assert capture.packets == []
    assert status(host)["counters"]["drops"]["inner_source_forbidden"] >= 1
    host.run(["ip", "-6", "addr", "del", "2002:a00:1::5/128", "dev", "lan0"])


@pytest.mark.parametrize("end", ["stop_agent", "kill_agent"])
def test_restart_keeps_address_routes_and_connections(hosts, plane, end):
    host, remote = hosts["router"], hosts["remote"]
    routes = host.run(["ip", "-6", "route"]).stdout
    received = bulk.receive(remote, 4242)
    sent = bulk.send(host, PEER, 4242, 4, seconds=4)
    time.sleep(0.5)
    getattr(host, end)()
    assert OURS in addresses(host, "sixtofour0")
    host.start_agent("--plane", plane)
    assert OURS in addresses(host, "sixtofour0")
    assert host.run(["ip", "-6", "route"]).stdout == routes
    assert received(30) == sent(30)
    log = host.agent.log.read_text()
    assert "add address" not in log
    assert "add route" not in log


def test_relay_by_name_is_looked_up_again_and_followed(hosts):
    """By real DNS."""
    host, core = hosts["router"], hosts["core"]
    core.start_named(Zone("example", ("relay A 157.60.0.9",)))
    before = host.path("/etc/resolv.conf").read_text()
    host.write("/etc/resolv.conf", "nameserver 131.107.23.254\n")
    apply(host, KIND, relay="relay.example", relay_refresh_interval=10)
    assert gateway(host) == "2002:9d3c:9::9d3c:9"
    update = f"zone example.\ndel relay.example. A\nadd relay.example. 5 A {REMOTE}\nsend\n"
    key = "/etc/bind/v6ferry-lab/update.key"
    core.run(["nsupdate", "-k", key], input=f"server 131.107.23.254\n{update}")
    eventually(lambda: gateway(host) == PEER, 15)
    with core.capture("eth0", "ip proto 41") as capture:
        pings(host, "2001:db8::1", wait=0.3)
    assert {one["IP"].dst for one in capture.packets} == {REMOTE}
    host.write("/etc/resolv.conf", before)
    apply(host, KIND)
    assert gateway(host) is None


def gateway(host: LabHost) -> str | None:
    """The default router of a host."""
    routes = json.loads(host.run(["ip", "-j", "-6", "route", "show", "default"]).stdout)
    return routes[0].get("gateway") if routes else None


def test_removal_leaves_nothing(hosts):
    remove(hosts["router"], KIND)
    assert addresses(hosts["router"], "sixtofour0") == set()

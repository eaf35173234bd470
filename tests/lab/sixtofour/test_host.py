# SPDX-License-Identifier: GPL-3.0-or-later
"""Two 6to4 hosts on an IPv4 Internet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.isatap.intranet import addresses, apply, eventually, pings, remove, status
from tests.lab.sixtofour.site import OTHER_PUBLIC, PUBLIC, SITES, set_address

pytestmark = pytest.mark.lab

KIND = "sixtofour_host"
OURS, CHANGED, PEER = (
    "2002:836b:1759::836b:1759",
    "2002:836b:175a::836b:175a",
    "2002:9d3c:1::9d3c:1",
)


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def hosts(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(SITES) as lab:
        for name in ("router", "remote"):
            lab[name].start_agent("--plane", request.param)
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
    assert "native IPv6, 2001:db8::77 on lan0" in status(host)["summary"]
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


def test_removal_leaves_nothing(hosts):
    remove(hosts["router"], KIND)
    assert addresses(hosts["router"], "sixtofour0") == set()

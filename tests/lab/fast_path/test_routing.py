# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's routing decides by which uplink a packet leaves, for every packet anew."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab, LabHost
from tests.lab.fast_path.pair import (
    LINKS,
    TUNNEL,
    addressed,
    assert_carried,
    carried_by_the_programs,
    has_program,
    ip,
    running_pair,
    tunnel_address,
    underlay,
)
from tests.lab.isatap.intranet import addresses, eventually, pings
from tests.lab.processes import enter_command
from tests.lab.traffic import lost, stream

pytestmark = pytest.mark.lab

FIRST, SECOND = ("10.1.0.1", "10.1.0.2"), ("10.2.0.1", "10.2.0.2")
"""The ends of the links, left and right."""
SOURCE, TARGET = tunnel_address(FIRST[0]), tunnel_address(FIRST[1])


@pytest.fixture(scope="module")
def bare_lab() -> Iterator[Lab]:
    """Two hosts without IPv4."""
    with running_pair() as lab:
        yield lab


@pytest.fixture
def lab(bare_lab: Lab) -> Iterator[Lab]:
    """Two links with a subnet each."""
    with underlay(bare_lab, "eth0", "eth0", "10.1.0"), underlay(bare_lab, "eth1", "eth1", "10.2.0"):
        # The neighbours are resolved, so that no packet has to wait for that.
        for left, right in (FIRST, SECOND):
            eventually(
                lambda left=left, right=right: pings(
                    bare_lab["left"], tunnel_address(right), "-I", tunnel_address(left)
                )
            )
        yield bare_lab


@contextlib.contextmanager
def configured(host: LabHost, what: str, command: str) -> Iterator[None]:
    """A route or rule more."""
    ip(host, f"{what} add {command}")
    try:
        yield
    finally:
        host.run(["ip", *what.split(), "del", *command.split()], check=False)


def sent(host: LabHost) -> Counter[str]:
    """Packets that each link has sent."""
    links = json.loads(host.run(["ip", "-j", "-s", "link"]).stdout)
    return Counter({one["ifname"]: one["stats64"]["tx"]["packets"] for one in links})


def way_of(lab: Lab, *options: str) -> str:
    """The uplink by which echo requests from one address to another leave the left host."""
    left, count = lab["left"], 50
    before = sent(left)
    with carried_by_the_programs(left, lab["right"], least=count):
        command = ["ping", "-q", "-n", "-i", "0.002", "-c", str(count), "-I", SOURCE, *options]
        left.run([*command, TARGET])
    used = [name for name, packets in (sent(left) - before).items() if packets >= count]
    (way,) = [name for name in used if name != TUNNEL]
    return way


def explained(lab: Lab) -> dict[str, Any]:
    """What explain says of such packets."""
    source = SOURCE.partition("%")[0]
    done = lab["left"].v6ferry("explain", TARGET, "--source", source, "--json", check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_uplink_of_the_subnet(lab: Lab) -> None:
    assert way_of(lab) == "eth0"
    said = explained(lab)
    assert (said["uplink"], said["plane"], said["uplink_mtu"]) == ("eth0", "eBPF", 1500)


ELSEWHERE = f"{FIRST[1]} via {SECOND[1]} dev eth1"


@pytest.mark.parametrize("rule", [f"from {FIRST[0]}", f"iif {TUNNEL}", f"to {FIRST[1]}"])
def test_policy_routing(lab: Lab, rule: str) -> None:
    left = lab["left"]
    with (
        configured(left, "route", f"{ELSEWHERE} table 100"),
        configured(left, "rule", f"pref 100 {rule} lookup 100"),
    ):
        assert way_of(lab) == "eth1"
        assert explained(lab)["uplink"] == "eth1"


@pytest.mark.parametrize("rule", [f"from {SECOND[0]}", "iif lo", "fwmark 7"])
def test_rules_for_other_packets_do_not_count(lab: Lab, rule: str) -> None:
    """Those of this host are others: outer packets are routed as if they came in by the tunnel.

    The mark of an inner packet is not that of the outer one.
    """
    left = lab["left"]
    with (
        configured(left, "route", f"{ELSEWHERE} table 100"),
        configured(left, "rule", f"pref 100 {rule} lookup 100"),
    ):
        assert way_of(lab, "-m", "7") == "eth0"
        assert explained(lab)["uplink"] == "eth0"


def test_what_the_rules_leave_to_the_agent_is_explained(lab: Lab) -> None:
    left = lab["left"]
    with configured(left, "rule", f"pref 100 iif {TUNNEL} prohibit"):
        assert pings(left, TARGET, "-I", SOURCE)
        said = explained(lab)
        assert (said["uplink"], said["plane"]) == ("eth0", "userspace")
        assert any("hands it up" in step for step in said["steps"])


@pytest.mark.parametrize(("metric", "mtu"), [("mtu lock 1400", 1400), ("mtu 1400", 1500)])
def test_explained_mtu_is_that_of_the_programs(lab: Lab, metric: str, mtu: int) -> None:
    """docs/fast-path.md: only a locked one counts."""
    with configured(lab["left"], "route", f"{FIRST[1]} dev eth0 src {FIRST[0]} {metric}"):
        assert explained(lab)["uplink_mtu"] == mtu


def test_route_that_changes_is_followed_by_the_next_packet(lab: Lab) -> None:
    left = lab["left"]
    with carried_by_the_programs(left, lab["right"], least=1000):
        ping = stream(left, TARGET, 1.5, "-I", SOURCE)
        time.sleep(0.5)
        with configured(left, "route", ELSEWHERE):
            before = sent(left)
            eventually(lambda: (sent(left) - before)["eth1"] > 100)
            packets = sent(left) - before
        assert lost(ping) == 0
    assert packets["eth0"] < 20


def test_equal_cost_routes_share_the_endpoints_rfc2992(lab: Lab) -> None:
    left, right = lab["left"], lab["right"]
    endpoints = [f"10.5.0.{number}" for number in range(1, 9)]
    with contextlib.ExitStack() as stack:
        for endpoint in endpoints:
            stack.enter_context(configured(right, "address", f"{endpoint}/32 dev eth0"))
        both = f"10.5.0.0/24 nexthop via {FIRST[1]} nexthop via {SECOND[1]}"
        stack.enter_context(configured(left, "route", both))
        # The source is that of neither uplink: the kernel prefers one that has it.
        stack.enter_context(addressed(left, "eth0", "10.5.1.1", 32))
        back = f"10.5.1.1 via {FIRST[0]}"
        stack.enter_context(configured(right, "route", back))
        wanted = {tunnel_address(one).partition("%")[0] for one in endpoints}
        eventually(lambda: wanted <= addresses(right))
        before = sent(left)
        with carried_by_the_programs(left, right, least=20 * len(endpoints)):
            for endpoint in endpoints:
                command = ["ping", "-q", "-n", "-i", "0.002", "-c", "20"]
                command += ["-I", tunnel_address("10.5.1.1")]
                left.run([*command, tunnel_address(endpoint)])
        shares = sent(left) - before
    assert min(shares["eth0"], shares["eth1"]) >= 20


@contextlib.contextmanager
def cable(lab: Lab, index: int) -> Iterator[None]:
    """A link more, wan0 at both ends, with an index at the left one."""
    left, right = (lab[name].namespaces["net"] for name in ("left", "right"))
    command = f"ip link add wan0 index {index} type veth peer name wan0 index 77 netns {right}"
    subprocess.run(enter_command({"net": left}, command.split()), check=True)
    try:
        for name in ("left", "right"):
            ip(lab[name], "link set wan0 up")
        yield
    finally:
        ip(lab["right"], "link del wan0")


def test_uplink_that_goes_and_comes_again_also_with_another_index(bare_lab: Lab) -> None:
    for index in (500, 501, 500):
        with cable(bare_lab, index), underlay(bare_lab, "wan0", "wan0", "10.3.0") as ends:
            assert_carried(bare_lab, *ends)


def test_uplink_that_is_renamed_while_a_stream_runs(bare_lab: Lab) -> None:
    left = bare_lab["left"]
    with cable(bare_lab, 500), underlay(bare_lab, "wan0", "wan0", "10.3.0") as ends:
        eventually(lambda: pings(left, tunnel_address(ends[1])))
        with carried_by_the_programs(left, bare_lab["right"], least=700):
            ping = stream(left, tunnel_address(ends[1]), 0.7)
            time.sleep(0.2)
            renamed = left.run(["ip", "link", "set", "wan0", "name", "elsewhere"], check=False)
            if "busy" in renamed.stderr:
                pytest.skip("Linux before 6.2 renames no interface that is up")
            assert lost(ping) == 0
        assert_carried(bare_lab, *ends)
        assert has_program(left, "elsewhere")
        assert "wan0" not in left.v6ferry("doctor", check=False).stdout


def test_address_that_moves_to_another_interface(bare_lab: Lab) -> None:
    left, right = bare_lab["left"], bare_lab["right"]
    ours, theirs = "10.4.0.1", "10.4.0.2"
    ip(right, "link add br0 type bridge")
    try:
        for name in LINKS:
            ip(right, f"link set {name} master br0")
        ip(right, "link set br0 up")
        with addressed(right, "br0", theirs):
            for name in LINKS:
                with addressed(left, name, ours):
                    ip(right, "neigh flush dev br0")
                    assert_carried(bare_lab, ours, theirs)
    finally:
        ip(right, "link del br0")

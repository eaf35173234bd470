# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that end, and come back, while packets are on their way through the kernel."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from v6ferry import __version__

from tests.lab import ISATAP, Lab, LabHost
from tests.lab.another_agent import VERSION, make_another_agent
from tests.lab.isatap.intranet import A, C, eventually, pings, set_up, status
from tests.lab.programs import programs
from tests.lab.traffic import iperf_server, lost, stream

pytestmark = pytest.mark.lab

LONGEST = 120
"""Seconds that a connection lasts at most; agents are replaced six times meanwhile."""
SEGMENTS_OF_1_MS = 17
"""What 200 Mbit/s lose while no program is there for so long."""
PLACES = (("isatap0", "egress"), ("eth0", "ingress"))
"""Where the programs are."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(ISATAP) as lab:
        set_up(lab, plane="ebpf", tunnel_mtu="dynamic")
        eventually(lambda: pings(lab["a"], C))
        yield lab


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent of another version, with another BPF object."""
    return make_another_agent(tmp_path_factory.mktemp("another"))


def replace(host: LabHost, end: str, package: Path | None = None) -> None:
    """End the agent in some way, and start the one of a package instead of it, or ours again."""
    getattr(host, end)()
    time.sleep(1)
    host.start_agent("--plane", "ebpf", package=package)
    time.sleep(0.5)


def version(host: LabHost) -> str:
    shown: str = host.show()["agent"]["version"]
    return shown


def all_programs(host: LabHost) -> set[str]:
    """The programs that see packets of the tunnel."""
    found = [programs(host, *place) for place in PLACES]
    assert all(len(one) == 1 for one in found), found
    return {one[0] for one in found}


@pytest.mark.parametrize("end", ["kill_agent", "stop_agent"])
@pytest.mark.parametrize("name", ["a", "router"])
def test_no_packet_is_lost_while_the_agent_is_away(lab: Lab, name: str, end: str) -> None:
    ping = stream(lab["a"], C, 5)
    time.sleep(0.5)
    replace(lab[name], end)
    assert lost(ping) == 0


@pytest.mark.parametrize(("name", "end"), [("a", "kill_agent"), ("router", "stop_agent")])
def test_no_packet_is_lost_by_an_upgrade_and_a_downgrade(
    lab: Lab, another: Path, name: str, end: str
) -> None:
    host = lab[name]
    ping = stream(lab["a"], C, 8)
    time.sleep(0.5)
    ours = all_programs(host)
    replace(host, end, another)
    assert version(host) == VERSION
    theirs = all_programs(host)
    assert not theirs & ours
    replace(host, end)
    assert version(host) == __version__
    assert not all_programs(host) & theirs
    assert lost(ping) == 0


@pytest.fixture
def routes_without_carrier_ignored(lab: Lab) -> Iterator[None]:
    """Where no service manager keeps its descriptor, a tunnel interface has none without agent."""

    def ignore(value: int) -> None:
        for host in (lab["a"], lab["router"]):
            for family in ("ipv4", "ipv6"):
                key = f"net.{family}.conf.all.ignore_routes_with_linkdown"
                host.run(["sysctl", "-qw", f"{key}={value}"])

    ignore(1)
    yield
    ignore(0)


@pytest.mark.parametrize("name", ["a", "router"])
@pytest.mark.usefixtures("routes_without_carrier_ignored")
def test_no_packet_is_lost_where_routes_without_carrier_are_ignored(lab: Lab, name: str) -> None:
    host = lab[name]
    key = "/proc/sys/net/ipv6/conf/isatap0/ignore_routes_with_linkdown"
    eventually(lambda: host.run(["cat", key]).stdout.strip() == "0")
    ping = stream(lab["a"], C, 5)
    time.sleep(0.5)
    host.kill_agent()
    eventually(lambda: "NO-CARRIER" in host.run(["ip", "link", "show", "isatap0"]).stdout)
    time.sleep(1)
    host.start_agent("--plane", "ebpf")
    assert lost(ping) == 0


@pytest.mark.parametrize("name", ["a", "router"])
def test_neighbour_that_the_underlay_has_forgotten_is_found_without_an_agent(
    lab: Lab, name: str
) -> None:
    host = lab[name]
    host.kill_agent()
    host.run(["ip", "neigh", "flush", "dev", "eth0"])
    assert pings(lab["a"], C)
    host.start_agent("--plane", "ebpf")


def retransmitted(host: LabHost) -> int:
    """Segments that a host has sent again since it is there (TcpRetransSegs)."""
    names, values = (
        line.split()
        for line in host.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("RetransSegs")])


def retransmits(lab: Lab, *events: Callable[[], None]) -> int:
    """What a connection from C to A sends again once it has started, while events take place."""
    # A server of its own: one that has just had another client may be busy with it still.
    with iperf_server(lab["a"]):
        client = lab["c"].popen(
            ["iperf3", "--time", str(LONGEST), "--bitrate", "200M", "--client", A],
            stdout=subprocess.DEVNULL,
        )
        # The first second has the burst of slow start, which overruns queues of the namespaces.
        time.sleep(1.2)
        before = retransmitted(lab["c"])
        for event in events:
            event()
        assert client.poll() is None
        found = retransmitted(lab["c"]) - before
        client.send_signal(signal.SIGINT)
        client.wait(timeout=60)
    return found


@pytest.mark.alone
def test_connection_retransmits_nothing_while_both_agents_are_replaced(
    lab: Lab, another: Path
) -> None:
    def replacements(*hosts: LabHost) -> list[Callable[[], None]]:
        ways = (("kill_agent", None), ("stop_agent", another), ("stop_agent", None))
        return [partial(replace, host, end, package) for end, package in ways for host in hosts]

    # An agent that starts keeps a processor busy, and queues of the namespaces overrun also where
    # it has nothing to do with the connection.
    noise = retransmits(lab, *replacements(lab["b"], lab["b"]))
    assert retransmits(lab, *replacements(lab["a"], lab["router"])) <= noise + SEGMENTS_OF_1_MS


def test_programs_are_those_of_the_agent_that_runs(lab: Lab) -> None:
    """One program in each place, and the counters of the new agent count."""
    router = lab["router"]
    assert len(all_programs(router)) == len(PLACES)
    before = status(router)["counters"]["packets_in"]
    assert pings(lab["a"], C)
    assert status(router)["counters"]["packets_in"] > before

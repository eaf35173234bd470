# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that end, and come back, while packets are on their way through the kernel."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.lab import ISATAP, Lab, LabHost
from tests.lab.isatap.intranet import A, C, eventually, pings, set_up, status
from tests.lab.traffic import iperf_server

pytestmark = pytest.mark.lab

A_SECOND = 1000
"""Packets."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(ISATAP) as lab:
        set_up(lab, plane="ebpf", tunnel_mtu="dynamic")
        eventually(lambda: pings(lab["a"], C))
        yield lab


def stream(host: LabHost, target: str, seconds: int) -> subprocess.Popen[str]:
    command = ["ping", "-q", "-n", "-i", str(1 / A_SECOND), "-c", str(A_SECOND * seconds), target]
    started: subprocess.Popen[str] = host.popen(command, stdout=subprocess.PIPE, text=True)
    return started


def lost(ping: subprocess.Popen[str]) -> int:
    report, _errors = ping.communicate(timeout=60)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", report)
    assert found is not None, report
    return int(found[1]) - int(found[2])


def restart(host: LabHost, end: str) -> None:
    getattr(host, end)()
    time.sleep(1)
    host.start_agent("--plane", "ebpf")
    time.sleep(0.5)


@pytest.mark.parametrize("end", ["kill_agent", "stop_agent"])
@pytest.mark.parametrize("name", ["a", "router"])
def test_no_packet_is_lost_while_the_agent_is_away(lab: Lab, name: str, end: str) -> None:
    ping = stream(lab["a"], C, 5)
    time.sleep(0.5)
    restart(lab[name], end)
    assert lost(ping) == 0


def retransmits(lab: Lab, restarted: tuple[str, ...]) -> int:
    """What a connection from C to A sends again once it has started, agents restarted meanwhile."""
    client = lab["c"].popen(
        ["iperf3", "--json", "--time", "6", "--bitrate", "200M", "--client", A],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.2)
    for name in restarted:
        restart(lab[name], "kill_agent")
    report = json.loads(client.communicate(timeout=60)[0])
    assert report["end"]["sum_received"]["bytes"] > 1e8
    # The first second has the burst of slow start, which overruns queues of the namespaces.
    return sum(int(one["sum"]["retransmits"]) for one in report["intervals"][1:])


def test_connection_retransmits_nothing_while_both_agents_are_replaced(lab: Lab) -> None:
    with iperf_server(lab["a"]):
        noise = retransmits(lab, ())
        assert retransmits(lab, ("a", "router")) <= noise + 2


def test_programs_are_those_of_the_agent_that_runs(lab: Lab) -> None:
    """One filter in each place, and the counters of the new agent count."""
    router = lab["router"]
    for interface, direction in (("isatap0", "egress"), ("eth0", "ingress")):
        shown = router.run(["tc", "filter", "show", "dev", interface, direction]).stdout
        assert shown.count("v6ferry") == 1, shown
    before = status(router)["counters"]["packets_in"]
    assert pings(lab["a"], C)
    assert status(router)["counters"]["packets_in"] > before

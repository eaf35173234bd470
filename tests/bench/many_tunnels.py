# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes to make many configured tunnels, and to take them away.

Of the call that does it the time on the clock; of the agent the time of its processor from then
until it has come to rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, ip_interface
from pathlib import Path

from tests.bench.comparison import Fact
from tests.lab import Lab, LabHost
from tests.lab.topology import Host, Interface, Network, Topology

SIZES = (125, 250, 500, 1000)
HUB = Topology(
    "many-tunnels",
    networks=(Network("underlay", ipv6=False),),
    hosts=(
        Host("hub", (Interface("eth0", "underlay", (ip_interface("10.0.0.1/8"),)),)),
        Host("far", (Interface("eth0", "underlay", (ip_interface("10.0.0.2/8"),)),)),
    ),
)


def resources(number: int, state: str = "present") -> str:
    """So many tunnels, each to another far end and with a route of its own, as JSON."""
    first = int(IPv4Address("10.1.0.0"))
    return json.dumps(
        [
            {
                "kind": "configured_tunnel",
                "name": f"t{one}",
                "state": state,
                "spec": {
                    "interface": f"t{one}",
                    "remote": str(IPv4Address(first + one)),
                    "routes": [{"prefix": f"2001:db8:{one:x}::/48"}],
                }
                if state == "present"
                else {},
            }
            for one in range(1, number + 1)
        ]
    )


def processor_time(host: LabHost) -> float:
    """Seconds of processor time that the host's agent has taken."""
    assert host.agent is not None
    stat = Path(f"/proc/{host.agent.process.pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rest(host: LabHost) -> float:
    """Wait until the agent has come to rest; return its processor time."""
    before = processor_time(host)
    while True:
        time.sleep(1.5)
        now = processor_time(host)
        if now - before < 0.1:
            return now
        before = now


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Fact]]:
    """Yield what was found."""
    found: list[Fact] = []
    for size in SIZES:
        with Lab(HUB) as lab:
            hub = lab["hub"]
            hub.start_agent()
            for state, what in (("present", "make"), ("absent", "remove")):
                processor = processor_time(hub)
                began = time.monotonic()
                hub.v6ferry(
                    "apply", "-", "--wait", "300", input=resources(size, state), timeout=600
                )
                took = time.monotonic() - began
                name = f"{size:,} configured tunnels: time to {what} them"
                found.append(Fact(name, "s", took))
                found.append(Fact(f"{name}, of the agent's processor", "s", rest(hub) - processor))
    yield found

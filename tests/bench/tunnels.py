# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of tunnel, host to host over one veth pair, against plain IPv4 between the same two."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.comparison import BenchError, By, Comparison, Reference
from tests.bench.technologies import ISATAP, Technology
from tests.bench.two_hosts import two_hosts
from tests.lab import Lab, LabHost
from tests.lab.processes import wait_until
from tests.lab.traffic import (
    a_core_each,
    iperf_server,
    tcp_bits_per_second,
    udp_packets_per_second,
)

TCP_GOAL, TCP_WITHOUT_OFFLOAD_GOAL, SMALL_GOAL = 0.97, 0.85, 0.9
USERSPACE_GOAL = 0.05
"""What a plane in plain Python should reach; it is the fallback, not the fast path."""

_SECONDS = 1  # of each measurement
_SMALL_PAYLOAD = 64  # octets of UDP payload
_SMALL = f"UDP, {_SMALL_PAYLOAD} octets"
_ECHO = Path(__file__).with_name("echo.py")
_ADDED = 5.0
"""Microseconds that an echo may take longer than one over IPv4, there and back."""
_RESOURCES = "/etc/v6ferry/bench.json"
_NATIVE = "fd00::{number}"
"""Addresses of the hosts on the link itself, for the same traffic over IPv6 without a tunnel."""


@contextlib.contextmanager
def comparisons(technology: Technology) -> Iterator[Sequence[Comparison]]:
    """Yield the comparisons; the labs they run in are up as long.

    Plain IPv4 over veth never makes packets of TCP: the kernel hands 64 KiB segments from one host
    to the other. That is the peer as it is; over a link without transmit offload, where it has to
    make packets too, shows how much of the ratio that is. And IPv6 takes longer than IPv4 even
    without a tunnel: how both compare to plain IPv6 is told besides.

    TCP is measured with a core for each host, and as a veth has it, which has packets overtake each
    other (``a_core_each``).
    """
    with contextlib.ExitStack() as labs:
        fast = labs.enter_context(_path(technology, "ebpf"))
        packets = labs.enter_context(_path(technology, "ebpf", transmit_offload=False))
        found = [
            *fast.tcp("TCP", TCP_GOAL),
            *packets.tcp("TCP, no offload on the link", TCP_WITHOUT_OFFLOAD_GOAL),
            fast.comparison(_SMALL, "packets/s", SMALL_GOAL, _packets),
            fast.comparison("echo, there and back", "µs", _ADDED, _echo, By.DIFFERENCE),
        ]
        yield found


@contextlib.contextmanager
def userspace_comparisons() -> Iterator[Sequence[Comparison]]:
    """Yield those of the plane in Python, which does the same for every technology."""
    with contextlib.ExitStack() as labs:
        usual = labs.enter_context(_path(ISATAP, "userspace"))
        packets = labs.enter_context(_path(ISATAP, "userspace", transmit_offload=False))
        yield [
            usual.comparison("TCP", "Mbit/s", USERSPACE_GOAL, _megabits),
            packets.comparison("TCP, no offload on the link", "Mbit/s", USERSPACE_GOAL, _megabits),
            usual.comparison(_SMALL, "packets/s", USERSPACE_GOAL, _packets),
        ]


class _Path:
    """Two hosts of a lab that reach each other through a tunnel, over IPv4, and over IPv6."""

    def __init__(self, lab: Lab, technology: Technology, plane: str) -> None:
        self._name = f"{technology.name}, {plane} plane"
        self.source, self._destination = lab["a"], lab["b"]
        self.ipv4 = str(self._destination.ipv4)
        self.tunnel = technology.reached_at(self._destination.ipv4)
        self.native = _NATIVE.format(number=2)

    def tcp(self, what: str, goal: float) -> Iterator[Comparison]:
        """Yield the comparisons of TCP: with a core for each host, and as a veth has it."""

        def megabits(streams: int) -> Callable[[LabHost, str], float]:
            def measure(host: LabHost, target: str) -> float:
                with a_core_each(host, self._destination):
                    return _megabits(host, target, streams)

            return measure

        yield self.comparison(what, "Mbit/s", goal, megabits(1))
        yield self.comparison(f"{what}, 4 streams", "Mbit/s", goal, megabits(4))
        yield self.comparison(f"{what}, cores shared", "Mbit/s", goal, _megabits)

    def comparison(
        self,
        what: str,
        unit: str,
        goal: float,
        measure: Callable[[LabHost, str], float],
        by: By = By.RATIO,
    ) -> Comparison:
        """Return the comparison of both ways by one kind of measurement."""
        return Comparison(
            f"{self._name}: {what}",
            unit,
            goal,
            ours=lambda: measure(self.source, self.tunnel),
            peer=lambda: measure(self.source, self.ipv4),
            by=by,
            reference=Reference("plain IPv6", lambda: measure(self.source, self.native)),
        )


def _megabits(host: LabHost, target: str, streams: int = 1) -> float:
    return tcp_bits_per_second(host, target, _SECONDS, streams) / 1e6


def _echo(host: LabHost, target: str) -> float:
    """Microseconds from an echo request to its reply."""
    return float(host.run([sys.executable, _ECHO, target]).stdout)


def _packets(host: LabHost, target: str) -> float:
    return udp_packets_per_second(host, target, _SECONDS, _SMALL_PAYLOAD)


@contextlib.contextmanager
def _path(technology: Technology, plane: str, *, transmit_offload: bool = True) -> Iterator[_Path]:
    with Lab(two_hosts(transmit_offload=transmit_offload)) as lab:
        for number, host in ((1, lab["a"]), (2, lab["b"])):
            host.run(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0"])
            address = f"{_NATIVE.format(number=number)}/64"
            host.run(["ip", "address", "add", address, "dev", "eth0", "nodad"])
        for host, other in ((lab["a"], lab["b"]), (lab["b"], lab["a"])):
            host.start_agent("--plane", plane)
            resource = technology.resource(host.ipv4, other.ipv4)
            host.write(_RESOURCES, json.dumps([{**resource, "state": "present"}]))
            host.v6ferry("apply", _RESOURCES)
        path = _Path(lab, technology, plane)
        ping = ["ping", "-c", "1", "-W", "1", path.tunnel]
        if not wait_until(lambda: path.source.run(ping, check=False).returncode == 0, 10):
            raise BenchError(f"{technology.name}: host a does not reach {path.tunnel} within 10 s")
        with iperf_server(lab["b"]):
            yield path

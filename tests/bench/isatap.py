# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP, host to host over one veth pair, against plain IPv4 between the same two hosts."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from v6ferry.addresses import isatap_link_local

from tests.bench.comparison import BenchError, By, Comparison, Reference
from tests.bench.two_hosts import two_hosts
from tests.lab import Lab, LabHost
from tests.lab.processes import wait_until
from tests.lab.traffic import iperf_server, tcp_bits_per_second, udp_packets_per_second

USERSPACE_GOAL = 0.05
"""What a plane in plain Python should reach; it is the fallback, not the fast path."""

_SECONDS = 2  # of each measurement
_SMALL_PAYLOAD = 64  # octets of UDP payload
_ECHO = Path(__file__).with_name("echo.py")
_ADDED = 5.0
"""Microseconds that an echo may take longer than one over IPv4, there and back."""
_RESOURCES = "/etc/v6ferry/bench.json"
_NATIVE = "fd00::{number}"
"""Addresses of the hosts on the link itself, for the same traffic over IPv6 without a tunnel."""


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison]]:
    """Yield the comparisons; the labs they run in are up as long.

    Plain IPv4 over veth never makes packets of TCP: the kernel hands 64 KiB segments from one host
    to the other. That is the peer as it is; over a link without transmit offload, where it has to
    make packets too, shows how much of the ratio that is. And IPv6 takes longer than IPv4 even
    without a tunnel: how both compare to plain IPv6 is told besides.
    """
    with contextlib.ExitStack() as labs:
        fast = labs.enter_context(_path("ebpf", tunnel_mtu="dynamic"))
        fast_packets = labs.enter_context(
            _path("ebpf", transmit_offload=False, tunnel_mtu="dynamic")
        )
        usual = labs.enter_context(_path("userspace"))
        dynamic = labs.enter_context(_path("userspace", tunnel_mtu="dynamic"))
        packets = labs.enter_context(_path("userspace", transmit_offload=False))
        small = f"UDP, {_SMALL_PAYLOAD} octets"
        yield [
            fast.comparison("TCP", "Mbit/s", 0.97, _megabits),
            fast.comparison("TCP, 4 streams", "Mbit/s", 0.97, _megabits_of_four),
            fast_packets.comparison("TCP, no offload on the link", "Mbit/s", 0.85, _megabits),
            fast_packets.comparison(
                "TCP, 4 streams, no offload on the link", "Mbit/s", 0.85, _megabits_of_four
            ),
            fast.comparison(small, "packets/s", 0.9, _packets),
            fast.comparison("echo, there and back", "µs", _ADDED, _echo, By.DIFFERENCE),
            usual.comparison("TCP", "Mbit/s", USERSPACE_GOAL, _megabits),
            dynamic.comparison("TCP, tunnel MTU 1480", "Mbit/s", USERSPACE_GOAL, _megabits),
            packets.comparison("TCP, no offload on the link", "Mbit/s", USERSPACE_GOAL, _megabits),
            usual.comparison(small, "packets/s", USERSPACE_GOAL, _packets),
        ]


class _Path:
    """Two hosts of a lab that reach each other over ISATAP and over IPv4."""

    def __init__(self, lab: Lab, plane: str) -> None:
        self.plane = plane
        self.source, destination = lab["a"], lab["b"]
        self.ipv4 = str(destination.ipv4)
        self.ipv6 = f"{isatap_link_local(destination.ipv4)}%isatap0"
        self.native = _NATIVE.format(number=2)

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
            f"ISATAP, {self.plane} plane: {what}",
            unit,
            goal,
            ours=lambda: measure(self.source, self.ipv6),
            peer=lambda: measure(self.source, self.ipv4),
            by=by,
            reference=Reference("plain IPv6", lambda: measure(self.source, self.native)),
        )


def _megabits(host: LabHost, target: str) -> float:
    return tcp_bits_per_second(host, target, _SECONDS) / 1e6


def _megabits_of_four(host: LabHost, target: str) -> float:
    return tcp_bits_per_second(host, target, _SECONDS, streams=4) / 1e6


def _echo(host: LabHost, target: str) -> float:
    """Microseconds from an echo request to its reply."""
    return float(host.run([sys.executable, _ECHO, target]).stdout)


def _packets(host: LabHost, target: str) -> float:
    return udp_packets_per_second(host, target, _SECONDS, _SMALL_PAYLOAD)


@contextlib.contextmanager
def _path(
    plane: str, *, transmit_offload: bool = True, tunnel_mtu: str = "static"
) -> Iterator[_Path]:
    with Lab(two_hosts(transmit_offload=transmit_offload)) as lab:
        for number, host in ((1, lab["a"]), (2, lab["b"])):
            host.run(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0"])
            address = f"{_NATIVE.format(number=number)}/64"
            host.run(["ip", "address", "add", address, "dev", "eth0", "nodad"])
        for host, other in ((lab["a"], lab["b"]), (lab["b"], lab["a"])):
            host.start_agent("--plane", plane)
            # Link-local addresses need no router: nobody has to answer at the other's address.
            routers = [str(other.ipv4)]
            spec = {"link_local": "always", "routers": routers, "tunnel_mtu": tunnel_mtu}
            resource = {"kind": "isatap_host", "name": "default", "state": "present", "spec": spec}
            host.write(_RESOURCES, json.dumps([resource]))
            host.v6ferry("apply", _RESOURCES)
        path = _Path(lab, plane)
        ping = ["ping", "-c", "1", "-W", "1", path.ipv6]
        if not wait_until(lambda: path.source.run(ping, check=False).returncode == 0, 10):
            raise BenchError(f"host a does not reach {path.ipv6} within 10 s")
        with iperf_server(lab["b"]):
            yield path

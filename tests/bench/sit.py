# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels beside those of the kernel's own sit driver, all in one guest, which counts instructions.

The guest's clock goes on by the instructions that its one processor executes, whatever the machine
has to do besides. So ratios repeat to about a percent, and a packet that takes more instructions
takes longer. What a real processor gains by its caches is not in it.

sit and v6ferry would both take what comes by protocol 41, so each has two hosts of its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.comparison import BenchError, Comparison, Reference
from tests.bench.technologies import TECHNOLOGIES, Technology
from tests.interop import sit
from tests.interop.guest import KERNELS, Guest
from tests.interop.namespaces import Namespace, join

GOAL = 1.0
_ROOT = Path(__file__).resolve().parents[2]
_NEWEST, _NEWEST_OF_OLD = "trixie-backports", "bookworm-backports"
_SECONDS = 1  # of the guest, for each measurement
_TIMEOUT = 300.0

Pair = tuple[Namespace, Namespace]
"""Two hosts with a link between them: one that sends, one that receives."""
_SMALL_PAYLOAD = 64  # octets of UDP payload


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison]]:
    """Yield the comparisons; the guest is up as long."""
    made = subprocess.run(
        [_ROOT / "tools" / "guest-image.sh"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise BenchError(made.stderr.strip())
    kernel = _NEWEST_OF_OLD if (KERNELS / _NEWEST / "missing").exists() else _NEWEST
    with Guest("for sit", kernel=kernel, with_agent=True, deterministic=True) as guest:
        release = ".".join(guest.check("uname -r").split(".")[:2])
        race = _Race(guest)
        yield [
            race.comparison(technology, f"sit of Linux {release}: {what}", unit, kind, offload)
            for technology in TECHNOLOGIES
            for what, unit, kind, offload in (
                ("TCP", "Mbit/s", "tcp", True),
                ("TCP, no offload on the link", "Mbit/s", "tcp", False),
                (f"UDP, {_SMALL_PAYLOAD} octets", "packets/s", "udp", True),
            )
        ]


class _Race:
    """Two hosts with sit and two with v6ferry; plain IPv4 goes between the former."""

    def __init__(self, guest: Guest) -> None:
        self._sits, self._ours = join(guest, 1), join(guest, 2)
        for host in self._ours:
            host.start_agent("--plane", "ebpf")
        for _source, destination in (self._sits, self._ours):
            destination.start("exec iperf3 --server")
            destination.eventually("grep -q :1451 /proc/net/tcp6", 60)
        self._technology: Technology | None = None
        self._offload: bool | None = None

    def comparison(
        self, technology: Technology, what: str, unit: str, kind: str, offload: bool
    ) -> Comparison:
        """Return the comparison by one kind of measurement, ``tcp`` or ``udp``."""

        def measure(pair: Pair, interface: str | None = None) -> float:
            source, destination = pair
            self._use(technology)
            self._set_offload(offload)
            target = str(destination.address)
            if interface is not None:
                target = technology.reached_at(destination.address, interface)
            return _megabits(source, target) if kind == "tcp" else _packets(source, target)

        return Comparison(
            f"{technology.name}, {what}",
            unit,
            GOAL,
            ours=lambda: measure(self._ours, technology.interface),
            peer=lambda: measure(self._sits, sit.INTERFACE),
            reference=Reference("plain IPv4", lambda: measure(self._sits)),
        )

    def _use(self, technology: Technology) -> None:
        """Have tunnels of a technology, and no others."""
        if technology is self._technology:
            return
        for pair in (self._sits, self._ours):
            for host, other in (pair, pair[::-1]):
                if host.agent is None:
                    if self._technology is not None:
                        sit.take_tunnel_away(host)
                    technology.add_sit(host, other.address)
                    continue
                if self._technology is not None:
                    before = self._technology.resource(host.address, other.address)
                    host.apply({**before, "state": "absent"})
                host.apply(technology.resource(host.address, other.address))
        for (host, other), interface in (
            (self._sits, sit.INTERFACE),
            (self._ours, technology.interface),
        ):
            target = technology.reached_at(other.address, interface)
            host.eventually(f"ping -6 -c 1 -W 1 {target}", 30)
        self._technology = technology
        self._offload = None

    def _set_offload(self, offload: bool) -> None:
        if offload is self._offload:
            return
        for host in (*self._sits, *self._ours):
            host.check(f"ethtool --offload eth0 tx {'on' if offload else 'off'}")
        self._offload = offload
        # What comes first grows caches and buffers.
        assert self._technology is not None
        for (host, other), interface in (
            (self._ours, self._technology.interface),
            (self._sits, sit.INTERFACE),
        ):
            _megabits(host, self._technology.reached_at(other.address, interface))


def _megabits(host: Namespace, target: str) -> float:
    return float(_iperf(host, target)["sum_received"]["bits_per_second"]) / 1e6


def _packets(host: Namespace, target: str) -> float:
    total = _iperf(host, target, f"--udp --bitrate 0 --length {_SMALL_PAYLOAD}")["sum"]
    return (float(total["packets"]) - float(total["lost_packets"])) / float(total["seconds"])


def _iperf(host: Namespace, target: str, options: str = "") -> Any:
    command = f"iperf3 --json --client {target} --time {_SECONDS} {options}"
    done = host.run(command, _TIMEOUT)
    try:
        return json.loads(done.output)["end"]
    except (ValueError, KeyError) as error:
        raise BenchError(f"iperf3 in {host.name} to {target}: {done.output[-500:]}") from error

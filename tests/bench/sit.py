# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP beside the Linux kernel's own sit driver, both in one guest, which counts instructions.

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
from tests.interop.guest import KERNELS, Guest
from tests.interop.namespaces import Namespace, join

GOAL = 1.0
_ROOT = Path(__file__).resolve().parents[2]
_NEWEST, _NEWEST_OF_OLD = "trixie-backports", "bookworm-backports"
_SECONDS = 1  # of the guest, for each measurement
_TIMEOUT = 300.0
_SMALL_PAYLOAD = 64  # octets of UDP payload
_SIT = "is0"
_OURS = "isatap0"


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
            race.comparison(f"ISATAP, sit of Linux {release}: {what}", unit, kind, offload)
            for what, unit, kind, offload in (
                ("TCP", "Mbit/s", "tcp", True),
                ("TCP, no offload on the link", "Mbit/s", "tcp", False),
                (f"UDP, {_SMALL_PAYLOAD} octets", "packets/s", "udp", True),
            )
        ]


class _Race:
    """Two hosts with sit and two with v6ferry; plain IPv4 goes between the former."""

    def __init__(self, guest: Guest) -> None:
        self._sit, sits = join(guest, 1)
        self._ours, theirs = join(guest, 2)
        self._all = (self._sit, sits, self._ours, theirs)
        for host in (self._sit, sits):
            host.add_sit(_SIT)
        for host, other in ((self._ours, theirs), (theirs, self._ours)):
            host.start_agent("--plane", "ebpf")
            host.apply(routers=[str(other.address)])
        for host in (sits, theirs):
            host.start("exec iperf3 --server")
            host.eventually("grep -q :1451 /proc/net/tcp6", 60)
        self._plain_target = str(sits.address)
        self._sit_target = f"{sits.link_local}%{_SIT}"
        self._our_target = f"{theirs.link_local}%{_OURS}"
        for host, target in ((self._sit, self._sit_target), (self._ours, self._our_target)):
            host.eventually(f"ping -6 -c 1 -W 1 {target}", 30)
        self._offload: bool | None = None

    def comparison(self, name: str, unit: str, kind: str, offload: bool) -> Comparison:
        """Return the comparison by one kind of measurement, ``tcp`` or ``udp``."""

        def measure(host: Namespace, target: str) -> float:
            self._set_offload(offload)
            return _megabits(host, target) if kind == "tcp" else _packets(host, target)

        return Comparison(
            name,
            unit,
            GOAL,
            ours=lambda: measure(self._ours, self._our_target),
            peer=lambda: measure(self._sit, self._sit_target),
            reference=Reference("plain IPv4", lambda: measure(self._sit, self._plain_target)),
        )

    def _set_offload(self, offload: bool) -> None:
        if offload is self._offload:
            return
        for host in self._all:
            host.check(f"ethtool --offload eth0 tx {'on' if offload else 'off'}")
        self._offload = offload
        # What comes first grows caches and buffers.
        for host, target in ((self._ours, self._our_target), (self._sit, self._sit_target)):
            _megabits(host, target)


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

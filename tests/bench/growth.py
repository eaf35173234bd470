# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a large table costs more a packet than a small one, and what it takes to have one.

For each kind and size of a table there are two hosts, whose tunnels have such a table. Packets go
through both tables: the forwarding table of the first host, the ingress table of the second one.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from tests.bench.comparison import BenchError, Comparison, Fact
from tests.bench.loaded_host import INTERFACE, KINDS, prefix
from tests.bench.two_hosts import two_hosts
from tests.lab import Lab, LabHost

SIZES = (10, 1_000, 100_000)
GOAL = 0.9
"""Of the packets a second that go through the smallest table."""
ONE, MANY = 1, 4096
"""Pairs of addresses between which packets go: the programs remember what they have decided about
1024 a CPU, so of many they have to look up each again."""
_SECONDS = 1.0  # of each measurement
_HERE = Path(__file__).parent


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison | Fact]]:
    """Yield the comparisons; the labs they run in are up as long."""
    with contextlib.ExitStack() as labs:
        found: list[Comparison | Fact] = []
        for kind in KINDS:
            tables = {size: labs.enter_context(_tables(kind, size)) for size in SIZES}
            found += _of_a_kind(kind, tables)
        yield found


def _of_a_kind(kind: str, tables: dict[int, _Tables]) -> Iterator[Comparison | Fact]:
    smallest, *larger = tables.values()
    for pairs, what in ((ONE, "one pair of addresses"), (MANY, f"{MANY:,} pairs of addresses")):
        for table in larger:
            yield Comparison(
                f"{table.size:,} {kind} beside {smallest.size}, {what}",
                "packets/s",
                GOAL,
                ours=lambda table=table, pairs=pairs: table.packets_per_second(pairs),
                peer=lambda pairs=pairs: smallest.packets_per_second(pairs),
            )
    for table in larger:
        name = f"{table.size:,} {kind}"
        yield Fact(f"{name}: memory of the kernel for each", "octets", table.took["kernel"])
        yield Fact(f"{name}: memory of the agent for each", "octets", table.took["process"])
        yield Fact(f"{name}: time to load them", "ms", table.took["load"] * 1000)
        yield Fact(f"{name}: time to change one", "ms", table.took["change"] * 1000)


class _Tables:
    """Two hosts with tables of one kind and size."""

    def __init__(self, lab: Lab, kind: str, size: int) -> None:
        self.size = size
        self._filling = KINDS[kind](size)
        self._source = lab["a"]
        self._destination = _Program(lab["b"], lab["a"])
        source = _Program(lab["a"], lab["b"])
        self.took: dict[str, float] = source.ask("load", kind, size)
        self._destination.ask("load", kind, size)
        # No packet waits for the other host's link-layer address while it counts.
        self._source.run(["ping", "-c", "1", str(lab["b"].ipv4)])

    def packets_per_second(self, pairs: int) -> float:
        """Packets a second that arrive through the tunnel."""
        # Between as many prefixes as there are, up to one for each pair, from all over the table.
        ends = []
        for number in range(pairs):
            entry = number * max(1, self.size // pairs) % self.size
            source = IPv6Address(prefix(entry) | 1 << 32 | number)
            destination = IPv6Address(self._filling.destination(entry, number))
            ends.append(f"{source},{destination}")
        before = self._destination.ask("received")
        flood = [sys.executable, _HERE / "flood.py", INTERFACE, str(_SECONDS)]
        tried, a_second = map(float, self._source.run(flood, input="\n".join(ends)).stdout.split())
        return float((self._destination.ask("received") - before) / tried * a_second)


class _Program:
    """``loaded_host.py``, at work in a host."""

    def __init__(self, host: LabHost, other: LabHost) -> None:
        self._name = host.name
        program = [sys.executable, _HERE / "loaded_host.py", str(host.ipv4), str(other.ipv4)]
        self._process: subprocess.Popen[str] = host.popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()
        # What comes out of the tunnel has arrived: there it ends.
        host.run(["ip", "link", "set", INTERFACE, "up"])
        host.run(["ip", "-6", "route", "add", "blackhole", "2001:db8::/32"])

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of ``LoadedHost``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"host {self._name}: loaded_host.py has ended")
        return json.loads(line)


@contextlib.contextmanager
def _tables(kind: str, size: int) -> Iterator[_Tables]:
    with Lab(two_hosts()) as lab:
        yield _Tables(lab, kind, size)

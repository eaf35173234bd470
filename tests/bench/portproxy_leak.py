# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a PortProxy worker loses descriptors or memory over many short connections.

::

    python -m tests.bench.portproxy_leak --connections 1000000

It takes a few minutes, so it is no part of ``make bench``. Some connections are reset by their
clients in the middle, as wrk does when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.comparison import BenchError
from tests.bench.portproxy import CLIENTS, OURS, Scene, own_memory, scene
from tests.lab import LabError
from tests.lab.portproxy.rules import PROXY4, counters
from tests.lab.processes import wait_until

SECONDS = 5
LONGEST = 3600.0
"""Seconds after which it gives up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.portproxy_leak")
    parser.add_argument("--connections", type=int, default=1_000_000, metavar="NUMBER")
    wanted = parser.parse_args(arguments).connections
    try:
        with contextlib.ExitStack() as stack:
            return _count(stack.enter_context(scene()), wanted)
    except (BenchError, LabError) as error:
        print(f"portproxy_leak: {error}", file=sys.stderr)
        return 1


def _count(at: Scene, wanted: int) -> int:
    worker, proxy = at.proxy_processes[OURS], at.lab["proxy"]
    url = f"http://{PROXY4}:{OURS}/"
    _make(at, url)  # pools and caches fill
    before = _state(worker)
    began, first = time.monotonic(), counters(proxy, "web")["accepted"]
    done = 0
    while done < wanted:
        if time.monotonic() - began > LONGEST:
            raise BenchError(f"only {done} connections in {LONGEST:g} s")
        _make(at, url)
        done = counters(proxy, "web")["accepted"] - first
        print(f"\r{done} connections", end="", flush=True)
    wait_until(lambda: counters(proxy, "web")["active"] == 0, 10)
    after = _state(worker)
    told = counters(proxy, "web")
    print(
        f"\r{done} connections in {time.monotonic() - began:.0f} s: descriptors {before[0]} before"
        f" and {after[0]} after, memory {before[1] / 1e6:.1f} and {after[1] / 1e6:.1f} MB,"
        f" failed {told['failed'] or 'none'}, still active {told['active']}"
    )
    return int(after[0] > before[0] or told["active"] > 0)


def _make(at: Scene, url: str) -> None:
    wrk = ["wrk", "-t", "1", "-c", str(CLIENTS), "-d", str(SECONDS), "-H", "Connection: close", url]
    at.client(*wrk)


def _state(worker: int) -> tuple[int, float]:
    """Open descriptors but for pooled pipes, and bytes of memory."""
    links = [one.readlink() for one in Path(f"/proc/{worker}/fd").iterdir() if one.is_symlink()]
    return sum(not str(one).startswith("pipe:") for one in links), own_memory(worker)


if __name__ == "__main__":
    sys.exit(main())

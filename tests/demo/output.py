# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo prints: a line a stage as it happens, and a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from v6ferry.addresses import format_isatap

from tests.demo.reach import Reach
from tests.lab.table import table


class Progress:
    """Prints a line for each stage: what is done, and how long it took."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @contextmanager
    def stage(self, what: str) -> Iterator[list[str]]:
        """Print ``what`` now and the time at the end; the block may append what is worth saying."""
        if sys.stdout.isatty():
            print(f"  ...    {what}", end="\r", flush=True)
        began = time.monotonic()
        remarks: list[str] = []
        try:
            yield remarks
        except BaseException:
            print(f" failed  {what}", flush=True)
            raise
        remark = f": {', '.join(remarks)}" if remarks else ""
        print(f"{time.monotonic() - began:5.1f} s  {what}{remark}", flush=True)

    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began


def matrix(results: Sequence[Reach]) -> str:
    """The results as a table."""
    rows = [("from", "to", "at", "way", "round trip", "TCP")]
    rows += [_row(one) for one in results]
    return table(rows, right=(4, 5))


def _row(one: Reach) -> tuple[str, ...]:
    pair = one.pair
    round_trip = "no answer" if one.round_trip is None else f"{one.round_trip:.1f} ms"
    megabits = "no connection" if one.megabits is None else f"{one.megabits:.0f} Mbit/s"
    return (
        pair.source.host.name.upper(),
        pair.destination.host.name.upper(),
        format_isatap(pair.address),
        one.way,
        round_trip,
        megabits,
    )

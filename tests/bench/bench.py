# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python -m tests.bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from tests.bench import (
    agent_role,
    first_reply,
    growth,
    many_tunnels,
    portproxy,
    report,
    sit,
    technologies,
    teredo,
    teredo_server,
    tunnels,
)
from tests.bench.comparison import BenchError, Comparison, Fact, Result, compare
from tests.lab import LabError

RESULTS = Path(__file__).resolve().parents[2] / "build" / "bench.json"
ROUNDS = 5

Subject = Callable[[], AbstractContextManager[Sequence[Comparison | Fact]]]
SUBJECTS: Mapping[str, Subject] = {
    "isatap": partial(tunnels.comparisons, technologies.ISATAP),
    "6to4": partial(tunnels.comparisons, technologies.SIXTOFOUR),
    "configured": partial(tunnels.comparisons, technologies.CONFIGURED),
    "6rd": partial(tunnels.comparisons, technologies.SIXRD),
    "userspace": tunnels.userspace_comparisons,
    "portproxy": portproxy.comparisons,
    "sit": sit.comparisons,
    "growth": growth.comparisons,
    "many-tunnels": many_tunnels.comparisons,
    "agent-role": agent_role.comparisons,
    "teredo": teredo.comparisons,
    "teredo-server": teredo_server.comparisons,
    "teredo-first-reply": first_reply.comparisons,
}
"""What is measured: a file each, in which a context manager yields comparisons."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all benchmarks; returns 0, or 1 if something could not be measured."""
    options = _parser().parse_args(arguments)
    try:
        results = list(_results(options.subjects or SUBJECTS, options.rounds))
    except (LabError, BenchError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.write(results, RESULTS)
    print(f"\n{report.text(results)}\n\nwritten to {RESULTS}")
    return 0


def _results(subjects: Iterable[str], rounds: int) -> Iterator[Result | Fact]:
    for subject in subjects:
        with SUBJECTS[subject]() as found:
            for one in found:
                yield one if isinstance(one, Fact) else _result(one, rounds)


def _result(comparison: Comparison, rounds: int) -> Result:
    print(f"{comparison.name} ", end="", flush=True)
    done = []
    for one in compare(comparison, rounds):
        done.append(one)
        print(".", end="", flush=True)
    print()
    return Result(comparison, tuple(done))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures v6ferry against peers, prints a table and writes build/bench.json.",
    )
    parser.add_argument(
        "subjects",
        metavar="SUBJECT",
        nargs="*",
        type=_subject,
        help=f"what to measure: {', '.join(SUBJECTS)}; all by default",
    )
    parser.add_argument(
        "--rounds", type=_positive, default=ROUNDS, help=f"of each comparison; {ROUNDS} by default"
    )
    return parser


def _subject(text: str) -> str:
    if text not in SUBJECTS:
        raise argparse.ArgumentTypeError(f"{text}: there are {', '.join(SUBJECTS)}")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return number

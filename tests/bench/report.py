# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks print, and what they write for programs to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.comparison import Result
from tests.lab.table import table

NOISY = 1.5
"""A spread whose ends differ by this factor is worth a remark."""


def text(results: Sequence[Result]) -> str:
    """The results as a table, and how far to trust them."""
    rows = [("benchmark", "v6ferry", "peer", "", "ratio", "spread", "goal", "")]
    rows += [_row(result) for result in results]
    return "\n".join([table(rows, right=(1, 2, 4)), "", *_remarks(results)])


def _row(result: Result) -> tuple[str, ...]:
    low, high = result.spread
    return (
        result.comparison.name,
        f"{result.ours:,.0f}",
        f"{result.peer:,.0f}",
        result.comparison.unit,
        f"{result.ratio:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{result.comparison.goal:g}",
        "reached" if result.reaches_goal else "MISSED",
    )


def _remarks(results: Sequence[Result]) -> list[str]:
    rounds = len(results[0].rounds)
    lines = [
        f"Medians of {rounds} alternating rounds; spread: least and greatest ratio of a round."
    ]
    for result in results:
        low, high = result.spread
        if high > low * NOISY:
            lines.append(
                f"{result.comparison.name}: rounds differ by a factor of {high / low:.1f}; "
                "run it again on a quieter machine or with more --rounds."
            )
    return lines


def write(results: Sequence[Result], path: Path) -> None:
    """Write the results as a JSON list, an object each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([_as_dict(result) for result in results], indent=2) + "\n")


def _as_dict(result: Result) -> dict[str, object]:
    return {
        "name": result.comparison.name,
        "ours": round(result.ours, 1),
        "peer": round(result.peer, 1),
        "ratio": round(result.ratio, 4),
        "goal": result.comparison.goal,
        "unit": result.comparison.unit,
        "spread": [round(end, 4) for end in result.spread],
        "rounds": len(result.rounds),
    }

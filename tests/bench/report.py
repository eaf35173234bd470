# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks print, and what they write for programs to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.comparison import By, Result
from tests.lab.table import table

_GOALS = {By.RATIO: "at least", By.DIFFERENCE: "under"}
_LARGE = 100
"""From here on a measurement needs no decimals."""


def text(results: Sequence[Result]) -> str:
    """The results as a table, and how far to trust them."""
    rows = [("benchmark", "v6ferry", "peer", "", "figure", "spread", "goal", "")]
    rows += [_row(result) for result in results]
    return "\n".join([table(rows, right=(1, 2, 4)), "", *_remarks(results)])


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.comparison.name,
        _measured(result.ours),
        _measured(result.peer),
        result.comparison.unit,
        _figure(result, result.figure),
        " to ".join(_figure(result, end) for end in result.spread),
        f"{_GOALS[result.comparison.by]} {result.comparison.goal:g}",
        "reached" if result.reaches_goal else "MISSED",
    )


def _measured(value: float) -> str:
    return f"{value:,.0f}" if value >= _LARGE else f"{value:.2f}"


def _figure(result: Result, figure: float) -> str:
    return f"{figure:.3f}" if result.comparison.by is By.RATIO else f"{figure:+.2f}"


def _remarks(results: Sequence[Result]) -> list[str]:
    rounds = len(results[0].rounds)
    lines = [
        f"Medians of {rounds} alternating rounds. Figure: ratio of v6ferry to the peer, or with a",
        "sign the difference between them. Spread: the least and the greatest of a round.",
    ]
    for result in results:
        if result.is_noisy:
            low, high = (_figure(result, end) for end in result.spread)
            lines.append(
                f"{result.comparison.name}: rounds differ much, from {low} to {high}; "
                "run it again on a quieter machine or with more --rounds."
            )
    return lines


def write(results: Sequence[Result], path: Path) -> None:
    """Write the results as a JSON list, an object each, with a "ratio" or a "difference"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([_as_dict(result) for result in results], indent=2) + "\n")


def _as_dict(result: Result) -> dict[str, object]:
    return {
        "name": result.comparison.name,
        "ours": round(result.ours, 3),
        "peer": round(result.peer, 3),
        result.comparison.by.value: round(result.figure, 4),
        "goal": result.comparison.goal,
        "reached": result.reaches_goal,
        "unit": result.comparison.unit,
        "spread": [round(end, 4) for end in result.spread],
        "rounds": len(result.rounds),
    }

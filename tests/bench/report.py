# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks print, and what they write for programs to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.comparison import By, Fact, Result
from tests.lab.table import table

_GOALS = {By.RATIO: "at least", By.DIFFERENCE: "under"}
_LARGE = 100
"""From here on a measurement needs no decimals."""


def text(found: Sequence[Result | Fact]) -> str:
    """What was found as tables, and how far to trust it."""
    results = [one for one in found if isinstance(one, Result)]
    facts = [one for one in found if isinstance(one, Fact)]
    parts = []
    if results:
        rows = [("benchmark", "v6ferry", "peer", "", "figure", "spread", "goal", "")]
        rows += [_row(result) for result in results]
        parts.append("\n".join([table(rows, right=(1, 2, 4)), "", *_remarks(results)]))
    if facts:
        rows = [
            ("also found", "", ""),
            *((one.name, _measured(one.value), one.unit) for one in facts),
        ]
        parts.append(table(rows, right=(1,)))
    return "\n\n".join(parts)


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
        if result.comparison.reference and result.of_reference:
            lines.append(
                "{}: v6ferry {:.3f} and the peer {:.3f} of {}.".format(
                    result.comparison.name,
                    *result.of_reference,
                    result.comparison.reference.name,
                )
            )
        if result.is_noisy:
            low, high = (_figure(result, end) for end in result.spread)
            lines.append(
                f"{result.comparison.name}: rounds differ much, from {low} to {high}; "
                "run it again on a quieter machine or with more --rounds."
            )
    return lines


def write(found: Sequence[Result | Fact], path: Path) -> None:
    """Write a JSON list, an object each: with a "ratio", a "difference" or a fact's "value"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([_as_dict(one) for one in found], indent=2) + "\n")


def _as_dict(found: Result | Fact) -> dict[str, object]:
    if isinstance(found, Fact):
        return {"name": found.name, "value": round(found.value, 4), "unit": found.unit}
    told: dict[str, object] = {
        "name": found.comparison.name,
        "ours": round(found.ours, 3),
        "peer": round(found.peer, 3),
        found.comparison.by.value: round(found.figure, 4),
        "goal": found.comparison.goal,
        "reached": found.reaches_goal,
        "unit": found.comparison.unit,
        "spread": [round(end, 4) for end in found.spread],
        "rounds": len(found.rounds),
    }
    if found.comparison.reference and found.of_reference:
        told["reference"] = found.comparison.reference.name
        told["of_reference"] = [round(one, 4) for one in found.of_reference]
    return told

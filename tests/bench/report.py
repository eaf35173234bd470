# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.rounds import Comparison
from tests.lab.table import table

_HEADING = ("benchmark", "ours", "peer", "unit", "ratio", "of rounds", "goal", "")


def as_table(results: Sequence[Comparison]) -> str:
    """The results as a table."""
    return table(
        [
            _HEADING,
            *(
                (
                    one.name,
                    f"{one.ours:.0f}",
                    f"{one.peer:.0f}",
                    one.unit,
                    f"{one.ratio:.3f}",
                    f"{one.lowest:.3f} to {one.highest:.3f}",
                    f"{one.goal:g}",
                    "reached" if one.reached else "MISSED",
                )
                for one in results
            ),
        ]
    )


def write_json(results: Sequence[Comparison], path: Path) -> None:
    """Write a list of {name, ours, peer, ratio, goal, unit}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {
            "name": one.name,
            "ours": round(one.ours, 3),
            "peer": round(one.peer, 3),
            "ratio": round(one.ratio, 4),
            "goal": one.goal,
            "unit": one.unit,
        }
        for one in results
    ]
    path.write_text(json.dumps(entries, indent=2) + "\n")

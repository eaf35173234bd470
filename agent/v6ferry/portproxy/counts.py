# SPDX-License-Identifier: GPL-3.0-or-later
"""What the workers have counted, added up by rule.

What a worker had counted that is no more stays part of the sums, as of the last time it told: they
never shrink while an agent runs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

Answer = Mapping[str, Any]
"""Of a worker to ``statistics``."""


class Counts:
    """The last answers of all workers, which are told apart by any key."""

    def __init__(self) -> None:
        self._last: dict[Hashable, Answer] = {}
        self._lost: dict[str, dict[str, Any]] = {}
        """What those had counted that are no more, by rule."""

    def note(self, worker: Hashable, answer: Answer) -> None:
        """A worker has told what it has counted."""
        self._last[worker] = answer

    def lose(self, worker: Hashable) -> None:
        """A worker counts no more; what it told last stays."""
        for name, counted in self._last.pop(worker, {"rules": {}})["rules"].items():
            _add(self._lost.setdefault(name, {}), {**counted, "active": 0})

    def forget(self, name: str) -> None:
        """A rule is no more."""
        self._lost.pop(name, None)

    def of(self, name: str) -> dict[str, Any]:
        """The sums of a rule; empty if no worker has told of it yet."""
        total: dict[str, Any] = {}
        told = [one["rules"][name] for one in self._last.values() if name in one["rules"]]
        for counted in (self._lost.get(name, {}), *told):
            _add(total, counted)
        total.pop("removed", None)
        return total

    def summary(self) -> dict[str, Any]:
        """How the workers are, JSON-ready."""
        answers = self._last.values()
        return {
            "process_ids": [one["process_id"] for one in answers if not one["retired"]],
            "leaving_connections": sum(
                rule["active"] for one in answers for rule in one["leaving"]
            ),
            "exhausted": sorted({one["exhausted"] for one in answers if one["exhausted"]}),
        }


def _add(total: dict[str, Any], counted: Mapping[str, Any]) -> None:
    """Add counters to counters, item by item."""
    for key, value in counted.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            before = total.get(key, [0] * len(value))
            total[key] = [one + other for one, other in zip(before, value, strict=True)]
        else:
            total[key] = total.get(key, 0) + value

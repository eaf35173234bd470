# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing two ways of doing the same on a noisy machine: only ratios mean something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Comparison:
    """One benchmark's outcome.

    Attributes:
        name: of the benchmark.
        ours: median of our rounds, in ``unit``.
        peer: median of the peer's rounds, in ``unit``.
        ratio: median of the rounds' own ratios, ours to the peer's of the same round.
        lowest: the smallest ratio of a round.
        highest: the largest ratio of a round.
        goal: what the ratio should be at least.
        unit: of ``ours`` and ``peer``; more is better.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    lowest: float
    highest: float
    goal: float
    unit: str

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.ratio >= self.goal


def compare(
    name: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    *,
    rounds: int,
    goal: float,
    unit: str,
) -> Comparison:
    """Measure ours and the peer's by turns.

    Each round measures both, the first of the two alternating, so that a machine that gets slower
    or faster meanwhile does so for both.

    Args:
        name: of the benchmark.
        ours: measures ours once.
        peer: measures the peer once.
        rounds: how often each, at least 1.
        goal: what the ratio should be at least.
        unit: of what the two return.
    """
    values: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            second = peer()
            values.append((ours(), second))
        else:
            first = ours()
            values.append((first, peer()))
    ratios = [one / other for one, other in values]
    return Comparison(
        name,
        median(one for one, _peer in values),
        median(other for _ours, other in values),
        median(ratios),
        min(ratios),
        max(ratios),
        goal,
        unit,
    )

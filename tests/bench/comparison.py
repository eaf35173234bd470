# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing two ways of doing one thing, fairly on a machine that has other things to do.

The two are measured in turns, so what slows the machine for a while slows both; who begins changes
every round, so neither always has the warmer caches; and the median lets one bad round pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

Measurement = Callable[[], float]
"""Measures once; more is better."""


class BenchError(Exception):
    """Something could not be measured; the message says what."""


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        name: of the comparison: what is measured, and against what.
        unit: of both measurements.
        goal: the least ratio of ours to the peer's that is good enough.
        ours: measures v6ferry.
        peer: measures what it is compared with.
    """

    name: str
    unit: str
    goal: float
    ours: Measurement
    peer: Measurement


@dataclass(frozen=True)
class Round:
    """The two measurements of one round."""

    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        """Ours by the peer's."""
        return self.ours / self.peer


@dataclass(frozen=True)
class Result:
    """What came out of a comparison; there is at least one round."""

    comparison: Comparison
    rounds: tuple[Round, ...]

    @property
    def ours(self) -> float:
        """The median of our measurements."""
        return median(one.ours for one in self.rounds)

    @property
    def peer(self) -> float:
        """The median of the peer's measurements."""
        return median(one.peer for one in self.rounds)

    @property
    def ratio(self) -> float:
        """Our median by the peer's."""
        return self.ours / self.peer

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest ratio of a round: how far to trust ``ratio``."""
        ratios = [one.ratio for one in self.rounds]
        return min(ratios), max(ratios)

    @property
    def reaches_goal(self) -> bool:
        """Whether the ratio is good enough."""
        return self.ratio >= self.comparison.goal


def compare(comparison: Comparison, rounds: int) -> Iterator[Round]:
    """Yield the measurements round by round, as they are made.

    Raises:
        BenchError: one of the two measured nothing.
    """
    for number in range(rounds):
        if number % 2 == 0:
            ours, peer = comparison.ours(), comparison.peer()
        else:
            peer, ours = comparison.peer(), comparison.ours()
        if ours <= 0 or peer <= 0:
            raise BenchError(f"{comparison.name}: measured ours {ours:g} and peer {peer:g}")
        yield Round(ours, peer)

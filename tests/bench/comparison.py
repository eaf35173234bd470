# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing two ways of doing one thing, fairly on a machine that has other things to do.

The two are measured in turns, so what slows the machine for a while slows both; who begins changes
every round, so neither always has the warmer caches; and the median lets one bad round pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from statistics import median

Measurement = Callable[[], float]
"""Measures once."""


NOISY = 1.5
"""Ratios of rounds that differ by more than this factor are worth a remark."""


class BenchError(Exception):
    """Something could not be measured; the message says what."""


class By(Enum):
    """What two measurements are compared by."""

    RATIO = "ratio"
    """Of ours to the peer's, where more is better: packets a second."""
    DIFFERENCE = "difference"
    """Ours less the peer's, where less is better: microseconds that are added."""

    def figure(self, ours: float, peer: float) -> float:
        """Compare two measurements."""
        return ours / peer if self is By.RATIO else ours - peer

    def reaches(self, figure: float, goal: float) -> bool:
        """Whether a figure is good enough: a ratio from the goal on, a difference below it."""
        return figure >= goal if self is By.RATIO else figure < goal


@dataclass(frozen=True)
class Reference:
    """What both measurements are put in relation to, for information.

    Attributes:
        name: what it is.
        measure: measures it, in the unit of the comparison.
    """

    name: str
    measure: Measurement


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        name: of the comparison: what is measured, and against what.
        unit: of both measurements.
        goal: what is good enough: the least ratio, or what the difference has to stay below.
        ours: measures v6ferry.
        peer: measures what it is compared with.
        by: what the two are compared by.
        reference: a third that is measured in every round, if there is one.
    """

    name: str
    unit: str
    goal: float
    ours: Measurement
    peer: Measurement
    by: By = By.RATIO
    reference: Reference | None = None


@dataclass(frozen=True)
class Fact:
    """What is told and compared with nothing.

    Attributes:
        name: what it is.
        unit: of it.
        value: how much.
    """

    name: str
    unit: str
    value: float


@dataclass(frozen=True)
class Round:
    """The measurements of one round."""

    ours: float
    peer: float
    reference: float | None = None


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
    def of_reference(self) -> tuple[float, float] | None:
        """The ratios of our median and of the peer's to that of the reference."""
        measured = [one.reference for one in self.rounds if one.reference is not None]
        if not measured:
            return None
        return self.ours / median(measured), self.peer / median(measured)

    @property
    def figures(self) -> list[float]:
        """Ratio or difference, round by round."""
        by = self.comparison.by
        return [by.figure(one.ours, one.peer) for one in self.rounds]

    @property
    def figure(self) -> float:
        """Our median by the peer's, or the median of the differences."""
        by = self.comparison.by
        return by.figure(self.ours, self.peer) if by is By.RATIO else median(self.figures)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest figure of a round: how far to trust ``figure``."""
        return min(self.figures), max(self.figures)

    @property
    def is_noisy(self) -> bool:
        """Whether the rounds differ so much that the figure says little."""
        low, high = self.spread
        if self.comparison.by is By.RATIO:
            return high > low * NOISY
        return high - low > self.comparison.goal

    @property
    def reaches_goal(self) -> bool:
        """Whether the figure is good enough."""
        return self.comparison.by.reaches(self.figure, self.comparison.goal)


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
        reference = comparison.reference.measure() if comparison.reference else None
        yield Round(ours, peer, reference)

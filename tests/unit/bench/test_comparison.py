# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks make of their measurements."""

from __future__ import annotations

import json

import pytest

from tests.bench import report
from tests.bench.comparison import BenchError, By, Comparison, Reference, Result, Round, compare


def result(by: By, goal: float, *rounds: tuple[float, float]) -> Result:
    comparison = Comparison("packets", "packets/s", goal, lambda: 1.0, lambda: 1.0, by)
    return Result(comparison, tuple(Round(*one) for one in rounds))


def test_ratio_is_that_of_the_medians_and_more_is_better():
    found = result(By.RATIO, 0.9, (90, 100), (95, 100), (10, 100))
    assert found.figure == 0.9
    assert found.spread == (0.1, 0.95)
    assert found.reaches_goal
    assert found.is_noisy
    assert not result(By.RATIO, 0.91, (90, 100)).reaches_goal


def test_difference_is_the_median_of_the_rounds_and_less_is_better():
    # The machine was slower in the second round, for both.
    found = result(By.DIFFERENCE, 5, (6, 4), (30, 27), (7, 6))
    assert found.figure == 2
    assert found.spread == (1, 3)
    assert found.reaches_goal
    assert not found.is_noisy
    assert not result(By.DIFFERENCE, 5, (10, 5)).reaches_goal
    assert result(By.DIFFERENCE, 5, (10, 9), (20, 10)).is_noisy


def test_measurements_are_made_in_turns():
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return 1.0

    comparison = Comparison("", "", 1, lambda: measure("ours"), lambda: measure("peer"))
    assert len(list(compare(comparison, 3))) == 3
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_nothing_measured_is_an_error():
    with pytest.raises(BenchError, match="measured ours 1 and peer 0"):
        list(compare(Comparison("x", "", 1, lambda: 1.0, lambda: 0.0), 1))


def test_report_says_figure_goal_and_whether_it_is_reached(tmp_path):
    results = [result(By.RATIO, 0.9, (80, 100)), result(By.DIFFERENCE, 5, (6, 4))]
    shown = report.text(results)
    assert "0.800" in shown
    assert "at least 0.9  MISSED" in shown
    assert "+2.00" in shown
    assert "under 5       reached" in shown
    report.write(results, tmp_path / "build" / "bench.json")
    ratio, difference = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert (ratio["ratio"], ratio["reached"]) == (0.8, False)
    assert (difference["difference"], difference["reached"]) == (2, True)


def test_reference_is_measured_in_every_round_and_both_are_put_in_relation_to_it(tmp_path):
    comparison = Comparison(
        "packets",
        "packets/s",
        1,
        lambda: 8.0,
        lambda: 9.0,
        reference=Reference("plain", lambda: 10.0),
    )
    found = Result(comparison, tuple(compare(comparison, 2)))
    assert found.of_reference == (0.8, 0.9)
    assert "packets: v6ferry 0.800 and the peer 0.900 of plain." in report.text([found])
    report.write([found], tmp_path / "bench.json")
    (told,) = json.loads((tmp_path / "bench.json").read_text())
    assert (told["reference"], told["of_reference"]) == ("plain", [0.8, 0.9])
    assert result(By.RATIO, 1, (1, 1)).of_reference is None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Several addresses (RFC 8305), in virtual time."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from v6ferry.portproxy.racing import ATTEMPT_DELAY, Race, interleave


def test_families_alternate_rfc8305_4():
    assert interleave(["6a", "6b", "6c"], ["4a"]) == ["6a", "4a", "6b", "6c"]
    assert interleave(["6a", "6b"], ["4a", "4b", "4c"]) == ["6a", "4a", "6b", "4b", "4c"]
    assert interleave(["6a", "6b", "6c"], ["4a"], lead=2) == ["6a", "6b", "4a", "6c"]
    assert interleave([], ["4a"]) == ["4a"]


@given(st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(10, 19), unique=True))
def test_interleaving_loses_nothing_and_keeps_the_order_of_a_family(first, second):
    mixed = interleave(first, second)
    assert [one for one in mixed if one < 10] == first
    assert [one for one in mixed if one >= 10] == second


def test_next_attempt_begins_after_the_delay_rfc8305_5():
    race = Race(["a", "b", "c"], 0.0, timeout=10)
    assert race.to_begin(0.0) == ["a"]
    assert race.to_begin(0.1) == []
    assert race.next_deadline() == ATTEMPT_DELAY
    assert race.to_begin(ATTEMPT_DELAY) == ["b"]
    assert race.connected("a") == ["b"]
    assert race.winner == "a"
    assert race.to_begin(100.0) == []
    assert race.next_deadline() is None


def test_failure_begins_the_next_at_once_rfc8305_5():
    race = Race(["a", "b"], 0.0, timeout=10)
    race.to_begin(0.0)
    race.failed("a", 0.01)
    assert race.to_begin(0.01) == ["b"]
    race.failed("b", 0.02)
    assert race.is_lost()


def test_silent_addresses_are_given_up_after_the_timeout():
    race = Race(["a", "b"], 0.0, timeout=1)
    race.to_begin(0.0)
    race.to_begin(ATTEMPT_DELAY)
    assert race.next_deadline() == 1.0
    assert race.to_give_up(1.0) == ["a"]
    assert not race.is_lost()
    assert race.to_give_up(1.0 + ATTEMPT_DELAY) == ["b"]
    assert race.is_lost()


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_every_race_ends_with_the_first_that_answers_or_lost(seed, count):
    random, now = Random(seed), 0.0
    fates = {n: (random.choice(["ok", "refused", "silent"]), random.random()) for n in range(count)}
    race = Race(list(range(count)), now, timeout=2.0)
    events: list[tuple[float, int]] = []
    begun: list[int] = []
    while race.winner is None and not race.is_lost():
        race.to_give_up(now)
        for one in race.to_begin(now):
            begun.append(one)
            if fates[one][0] != "silent":
                events.append((now + fates[one][1], one))
        deadline = race.next_deadline()
        times = [time for time, _one in events] + ([] if deadline is None else [deadline])
        if not times:
            break
        now = max(now, min(times))
        for event in sorted(events):
            if event[0] <= now and race.winner is None:
                events.remove(event)
                if fates[event[1]][0] == "ok":
                    race.connected(event[1])
                else:
                    race.failed(event[1], now)
        assert now < count * 3
    assert begun == sorted(begun)
    assert (race.winner is None) == all(fate != "ok" for fate, _time in fates.values())

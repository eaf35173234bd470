# SPDX-License-Identifier: GPL-3.0-or-later
"""The text for Prometheus, read back by Prometheus's own parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse
from v6ferry.wire.exposition import Family, format_exposition

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
LABELS = st.dictionaries(NAMES.filter(lambda name: name != "le"), WORDS, max_size=3)
VALUES = st.floats(allow_nan=False) | st.integers(0, 2**53)
PLAIN = st.lists(st.tuples(LABELS, VALUES), min_size=1, max_size=5)


@given(NAMES, st.sampled_from(["counter", "gauge"]), WORDS, PLAIN)
def test_what_is_written_is_read_back(name, kind, help_, samples):
    name = f"x_{name}_total" if kind == "counter" else f"x_{name}_now"
    family = Family(name, kind, help_)
    for labels, value in samples:
        family.samples.append(("", labels, value))
    (read,) = parse(format_exposition([family]))
    assert (read.type, read.documentation.strip()) == (kind, help_.strip())
    assert [(one.name, one.labels, one.value) for one in read.samples] == [
        (name, labels, value) for labels, value in samples
    ]


@given(
    st.lists(st.floats(0.001, 1e6), min_size=1, max_size=10, unique=True).map(sorted),
    st.data(),
    LABELS,
)
def test_buckets_are_cumulative_openmetrics_1_0(bounds, data, labels):
    number = len(bounds) + 1
    counts = data.draw(st.lists(st.integers(0, 10**9), min_size=number, max_size=number))
    family = Family("x_seconds", "histogram", "How long.")
    family.add_histogram(bounds, counts, 1.5)
    family.samples = [(suffix, {**labels, **own}, value) for suffix, own, value in family.samples]
    (read,) = parse(format_exposition([family]))
    buckets = [one for one in read.samples if one.name == "x_seconds_bucket"]
    assert [float(one.labels["le"]) for one in buckets] == [*bounds, math.inf]
    assert [one.value for one in buckets] == [sum(counts[: n + 1]) for n in range(number)]
    rest = {one.name: one.value for one in read.samples if one.name != "x_seconds_bucket"}
    assert rest == {"x_seconds_sum": 1.5, "x_seconds_count": sum(counts)}


def test_families_without_a_measurement_are_left_out():
    assert format_exposition([Family("x", "gauge", "Nothing.")]) == ""


@pytest.mark.parametrize(
    ("name", "kind", "complaint"),
    [
        ("6to4", "gauge", "none that Prometheus knows"),
        ("x:y", "gauge", "none that Prometheus knows"),
        ("x", "info", "is not one of counter, gauge, histogram"),
        ("x", "counter", "ends in _total"),
        ("x_total", "gauge", "ends in _total"),
    ],
)
def test_names_that_cannot_be_used_are_refused(name, kind, complaint):
    with pytest.raises(ValueError, match=complaint):
        Family(name, kind, "")


def test_labels_and_counts_that_cannot_be_used_are_refused():
    family = Family("x", "gauge", "")
    family.samples.append(("", {"a b": "1"}, 1))
    with pytest.raises(ValueError, match="label: 'a b'"):
        format_exposition([family])
    with pytest.raises(ValueError, match="counts: 1 do not fit 1 bounds"):
        Family("x", "histogram", "").add_histogram([1.0], [1], 1.0)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements as Prometheus reads them: its text format, version 0.0.4.

The names follow OpenMetrics 1.0: what only grows ends in ``_total``, units are in the name and are
SI's, and the buckets of a histogram are cumulative. The format is the older one of the two, for
that is the one which node_exporter's textfile collector takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""What a family or a label may be called; colons are for the rules of Prometheus itself."""
KINDS = ("counter", "gauge", "histogram")

Labels = Mapping[str, str]


@dataclass
class Family:
    """Measurements of one thing, told apart by labels.

    Attributes:
        name: of the family; that of a counter ends in ``_total``.
        kind: one of ``KINDS``.
        help: one sentence on what is measured.
        samples: in their order: suffix of the name, labels, value.

    Raises:
        ValueError: the name or the kind cannot be used.
    """

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is none that Prometheus knows")
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.name.endswith("_total") != (self.kind == "counter"):
            raise ValueError(f"name: {self.name!r} ends in _total, or is that of a counter, alone")

    def add(self, value: float, **labels: str) -> None:
        """Add a measurement of a counter or a gauge."""
        self.samples.append(("", labels, value))

    def add_histogram(
        self, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str
    ) -> None:
        """Add a histogram.

        Args:
            bounds: the upper ones, growing; a last one without bound follows by itself.
            counts: how many lie in each bucket alone, one more than there are bounds.
            total: the sum of all that was measured.
            labels: of the histogram.

        Raises:
            ValueError: bounds and counts do not belong together.
        """
        if len(counts) != len(bounds) + 1:
            raise ValueError(f"counts: {len(counts)} do not fit {len(bounds)} bounds")
        so_far = 0
        for bound, count in zip((*bounds, math.inf), counts, strict=True):
            so_far += count
            self.samples.append(("_bucket", {**labels, "le": _number(bound)}, so_far))
        self.samples.append(("_sum", labels, total))
        self.samples.append(("_count", labels, so_far))


def format_exposition(families: Iterable[Family]) -> str:
    """The text, one line a measurement; families without any are left out.

    Raises:
        ValueError: a label's name cannot be used.
    """
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            lines.append(f"{family.name}{suffix}{_labels(labels)} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Labels) -> str:
    for name in labels:
        if not NAME.fullmatch(name):
            raise ValueError(f"label: {name!r} is none that Prometheus knows")
    pairs = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows as aligned columns, for those who print what they found in a lab."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return ``rows``, of equal length, as columns; the first row is the heading.

    Args:
        rows: at least one.
        right: the numbers of the columns to align at the right, from 0.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)

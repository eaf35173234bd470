# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import CONFIGURED, Lab


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    """The intranet with agents on it that have nothing to do: tests must leave it so, too."""
    with Lab(CONFIGURED) as lab:
        for name in ("router", "router2", "branch", "a", "b"):
            lab[name].start_agent("--plane", plane)
        yield lab

# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import PORTPROXY, Lab
from tests.lab.portproxy.rules import kill_workers


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two segments, and an agent between them that has nothing to do: tests must leave it so."""
    with Lab(PORTPROXY) as lab:
        lab["proxy"].start_agent("--plane", "userspace")
        yield lab
        kill_workers(lab["proxy"])

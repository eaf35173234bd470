# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import ISATAP, Lab
from tests.lab.isatap.intranet import set_up


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    """The intranet, as the playbook leaves it: tests must leave it so, too."""
    with Lab(ISATAP) as lab:
        set_up(lab, plane=plane, solicitation_interval=4)
        yield lab


@pytest.fixture
def bare_lab() -> Iterator[Lab]:
    """The intranet without any agent, for one test alone."""
    with Lab(ISATAP) as lab:
        yield lab

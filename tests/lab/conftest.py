# SPDX-License-Identifier: GPL-3.0-or-later
"""What the labs of all technologies have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def plane(request: pytest.FixtureRequest) -> str:
    """Each plane in turn: what one does, the other has to do."""
    chosen: str = request.param
    return chosen

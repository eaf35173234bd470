# SPDX-License-Identifier: GPL-3.0-or-later
"""What the labs of all technologies have in common."""

from __future__ import annotations

import pytest

_LONG = ("tests/lab/playbooks/", "tests/lab/isatap/test_death.py", "tests/lab/teredo/test_life.py")
"""They take minutes, each on one worker: whoever starts one last has the others wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones; else the order stays."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def plane(request: pytest.FixtureRequest) -> str:
    """Each plane in turn: what one does, the other has to do."""
    chosen: str = request.param
    return chosen

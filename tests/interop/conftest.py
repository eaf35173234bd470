# SPDX-License-Identifier: GPL-3.0-or-later
"""Before any of these tests: the guests' kernels and archives, made once and kept under build/."""

from __future__ import annotations

import subprocess

import pytest

from tests.interop.guest import REPOSITORY


@pytest.fixture(scope="session")
def guest_image() -> None:
    """Make the guest image unless build/guest has it; an error is the tool's own words."""
    done = subprocess.run(
        [REPOSITORY / "tools" / "guest-image.sh"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    print(done.stdout, end="")
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)

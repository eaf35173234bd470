# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for all tests that only look at it, and the programs that look."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import ISATAP, Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The example intranet, nothing done in it yet: tests leave it as it is."""
    with Lab(ISATAP) as lab:
        yield lab


class CommandLine:
    """Runs ``python -m tests.lab``."""

    directory = str(Path(__file__).resolve().parents[3])

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it to its end, in the checkout."""
        command = [sys.executable, "-m", "tests.lab", *arguments]
        return subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=60, check=check
        )


@pytest.fixture
def command_line() -> CommandLine:
    """The lab's command line."""
    return CommandLine()


@pytest.fixture
def ansible(tmp_path: Path) -> Callable[..., str]:
    """The program ``ansible``, without the user's own settings; returns what it printed."""
    settings = tmp_path / "ansible.cfg"
    settings.touch()

    def run(*arguments: str | Path) -> str:
        return subprocess.run(
            [Path(sys.executable).with_name("ansible"), *arguments],
            env={**os.environ, "ANSIBLE_CONFIG": str(settings), "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    return run

# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that runs in a lab's host beside the test: started, waited for, stopped."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.processes import wait_until

_TAIL_LINES = 20


class Service:
    """A running program with a log.

    Attributes:
        name: what it is and where, for messages: ``host a: named``.
        process: the process itself.
        log: the file that has its standard error, and its standard output unless that is data.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    @property
    def log_text(self) -> str:
        """All that has been logged."""
        return self.log.read_text(errors="replace")

    def log_contains(self, text: str) -> bool:
        """Return whether ``text`` has been logged."""
        return text in self.log_text

    def log_tail(self) -> str:
        """Return the last 20 lines of the log."""
        lines = self.log_text.splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def wait_until_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return once ``ready`` says so.

        Raises:
            LabError: the process ended first, or ``timeout`` seconds passed (it is killed then);
                the log's tail follows the message's first line.
        """
        wait_until(lambda: not self.running or ready(), timeout)
        if not self.running:
            raise LabError(self._failure(f"ended with status {self.process.returncode}"))
        if not ready():
            self.kill()
            raise LabError(self._failure(f"was not ready within {timeout:g} s"))

    def _failure(self, what: str) -> str:
        return f"{self.name} {what}; the end of its log:\n{self.log_tail() or '(empty)'}"

    def stop(self, timeout: float = 10.0) -> int:
        """Ask the program to end and return its exit status (negative: the signal's number).

        Raises:
            LabError: it was still running after ``timeout`` seconds; it has been killed.
        """
        return self._end(signal.SIGTERM, timeout)

    def interrupt(self, timeout: float = 10.0) -> int:
        """As ``stop``, with SIGINT."""
        return self._end(signal.SIGINT, timeout)

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def _end(self, number: signal.Signals, timeout: float) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(
                self._failure(f"was still running {timeout:g} s after {number.name}")
            ) from None

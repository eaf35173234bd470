# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipes for splice(2): made when bulk is seen, and kept for the next that has bulk."""

from __future__ import annotations

import contextlib
import fcntl
import os

CAPACITY = 1 << 18
"""Bytes that are asked for; users without privileges get less once they have many pipes.

Larger pipes have the ends of one stream wait for each other, smaller ones those of many: of 1 MiB,
one stream on a single core goes at two thirds of the rate, and of 64 KiB, eight on two cores at
three quarters.
"""
MOST_KEPT = 64

Pipe = tuple[int, int]
"""The ends to read from and to write to."""


class PipePool:
    """Lends empty pipes."""

    def __init__(self) -> None:
        self._free: list[Pipe] = []

    def take(self) -> Pipe | None:
        """Return an empty pipe; None if the system has none left."""
        if self._free:
            return self._free.pop()
        try:
            pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, CAPACITY)
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Take back a pipe that is empty."""
        if len(self._free) < MOST_KEPT:
            self._free.append(pipe)
        else:
            close(pipe)


def close(pipe: Pipe) -> None:
    """Close a pipe, whatever is in it."""
    os.close(pipe[0])
    os.close(pipe[1])

# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace of its own for a test."""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

_CLONE_NEWNET = 0x40000000


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a thread that is alone in a new network namespace.

    The kernel takes the namespace down, with every interface in it, when the thread ends: there
    is nothing to clean up, whatever happens.
    """

    @functools.wraps(test)
    def wrapper(*args: object, **fixtures: object) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root")
        raised: list[BaseException] = []

        def run() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.unshare(_CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
                ip("link set lo up")
                test(*args, **fixtures)
            except BaseException as error:  # the thread's, to be raised in pytest's own
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if raised:
            raise raised[0]

    return pytest.mark.lab(wrapper)


def ip(command: str) -> str:
    """Run ip(8) in the calling thread's namespace and return what it prints."""
    return run("ip " + command)


def run(command: str) -> str:
    """Run a command in the calling thread's namespace and return what it prints."""
    done = subprocess.run(
        shlex.split(command), check=False, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def run_without_net_admin(script: str) -> str:
    """Run a Python script that may do anything but change the network."""
    without = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin"
    return run(f"{without} {sys.executable} -c {shlex.quote(script)}")

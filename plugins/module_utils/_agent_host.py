# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must have before the agent can run there."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

OLDEST_PYTHON = (3, 10)
_PYTHONS = (
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    *(f"/usr/bin/python3.{minor}" for minor in range(14, OLDEST_PYTHON[1] - 1, -1)),
)

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]
"""Runs a program; returns its exit code, output and complaints."""


def problems(root: Path = Path("/")) -> list[str]:
    """Return what keeps the agent from running on this host, a line each that says what to do.

    Args:
        root: Where the host's files are.
    """
    found = []
    if not (root / "run/systemd/system").is_dir():
        found.append(
            "systemd does not run this host (there is no /run/systemd/system): run v6ferry under "
            "the supervisor that does, with the bundle itself (python3 v6ferry.pyz run)"
        )
    if not (root / "proc/sys/net/ipv6").is_dir():
        found.append(
            "the kernel runs without IPv6 (there is no /proc/sys/net/ipv6): take ipv6.disable=1 "
            "off its command line and reboot"
        )
    return found + _tun_problems(root / "dev/net/tun")


def _tun_problems(device: Path) -> list[str]:
    try:
        mode = device.stat().st_mode
    except OSError:
        problem = (
            "there is no /dev/net/tun: load the driver (modprobe tun), or hand the device to the"
            " container (--device /dev/net/tun)"
        )
        return [problem]
    if not stat.S_ISCHR(mode):
        return ["/dev/net/tun is not a device: remove it, and load the driver (modprobe tun)"]
    if mode & 0o006 != 0o006:
        problem = (
            "/dev/net/tun may be opened by root alone, and the agent is not root: set the mode"
            " that udev gives it (chmod 0666 /dev/net/tun)"
        )
        return [problem]
    return []


def find_python(wanted: str | None, run: Run) -> str:
    """Return the Python that the agent is to run with.

    Args:
        wanted: The one that the user wants; by default the first of the usual ones that will do.
        run: Runs programs.

    Raises:
        ValueError: There is none; the message says what to do.
    """
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    seen = []
    for python in [wanted] if wanted else _PYTHONS:
        if not os.access(python, os.X_OK):
            continue
        status, output, _complaint = run([python, "-I", "-c", code])
        version = output.strip()
        if status == 0 and tuple(map(int, version.split("."))) >= OLDEST_PYTHON:
            return python
        seen.append(f"{python} is {version or 'broken'}")
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if wanted:
        what = "; ".join(seen) or f"{wanted} cannot be executed"
        raise ValueError(f"python: {what}; name a Python {oldest} or later")
    raise ValueError(
        f"the agent needs Python {oldest} or later, and {'; '.join(seen) or 'there is none'}: "
        "install one beside it (on RHEL 9: dnf install python3.11), or name one with the option "
        "python"
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""Bulk TCP between hosts of a lab, with a checksum taken at both ends (transfer.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from tests.lab import transfer
from tests.lab.errors import LabError
from tests.lab.host import LabHost

MEGABYTE = 1_000_000

Checksum = Callable[[float], str]
"""Waits up to that many seconds for a transfer's end; returns the SHA-256 of what passed here.

Raises LabError if it does not end in time, or breaks.
"""


def receive(host: LabHost, port: int) -> Checksum:
    """Accept one TCP connection on the port; listening has begun when this returns."""
    process = _start(host, "receive", str(port))
    assert process.stdout is not None
    process.stdout.readline()
    return lambda seconds: _checksum(host, process, seconds)


def send(
    host: LabHost,
    address: str,
    port: int,
    megabytes: int,
    source: str | None = None,
    seconds: float | None = None,
) -> Checksum:
    """Send that many times 10^6 random octets over one TCP connection.

    Args:
        host: that sends.
        address: to which.
        port: at which somebody listens.
        megabytes: how many.
        source: the address to send from; by default the kernel's choice.
        seconds: the time that it shall take at least.
    """
    octets = megabytes * MEGABYTE
    options = [] if source is None else ["--source", source]
    if seconds is not None:
        options += ["--rate", str(octets / seconds)]
    process = _start(host, "send", address, str(port), str(octets), *options)
    return lambda seconds: _checksum(host, process, seconds)


def _start(host: LabHost, *arguments: str) -> subprocess.Popen[bytes]:
    return host.popen(
        [sys.executable, transfer.__file__, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _checksum(host: LabHost, process: subprocess.Popen[bytes], seconds: float) -> str:
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LabError(f"{host.name}: TCP not done after {seconds} s") from None
    if process.returncode:
        raise LabError(f"{host.name}: TCP broke: {errors.decode(errors='replace')}")
    return str(json.loads(output.splitlines()[-1])["sha256"])

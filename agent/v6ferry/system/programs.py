# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the host that the agent has others do work with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from v6ferry.system.errors import SystemFault

_BESIDES = "/usr/sbin:/sbin"
"""Where administrators' programs are, whatever PATH says."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a host may lack."""

    name: str
    package: str
    """What brings it, for people."""

    def find(self) -> str:
        """Return where it is.

        Raises:
            SystemFault: it is not installed.
        """
        path = f"{os.environ.get('PATH', os.defpath)}:{_BESIDES}"
        found = shutil.which(self.name, path=path)
        if found is None:
            raise SystemFault(
                f"the program {self.name} is not installed; install the package {self.package}"
            )
        return found


NFT = Program("nft", "nftables")
DNSMASQ = Program("dnsmasq", "dnsmasq (on Debian and Ubuntu dnsmasq-base, which starts no service)")


class ProgramFailedError(SystemFault):
    """A program ended with an exit code that is not 0."""


async def run_program(
    command: Sequence[str],
    *,
    doing: str,
    given: bytes | None = None,
    timeout: float = 10.0,
    missing: str = "",
    silent: str = "",
) -> str:
    """Run a program to its end, and return its output.

    Args:
        command: the program and its arguments.
        doing: for messages, as in "run resolvectl dns".
        given: its standard input; None for nothing.
        timeout: seconds that it may take.
        missing: what to do where it cannot be run.
        silent: what to do where it takes longer.

    Raises:
        ProgramFailedError: it says that it failed.
        SystemFault: it cannot be run, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        advice = f"; {missing}" if missing else ""
        raise SystemFault(f"cannot {doing}: {error.strerror}{advice}") from error
    try:
        output, complaint = await asyncio.wait_for(process.communicate(given), timeout)
    except (asyncio.TimeoutError, asyncio.CancelledError) as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        advice = f"; {silent}" if silent else ""
        raise SystemFault(f"cannot {doing}: no answer within {timeout:g} s{advice}") from error
    if process.returncode:
        reason = " ".join(complaint.decode(errors="replace").split())
        raise ProgramFailedError(f"cannot {doing}: {reason or f'exit code {process.returncode}'}")
    return output.decode(errors="replace")

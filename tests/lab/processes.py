# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding, killing and running processes: those of a lab are known by their namespaces.

So a lab needs no list of process ids, which would be wrong after a crash, and nothing outside it
can be hit: a process is killed through a pidfd, after a second look at its namespaces.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from tests.lab.errors import LabError

NamespaceId = tuple[int, int]
"""Device and inode number of a namespace file: the same for every file of one namespace."""

_POLL_INTERVAL = 0.01  # seconds


def namespace_id(path: Path) -> NamespaceId | None:
    """Return the identity of the namespace behind ``path``; None if there is no such file."""
    try:
        status = path.stat()
    except OSError:  # no such file, or a process that has ended meanwhile
        return None
    return status.st_dev, status.st_ino


def own_namespaces() -> frozenset[NamespaceId]:
    """Return the network and mount namespace that the caller is in."""
    return _namespaces_of(os.getpid())


def _namespaces_of(process_id: int) -> frozenset[NamespaceId]:
    directory = Path("/proc", str(process_id), "ns")
    found = (namespace_id(directory / kind) for kind in ("net", "mnt"))
    return frozenset(identity for identity in found if identity is not None)


def processes_in(namespaces: AbstractSet[NamespaceId]) -> list[int]:
    """Return the ids of the processes whose network or mount namespace is one of ``namespaces``."""
    process_ids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [p for p in process_ids if not namespaces.isdisjoint(_namespaces_of(p))]


def kill_processes_in(namespaces: AbstractSet[NamespaceId], timeout: float = 5.0) -> None:
    """Kill every process in ``namespaces``, and those they start meanwhile, until none is left.

    Raises:
        LabError: the caller is in one of the namespaces itself, or some are alive after
            ``timeout`` seconds.
    """
    if not namespaces.isdisjoint(own_namespaces()):
        raise LabError("this process runs inside the lab; take it down from outside")
    deadline = time.monotonic() + timeout
    while survivors := processes_in(namespaces):
        if time.monotonic() > deadline:
            raise LabError(
                f"processes {survivors} are alive {timeout:g} s after SIGKILL; "
                "see /proc/ID/stack for what they wait on, then take the lab down again"
            )
        for process_id in survivors:
            _kill(process_id, namespaces)
        time.sleep(_POLL_INTERVAL)


def _kill(process_id: int, namespaces: AbstractSet[NamespaceId]) -> None:
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        # The id may have been reused between the search and pidfd_open; from here on it cannot.
        if not namespaces.isdisjoint(_namespaces_of(process_id)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)


def start_time(process_id: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is none.

    With the id it names a process for good: ids are reused, start times are not.
    """
    try:
        status = Path("/proc", str(process_id), "stat").read_text()
    except OSError:
        return None
    # The second field, the name in parentheses, may contain anything; the 22nd is the start time.
    return int(status.rpartition(")")[2].split()[19])


def enter_command(
    namespaces: Mapping[str, Path], command: Sequence[str | os.PathLike[str]]
) -> list[str]:
    """Return ``command`` as run in ``namespaces``, given as nsenter option -> file."""
    options = [f"--{kind}={path}" for kind, path in namespaces.items()]
    return ["nsenter", *options, "--", *(os.fspath(word) for word in command)]


def run_scripts(scripts: Iterable[tuple[str, Sequence[str], str]]) -> None:
    """Run several shell scripts at once, each to its end.

    Args:
        scripts: for each what it does (for the error message), the command that takes the
            script on its standard input, and the script.

    Raises:
        LabError: at least one failed; the message has what each of those said.
    """
    running = [(what, _start_with_input(command, script)) for what, command, script in scripts]
    failures = []
    for what, process in running:
        error = process.communicate()[1]
        if process.returncode != 0:
            failures.append(f"{what} failed ({process.returncode}): {error.strip()}")
    if failures:
        raise LabError("; ".join(failures))


def _start_with_input(command: Sequence[str], script: str) -> subprocess.Popen[str]:
    with tempfile.TemporaryFile("w+") as script_file:
        # A file rather than a pipe: nobody has to feed one script while another is waited for.
        script_file.write(script)
        script_file.seek(0)
        return subprocess.Popen(
            command,
            stdin=script_file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Return whether ``condition`` came true within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_INTERVAL)
    return True

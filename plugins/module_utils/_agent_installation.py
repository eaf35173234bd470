# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's files and service on a host: looked at, installed, switched, taken back.

Releases lie side by side below /usr/local/lib/v6ferry; the symbolic link ``current`` says which one
runs, and is replaced by renaming. Nothing refers to a release but by that link.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import tempfile
import typing as t
import zipfile
from pathlib import Path

from ansible_collections.v6ops.transition.plugins.module_utils._agent_host import Run
from ansible_collections.v6ops.transition.plugins.module_utils._agent_unit import (
    GROUP,
    RESOLVER_SOCKET,
    UNIT_NAME,
    USER,
)

LIBRARY = Path("/usr/local/lib/v6ferry")
CURRENT = LIBRARY / "current"
LAUNCHER = Path("/usr/local/bin/v6ferry")
UNITS = Path("/etc/systemd/system")
STATE, RUNTIME = Path("/var/lib/v6ferry"), Path("/run/v6ferry")
USER_COMMENT = "v6ferry (v6ops.transition)"
_MARK = "# Written by v6ops.transition.agent"


class InstallationError(Exception):
    """Something failed; the message is one line, or has the agent's last words below it."""


class Present(t.NamedTuple):
    """How a host is, or is to be."""

    release: str | None
    """Which release ``current`` is; None without one."""
    files: dict[str, str | None]
    """Contents of the launcher and the units, by path; None for one that is not there."""
    user: bool
    enabled: bool
    active: bool


def launcher(python: str) -> str:
    """Return the command line program that runs the current release."""
    return f'#!/bin/sh\n{_MARK}\nexec {python} -I {CURRENT} "$@"\n'


class Installation:
    """The agent on this host.

    Args:
        run: Runs programs.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def look(self, files: t.Iterable[str]) -> Present:
        """Return how the host is."""
        command = ["systemctl", "show", "--property", "UnitFileState,ActiveState", UNIT_NAME]
        _status, output, _complaint = self._run(command)
        properties = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        return Present(
            release=self.release(),
            files={path: _read(Path(path)) for path in files},
            user=_user_exists(),
            enabled=properties.get("UnitFileState") == "enabled",
            active=properties.get("ActiveState") == "active",
        )

    def release(self) -> str | None:
        """Return which release ``current`` is."""
        try:
            return os.readlink(CURRENT)
        except OSError:
            return None

    def has(self, release: str) -> bool:
        """Return whether a release is there, current or not."""
        return (LIBRARY / release).is_dir()

    def check_conflicts(self) -> None:
        """Make sure that no file of others is in the way.

        Raises:
            InstallationError: One is.
        """
        content = _read(LAUNCHER)
        if content is not None and _MARK not in content:
            raise InstallationError(
                f"{LAUNCHER} is there and not from this collection: remove it, or use "
                "method=package with command if it is the agent"
            )

    # Making

    def add_user(self) -> None:
        """Make the system user and group that the agent runs as."""
        group = ["--gid", GROUP] if _group_exists() else ["--user-group"]
        options = ["--system", "--no-create-home", "--home-dir", "/nonexistent"]
        options += ["--shell", "/usr/sbin/nologin", "--comment", USER_COMMENT]
        self._must(["useradd", *options, *group, USER])

    def unpack(self, bundle: str, release: str, python: str) -> None:
        """Unpack a bundle as a release, and see that it runs before anything refers to it."""
        LIBRARY.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{release}.", dir=str(LIBRARY)))
        try:
            with zipfile.ZipFile(bundle) as archive:
                archive.extractall(str(part))
            for path in [part, *part.rglob("*")]:
                path.chmod(0o755 if path.is_dir() else 0o644)
            # The agent may not write there, and would read every source again at every start.
            compiler = [python, "-I", "-m", "compileall", "-q"]
            self._must([*compiler, "--invalidation-mode", "unchecked-hash", str(part)])
            self._must([python, "-I", str(part), "--version"])
            part.rename(LIBRARY / release)
        except (OSError, zipfile.BadZipFile) as error:
            raise InstallationError(f"bundle: cannot unpack it as {release}: {error}") from error
        finally:
            shutil.rmtree(str(part), ignore_errors=True)

    def write(self, present: Present) -> None:
        """Make the files, the current release and the start at boot as they are to be."""
        if not present.enabled and (UNITS / UNIT_NAME).exists():
            self._must(["systemctl", "--quiet", "disable", UNIT_NAME])
        for path, content in present.files.items():
            _write(Path(path), content, 0o755 if Path(path) == LAUNCHER else 0o644)
        _link(present.release)
        self._must(["systemctl", "daemon-reload"])
        if present.enabled:
            self._must(["systemctl", "--quiet", "enable", UNIT_NAME])

    def start(self) -> None:
        """Start or restart the agent; it is ready when this returns.

        Raises:
            InstallationError: It does not become ready; its last words are in the message.
        """
        self._run(["systemctl", "reset-failed", UNIT_NAME])
        status, _output, complaint = self._run(["systemctl", "restart", UNIT_NAME])
        if status != 0:
            self._run(["systemctl", "stop", UNIT_NAME])
            raise InstallationError(f"the agent does not start: {self.last_words() or complaint}")

    def last_words(self) -> str:
        """Return the last lines that the agent logged itself."""
        journal = ["journalctl", "--unit", UNIT_NAME, "--no-pager", "--output", "cat"]
        _status, output, _complaint = self._run([*journal, "--lines", "20", "_COMM=python3"])
        if not output.strip():
            _status, output, _complaint = self._run([*journal, "--lines", "6"])
        return "\n".join(output.strip().splitlines()[-6:])

    def remove_release(self, release: str) -> None:
        """Remove a release that is not current."""
        shutil.rmtree(str(LIBRARY / release), ignore_errors=True)

    def prune(self, keep: int) -> None:
        """Remove all releases but the current one and the ``keep`` newest others."""
        if not LIBRARY.is_dir():
            return
        current = self.release()
        others = [
            path
            for path in LIBRARY.iterdir()
            if path.is_dir() and path.name not in {current, CURRENT.name}
        ]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[keep:]:
            shutil.rmtree(str(path), ignore_errors=True)
        if current is None:
            shutil.rmtree(str(LIBRARY), ignore_errors=True)

    # Taking back

    def exists(self) -> bool:
        """Return whether anything of the agent is there."""
        paths = [LIBRARY, LAUNCHER, UNITS / UNIT_NAME, UNITS / RESOLVER_SOCKET, STATE, RUNTIME]
        return any(os.path.lexists(str(path)) for path in paths) or _user_is_ours()

    def remove(self) -> None:
        """Stop the agent and remove all that is its own; tunnels must have been taken down."""
        if (UNITS / UNIT_NAME).exists():
            self._must(["systemctl", "--quiet", "disable", "--now", UNIT_NAME])
            # Processes whose proxied connections have not ended.
            self._run(["systemctl", "kill", "--signal=SIGKILL", UNIT_NAME])
        if (UNITS / RESOLVER_SOCKET).exists():
            self._must(["systemctl", "--quiet", "stop", RESOLVER_SOCKET])
        for path in UNITS.glob("v6ferry*"):
            if _MARK in (_read(path) or ""):
                path.unlink()
        self._run(["systemctl", "daemon-reload"])
        self._run(["systemctl", "reset-failed", UNIT_NAME])
        if _MARK in (_read(LAUNCHER) or ""):
            LAUNCHER.unlink()
        for directory in (LIBRARY, STATE, RUNTIME):
            shutil.rmtree(str(directory), ignore_errors=True)
        if _user_is_ours():
            self._must(["userdel", USER])
            if _group_exists() and not grp.getgrnam(GROUP).gr_mem:
                self._must(["groupdel", GROUP])

    def _must(self, command: list[str]) -> None:
        status, output, complaint = self._run(command)
        if status != 0:
            reason = (complaint.strip() or output.strip() or f"status {status}").splitlines()[-1]
            raise InstallationError(f"{' '.join(command)}: {reason}")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _write(path: Path, content: str | None, mode: int) -> None:
    """Replace a file in one step; None removes it."""
    if content is None:
        if path.exists():
            path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(content, encoding="utf-8")
    part.chmod(mode)
    part.replace(path)


def _link(release: str | None) -> None:
    """Switch to another release in one step; None for none."""
    if release is None:
        if CURRENT.is_symlink():
            CURRENT.unlink()
        return
    part = LIBRARY / ".current.part"
    if part.is_symlink():
        part.unlink()
    part.symlink_to(release)
    part.replace(CURRENT)


def _user_exists() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


def _user_is_ours() -> bool:
    try:
        return pwd.getpwnam(USER).pw_gecos == USER_COMMENT
    except KeyError:
        return False


def _group_exists() -> bool:
    try:
        grp.getgrnam(GROUP)
    except KeyError:
        return False
    return True

# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters, and a ledger that gives them back as they were.

A name is written as sysctl(8) takes it: its first separator counts, so an interface name with
dots is spelled ``net/ipv6/conf/eth0.100/accept_ra``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v6ferry.system.errors import NO_IPV6, SystemFault, refused
from v6ferry.system.files import replace_file

PROC_SYS = Path("/proc/sys")

_INTERFACES = "net/ipv6/conf"


def read_sysctl(name: str, *, root: Path = PROC_SYS) -> str:
    """Return a kernel parameter.

    Raises:
        SystemFault: There is none of this name, or it may not be read.
    """
    try:
        return _path(name, root).read_text("ascii").strip()
    except OSError as error:
        raise _fault(f"read the kernel parameter {name}", name, root, error) from error


def write_sysctl(name: str, value: str, *, root: Path = PROC_SYS) -> None:
    """Set a kernel parameter.

    Raises:
        SystemFault: There is none of this name, it may not be written, or the kernel refuses the
            value.
    """
    try:
        # Opened without O_CREAT, so that a mistyped root does not get files.
        descriptor = os.open(_path(name, root), os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
        try:
            os.write(descriptor, f"{value}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        doing = f"set the kernel parameter {name} to {value}"
        raise _fault(doing, name, root, error) from error


@dataclass(slots=True)
class _Entry:
    original: str
    applied: str
    wishes: dict[str, str] = field(default_factory=dict)
    """What each owner wants, in the order in which they came."""


class SysctlLedger:
    """Sets kernel parameters for owners and restores them when the last owner goes.

    The ledger is a JSON file, written before each change, so a crash loses no original value. It
    belongs under /run: a reboot resets the parameters, and must forget the ledger with them.
    """

    def __init__(self, path: Path, *, root: Path = PROC_SYS) -> None:
        self._path = path
        self._root = root

    @property
    def root(self) -> Path:
        """Where the kernel parameters are."""
        return self._root

    def set(self, owner: str, name: str, value: str, *, dry_run: bool = False) -> list[str]:
        """Set a kernel parameter on behalf of an owner; the latest wish of several wins.

        Args:
            owner: Who wants it, such as "isatap_router/isatap0".
            name: The parameter.
            value: What it should be.
            dry_run: Only say what would be done.

        Returns:
            One line if the parameter changes.

        Raises:
            SystemFault: The kernel or the ledger's file refuses.
        """
        name = _canonical(name)
        current = read_sysctl(name, root=self._root)
        if not dry_run:
            entries = self._load()
            entry = entries.setdefault(name, _Entry(original=current, applied=value))
            if entry.applied != value or entry.wishes.get(owner) != value:
                entry.applied = value
                entry.wishes.pop(owner, None)  # to the end: the latest wish
                entry.wishes[owner] = value
                self._store(entries)
            if current != value:
                write_sysctl(name, value, root=self._root)
        return [] if current == value else [f"set {name} to {value} (it was {current})"]

    def holds(self, name: str) -> bool:
        """Return whether some owner has set a kernel parameter."""
        return _canonical(name) in self._load()

    def release(
        self, owner: str, *, keep: Collection[str] = (), dry_run: bool = False
    ) -> list[str]:
        """Withdraw what an owner set, the latest first.

        A parameter goes back to the wish of the latest owner that is left, or to its original
        value. One that somebody else changed meanwhile is left alone.

        Args:
            owner: Whose wishes to forget.
            keep: Parameters that it still wants.
            dry_run: Only say what would be done.

        Returns:
            One line for each parameter that changes, or that is left alone.

        Raises:
            SystemFault: The kernel or the ledger's file refuses; what is not yet restored stays
                in the ledger.
        """
        entries = self._load()
        kept = {_canonical(name) for name in keep}
        concerned = [
            name
            for name, entry in reversed(entries.items())
            if owner in entry.wishes and name not in kept
        ]
        # All are read before the first is written: conf/all/forwarding changes the others.
        found = {name: self._read_if_there(name) for name in concerned}
        lines: list[str] = []
        for name in concerned:
            entry = entries[name]
            del entry.wishes[owner]
            target = next(reversed(entry.wishes.values()), entry.original)
            line = self._give_back(name, entry.applied, target, found[name], dry_run=dry_run)
            lines.extend([line] if line else [])
            entry.applied = target
            if not entry.wishes:
                del entries[name]
            if not dry_run:
                self._store(entries)
        return lines

    def _give_back(
        self, name: str, applied: str, target: str, found: str | None, *, dry_run: bool
    ) -> str | None:
        if found is None:
            return None  # its interface has gone, and with it the parameter
        if found not in (applied, target):
            return f"left {name} at {found}: somebody changed it since it was set to {applied}"
        if not dry_run and self._read_if_there(name) not in (None, target):
            write_sysctl(name, target, root=self._root)
        return f"set {name} to {target} (it was {found})" if found != target else None

    def _read_if_there(self, name: str) -> str | None:
        return read_sysctl(name, root=self._root) if _path(name, self._root).exists() else None

    def _load(self) -> dict[str, _Entry]:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._broken(error) from error
        try:
            return {name: _entry(stored) for name, stored in json.loads(text).items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> SystemFault:
        return SystemFault(
            f"the ledger of kernel parameters {self._path} cannot be read ({error}): mend it, or"
            " delete it, which forgets the parameters' original values"
        )

    def _store(self, entries: dict[str, _Entry]) -> None:
        document = {
            name: {"original": entry.original, "applied": entry.applied, "owners": entry.wishes}
            for name, entry in entries.items()
        }
        try:
            if not entries:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, (json.dumps(document, indent=2) + "\n").encode())
        except OSError as error:
            doing = f"write the ledger of kernel parameters {self._path}"
            raise refused(doing, error.errno or errno.EIO) from error


def enable_ipv6_forwarding(ledger: SysctlLedger, owner: str, *, dry_run: bool = False) -> list[str]:
    """Make the host forward IPv6 packets, without cutting it off from its own router.

    A kernel that forwards stops hearing router advertisements (RFC 4861 section 6.2.1) and drops
    the default routes it has from them, unless accept_ra is 2; so that comes first, on every
    interface that relies on them. ``ledger.release(owner)`` takes all of it back.

    Args:
        ledger: Where the original values are kept.
        owner: On whose behalf.
        dry_run: Only say what would be done.

    Returns:
        One line for each parameter that changes.

    Raises:
        SystemFault: No IPv6 in the kernel, or no permission.
    """
    folder = ledger.root / _INTERFACES
    if not folder.exists():
        raise SystemFault(NO_IPV6.format(root=ledger.root))
    names = sorted(entry.name for entry in folder.iterdir() if entry.name not in ("all", "lo"))
    lines: list[str] = []
    for name in names:
        accept = f"{_INTERFACES}/{name}/accept_ra"
        # One that another owner raised to 2 is wanted by this owner too, and must outlast that.
        if _is(accept, "1", ledger.root) or (
            _is(accept, "2", ledger.root) and ledger.holds(accept)
        ):
            lines += ledger.set(owner, accept, "2", dry_run=dry_run)
    everywhere = f"{_INTERFACES}/all/forwarding"
    was_off = read_sysctl(everywhere, root=ledger.root) != "1"
    for name in names:
        # all/forwarding overwrites the interfaces' own values, now and when it is taken back:
        # an interface that forwards already is noted first, to be restored after.
        forwarding = f"{_INTERFACES}/{name}/forwarding"
        if _is(forwarding, "1", ledger.root) and (was_off or ledger.holds(forwarding)):
            lines += ledger.set(owner, forwarding, "1", dry_run=dry_run)
    return lines + ledger.set(owner, everywhere, "1", dry_run=dry_run)


def _is(name: str, value: str, root: Path) -> bool:
    """Compare a parameter of an interface, which may vanish at any time."""
    return _path(name, root).exists() and read_sysctl(name, root=root) == value


def _canonical(name: str) -> str:
    separators = [character for character in name if character in "./"]
    return name.replace(".", "/") if separators[:1] == ["."] else name


def _path(name: str, root: Path) -> Path:
    return root / _canonical(name)


def _entry(stored: Any) -> _Entry:
    owners = {str(owner): str(value) for owner, value in stored["owners"].items()}
    return _Entry(str(stored["original"]), str(stored["applied"]), owners)


def _fault(doing: str, name: str, root: Path, error: OSError) -> SystemFault:
    if isinstance(error, FileNotFoundError):
        if _canonical(name).startswith("net/ipv6/") and not (root / "net/ipv6").exists():
            return SystemFault(NO_IPV6.format(root=root))
        if _canonical(name).startswith(f"{_INTERFACES}/"):
            return refused(doing, errno.ENODEV)
        return SystemFault(f"cannot {doing}: this kernel has no such parameter")
    return refused(doing, error.errno or errno.EIO)

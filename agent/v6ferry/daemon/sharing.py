# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares the host's IPv4 with the hosts behind it, on behalf of resources that want that.

As with tunnel interfaces: masquerading and forwarding stay when the agent stops, and go with the
resource.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from collections.abc import Callable, Collection
from pathlib import Path

from v6ferry.system.dhcp_server import DhcpServer
from v6ferry.system.errors import refused
from v6ferry.system.files import replace_file
from v6ferry.system.masquerade import (
    TableEvents,
    apply_masquerading,
    remove_masquerading,
)
from v6ferry.system.state import Ipv4Sharing, Masquerading
from v6ferry.system.sysctl import SysctlLedger

_FORWARDING = "net/ipv4/conf/{}/forwarding"


class SharingKeeper:
    """Makes the host share its IPv4, and keeps it so.

    Args:
        ledger: of kernel parameters.
        runtime: directory of what a reboot undoes.
        state: directory of what survives one.
    """

    def __init__(self, ledger: SysctlLedger, runtime: Path, state: Path) -> None:
        self._ledger = ledger
        self._owners_file = runtime / "sharing.json"
        self._runtime, self._state = runtime, state
        self._servers: dict[str, DhcpServer] = {}
        self._tell: dict[str, Callable[[], None]] = {}
        self._events: TableEvents | None = None

    async def apply(
        self, owner: str, wanted: Ipv4Sharing, changed: Callable[[], None]
    ) -> list[str]:
        """Do this for an owner, and nothing else.

        Args:
            owner: the resource.
            wanted: what it wants.
            changed: is called when somebody may have undone it.

        Returns:
            One line for each change.

        Raises:
            SystemFault: a program is missing, or the host refuses.
        """
        if wanted == Ipv4Sharing():
            return await self.release(owner)
        owners, masquerades = self._owners(), wanted.masquerading is not None
        # Noted before anything is done, so that a crash leaves nothing whose owner nobody knows.
        if masquerades or owner not in owners:
            self._store({**owners, owner: masquerades})
        lines: list[str] = []
        if wanted.masquerading is not None:
            self._tell[owner] = changed
            lines += await self._share(owner, wanted.masquerading)
        elif owners.get(owner):
            lines += await self._share_no_more(owner)
            self._store({**owners, owner: False})
        server = self._server(owner)
        if wanted.dhcp is None:
            lines += await server.remove()
        else:
            lines += await server.serve(wanted.dhcp)
        return lines

    async def release(self, owner: str) -> list[str]:
        """Take back all that was done for an owner.

        Returns:
            One line for each change.

        Raises:
            SystemFault: the host refuses.
        """
        owners = self._owners()
        if owner not in owners:
            return []
        lines = await self._server(owner).remove()
        del self._servers[owner]
        if owners[owner]:
            lines += await self._share_no_more(owner)
        self._store({one: masquerades for one, masquerades in owners.items() if one != owner})
        return lines

    async def release_others(self, wanted: Collection[str]) -> list[str]:
        """Take back what an earlier agent did for owners that are no more."""
        lines: list[str] = []
        for owner in sorted(self._owners().keys() - set(wanted)):
            lines += [f"{owner}: {line}" for line in await self.release(owner)]
        return lines

    def problem(self, owner: str) -> str | None:
        """What does not work for an owner at the moment."""
        server = self._servers.get(owner)
        return None if server is None else server.problem

    async def stop(self) -> None:
        """End what cannot run without the agent."""
        if self._events is not None:
            self._events.close()
            self._events = None
        for server in self._servers.values():
            await server.stop()

    # Masquerading

    async def _share(self, owner: str, wanted: Masquerading) -> list[str]:
        if self._events is None:
            self._events = TableEvents(asyncio.get_running_loop(), self._changed)
        lines = await apply_masquerading(owner, wanted)
        # Of these interfaces alone: the host becomes no router between any others.
        names = [
            _FORWARDING.format(name)
            for name in (*wanted.private_interfaces, *wanted.public_interfaces)
        ]
        there = [name for name in names if (self._ledger.root / name).exists()]
        lines += self._ledger.release(_ledger_owner(owner), keep=there)
        for name in there:
            lines += self._ledger.set(_ledger_owner(owner), name, "1")
        return lines

    async def _share_no_more(self, owner: str) -> list[str]:
        # The table last: without it, packets with private sources must not be forwarded.
        lines = self._ledger.release(_ledger_owner(owner))
        self._tell.pop(owner, None)
        return [*lines, *await remove_masquerading(owner)]

    def _changed(self) -> None:
        for tell in list(self._tell.values()):
            tell()

    # DHCP

    def _server(self, owner: str) -> DhcpServer:
        server = self._servers.get(owner)
        if server is None:
            server = self._servers[owner] = DhcpServer(owner, self._runtime, self._state)
        return server

    # Whose traces there are

    def _owners(self) -> dict[str, bool]:
        """Whether there may be a table of an owner's, by owner."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stored = json.loads(self._owners_file.read_text("utf-8"))
            return {str(owner): bool(masquerades) for owner, masquerades in stored.items()}
        return {}

    def _store(self, owners: dict[str, bool]) -> None:
        if owners == self._owners():
            return
        try:
            if not owners:
                self._owners_file.unlink(missing_ok=True)
                return
            content = json.dumps(owners, indent=2, sort_keys=True) + "\n"
            replace_file(self._owners_file, content.encode())
        except OSError as error:
            doing = f"write {self._owners_file}"
            raise refused(doing, error.errno or errno.EIO) from error


def _ledger_owner(owner: str) -> str:
    """In the ledger of kernel parameters, apart from those of the resource's tunnel."""
    return f"{owner} (IPv4 sharing)"

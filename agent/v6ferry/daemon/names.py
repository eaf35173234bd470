# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps names resolved for the engines that ask for them (RFC 5214 section 8.3.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import NamedTuple

from v6ferry.naming.resolve import NameNotFound, Resolver

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""Seconds between attempts for a name that nobody knows: doubled from the first to the last."""
SHORTEST_REFRESH = 30.0
"""Seconds; a smaller TTL does not make us ask more often."""


Tell = Callable[[str, tuple[IPv4Address, ...]], None]
"""Hears a name and its addresses after every lookup; none if it has none."""


class _Wish(NamedTuple):
    refresh: float
    tell: Tell


@dataclass(slots=True)
class _Name:
    owners: dict[str, _Wish] = field(default_factory=dict)
    addresses: tuple[IPv4Address, ...] = ()
    source: str | None = None
    error: str | None = None
    retry: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class NameKeeper:
    """Looks names up, again when they may have changed, and tells what came of it.

    Args:
        resolver: finds the addresses.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._names: dict[str, _Name] = {}

    def want(self, owner: str, names: frozenset[str], refresh: float, tell: Tell) -> None:
        """Keep exactly these names resolved for ``owner``.

        Args:
            owner: the resource that wants them.
            names: all that it wants now.
            refresh: seconds after which each is looked up again.
            tell: who hears of them; never before this method returns.
        """
        for text in names:
            name = self._names.setdefault(text, _Name())
            is_new_owner = owner not in name.owners
            name.owners[owner] = _Wish(refresh, tell)
            if name.task is None:
                name.task = asyncio.create_task(self._keep(text, name), name=f"resolve {text}")
            elif is_new_owner and name.addresses:
                asyncio.get_running_loop().call_soon(tell, text, name.addresses)
        self._let_go(owner, keep=names)

    def forget(self, owner: str) -> None:
        """``owner`` wants no name any more."""
        self._let_go(owner, keep=frozenset())

    def _let_go(self, owner: str, keep: frozenset[str]) -> None:
        for text, name in list(self._names.items()):
            if owner in name.owners and text not in keep:
                del name.owners[owner]
                if not name.owners:
                    del self._names[text]
                    if name.task is not None:
                        name.task.cancel()

    def retry(self) -> None:
        """The network has changed: look up at once what has not been found so far."""
        for name in self._names.values():
            if name.error is not None:
                name.retry.set()

    def errors(self, owner: str) -> dict[str, str]:
        """Why names of ``owner`` have no address, or only an old one."""
        return {
            text: name.error
            for text, name in sorted(self._names.items())
            if owner in name.owners and name.error is not None
        }

    def sources(self, owner: str) -> dict[str, str]:
        """Who knew each name of ``owner``."""
        return {
            text: name.source
            for text, name in sorted(self._names.items())
            if owner in name.owners and name.source is not None
        }

    async def close(self) -> None:
        """Stop all lookups."""
        tasks = [name.task for name in self._names.values() if name.task is not None]
        self._names.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, text: str, name: _Name) -> None:
        wait = FIRST_RETRY
        while True:
            name.retry.clear()
            try:
                resolution = await self._resolver.resolve(text)
            except NameNotFound as error:
                name.error = str(error)
                name.addresses = ()
                self._tell(text, name)
                pause, wait = wait, min(wait * 2, LAST_RETRY)
            else:
                name.addresses, name.source = resolution.addresses, resolution.source
                name.error = None
                self._tell(text, name)
                wait = FIRST_RETRY
                pause = min((wish.refresh for wish in name.owners.values()), default=LAST_RETRY)
                if resolution.ttl is not None:
                    pause = min(pause, max(resolution.ttl, SHORTEST_REFRESH))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(name.retry.wait(), pause)

    @staticmethod
    def _tell(text: str, name: _Name) -> None:
        for wish in list(name.owners.values()):
            wish.tell(text, name.addresses)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several addresses is tried when (RFC 8305), without sockets and without a clock.

``Race`` says which attempts to begin; its driver tells it what became of them. The first that is
made wins, and the driver closes the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried while one is silent (RFC 8305 section 5)."""

Address = TypeVar("Address", bound=Hashable)


def interleave(first: Sequence[Address], second: Sequence[Address], lead: int = 1) -> list[Address]:
    """Mix the addresses of two families (RFC 8305 section 4).

    Args:
        first: those of the family that is preferred, in their order.
        second: those of the other.
        lead: so many of the first come before one of the second.
    """
    mixed = list(first[:lead])
    one, other = list(first[lead:]), list(second)
    while one or other:
        if other:
            mixed.append(other.pop(0))
        if one:
            mixed.append(one.pop(0))
    return mixed


class Race(Generic[Address]):
    """Attempts to connect to one of several addresses.

    Args:
        addresses: in the order to be tried, at least one.
        now: seconds on the driver's clock.
        timeout: seconds after which an attempt without an answer has failed.
        delay: seconds before the next one begins.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        now: float,
        timeout: float,
        delay: float = ATTEMPT_DELAY,
    ) -> None:
        self._waiting = list(addresses)
        self._running: dict[Address, float] = {}
        self._timeout = timeout
        self._delay = delay
        self._next = now
        self._winner: Address | None = None

    @property
    def winner(self) -> Address | None:
        """The address that was reached."""
        return self._winner

    def to_begin(self, now: float) -> list[Address]:
        """Attempts to begin now; each is returned once."""
        begun: list[Address] = []
        while self._winner is None and self._waiting and self._next <= now:
            address = self._waiting.pop(0)
            self._running[address] = now + self._timeout
            self._next = now + self._delay
            begun.append(address)
        return begun

    def to_give_up(self, now: float) -> list[Address]:
        """Attempts to close now, for they have had their time; each is returned once."""
        silent = [address for address, end in self._running.items() if end <= now]
        for address in silent:
            self.failed(address, now)
        return silent

    def connected(self, address: Address) -> list[Address]:
        """An attempt has succeeded; returns the others, which are to be closed."""
        losers = [one for one in self._running if one != address]
        self._winner = address
        self._running.clear()
        self._waiting.clear()
        return losers

    def failed(self, address: Address, now: float) -> None:
        """An attempt has failed: the next need not wait (RFC 8305 section 5)."""
        self._running.pop(address, None)
        self._next = min(self._next, now)

    def is_lost(self) -> bool:
        """Whether no address is left to hope for."""
        return self._winner is None and not self._waiting and not self._running

    def next_deadline(self) -> float | None:
        """When to ask again what to begin and what to give up, if at all."""
        if self._winner is not None:
            return None
        times = list(self._running.values())
        if self._waiting:
            times.append(self._next)
        return min(times, default=None)

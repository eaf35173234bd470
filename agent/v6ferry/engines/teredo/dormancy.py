# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that asks no server until somebody has something to send, as that of Windows Vista.

Its interface has the address of last time, or else a link-local one, and the routes: so the first
packet comes here. If the client then has the address that the packet comes from, it is sent;
otherwise its sender hears that the far end is unreachable, and has a better source at once.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from math import inf

from v6ferry.engines.teredo.peers import QUEUE_LENGTH

PATIENCE = 10.0
"""Seconds that packets wait for an address."""
SETTLING = 0.2
"""Seconds from a new address until senders that have another one hear so: they try again at once,
and the kernel should have it by then."""


class Dormancy:
    """Knows when to sleep, and keeps what waits for waking up.

    Args:
        after: seconds without use until the client is dormant; 0 for never.
        random_bits: 64 of them, for an address.
    """

    def __init__(self, after: float, random_bits: int) -> None:
        self._after = after
        self.is_dormant = after > 0
        self.address = IPv6Address(0xFE80 << 112 | random_bits & ~(1 << 57))
        """What packets come from while there is no Teredo address."""
        self.former: IPv6Address | None = None
        """The one before, while somebody is to hear there that it does not do any more."""
        self._last_use = -inf
        self._waiting: list[bytes] = []
        self._due = inf

    @property
    def is_wanted(self) -> bool:
        """Whether the client is ever dormant."""
        return self._after > 0

    def set_after(self, after: float, now: float) -> None:
        """Have another setting."""
        if after != self._after:
            self._after, self._last_use = after, now
            self.is_dormant = self.is_dormant and after > 0

    def wake(self, now: float) -> None:
        """Be awake, as a predecessor was."""
        self.is_dormant, self._last_use = False, now

    def use(self, now: float) -> None:
        """Something was sent or has arrived."""
        self._last_use = now

    def keep(self, packet: bytes, now: float) -> bool:
        """Keep a packet until there is an address; return whether it wakes the client up."""
        self._last_use = now
        self._waiting.append(packet)
        del self._waiting[:-QUEUE_LENGTH]
        self._due = min(self._due, now + PATIENCE)
        woken, self.is_dormant = self.is_dormant, False
        return woken

    def settled(self, address: IPv6Address, now: float) -> list[bytes]:
        """The client has an address: return the packets that come from it."""
        ours = [one for one in self._waiting if one[8:24] == address.packed]
        self._waiting = [one for one in self._waiting if one[8:24] != address.packed]
        if address != self.address:
            self.former = self.address if self._waiting else None
            self.address = address
            self._due = now + SETTLING
        if not self._waiting:
            self._due = inf
        return ours

    def refused(self, now: float) -> list[bytes]:
        """Return packets that are not going to be sent; each is returned once."""
        if now < self._due:
            return []
        taken, self._waiting, self._due, self.former = self._waiting, [], inf, None
        return taken

    def falls_asleep(self, now: float) -> bool:
        """Whether the client becomes dormant now, as it was not used for long enough."""
        if self.is_dormant or not self.is_wanted or now < self._last_use + self._after:
            return False
        self.is_dormant = True
        return True

    def next_deadline(self) -> float | None:
        """When ``falls_asleep`` or ``refused`` is to be asked."""
        asleep = inf if self.is_dormant or not self.is_wanted else self._last_use + self._after
        first = min(self._due, asleep)
        return None if first == inf else first

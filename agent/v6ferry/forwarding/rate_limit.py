# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit to what one address is sent, in memory that does not grow with the addresses."""

from __future__ import annotations

from array import array
from ipaddress import IPv4Address

SLOTS = 4096
BURST = 2.0
"""Seconds' worth of datagrams that may go at once."""


class RateLimit:
    """Token buckets, one for all addresses that fall into the same slot.

    Args:
        rate: datagrams a second to an address; 0 sets no limit.
        secret: 64 random bits that say which addresses share a slot, so that nobody can aim at
            another's.
        slots: how many there are, of 16 octets each.
    """

    def __init__(self, rate: int, secret: int, slots: int = SLOTS) -> None:
        self.rate = rate
        self._factor = secret | 1
        self._tokens = array("d", [rate * BURST]) * slots
        self._times = array("d", [0.0]) * slots

    def allows(self, address: IPv4Address, now: float) -> bool:
        """Whether a datagram may be sent to ``address`` now; it is counted as sent then."""
        if not self.rate:
            return True
        slot = (int(address) * self._factor >> 40) % len(self._times)
        tokens = self._tokens[slot] + (now - self._times[slot]) * self.rate
        tokens = min(tokens, self.rate * BURST)
        self._times[slot] = now
        self._tokens[slot] = max(tokens - 1, 0.0) if tokens >= 1 else tokens
        return tokens >= 1

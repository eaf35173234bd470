# SPDX-License-Identifier: GPL-3.0-or-later
"""The border relays of a customer edge: which of them are alive, and which one is used.

Nobody answers neighbor solicitations on a 6rd link. But a packet to ourselves that a border relay
is given comes back, for that is what forwarding is (RFC 5969 section 8). So a relay in use that has
gone quiet is given such a packet; one that keeps silent leaves its place to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

MOST_PROBES = 3
"""Probes without an answer after which a relay counts as silent (RFC 4861: MAX_UNICAST_SOLICIT)."""
PROBE_TIMEOUT = 1.0
"""Seconds between them (RFC 4861: RETRANS_TIMER)."""
SILENT_INTERVAL = 6
"""A silent relay is tried again after so many reachability intervals."""

State = Literal["unknown", "reachable", "silent"]


@dataclass(slots=True)
class Relay:
    """A border relay."""

    address: IPv4Address
    name: str
    """What the user wrote."""
    state: State = "unknown"
    probes: int = 0
    """Probes since it was last heard."""
    next_probe: float = math.inf


class Relays:
    """All border relays, the most preferred first.

    Args:
        interval: seconds between looks at a relay in use.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._relays: dict[IPv4Address, Relay] = {}

    def __iter__(self) -> Iterator[Relay]:
        return iter(self._relays.values())

    def __len__(self) -> int:
        return len(self._relays)

    def addresses(self) -> tuple[IPv4Address, ...]:
        """Their addresses, the most preferred first."""
        return tuple(self._relays)

    def set_members(self, members: Iterable[tuple[IPv4Address, str]], now: float) -> None:
        """These are the border relays now, the most preferred first; new ones are tried at once."""
        known = self._relays
        self._relays = {
            address: known.get(address) or Relay(address, name, next_probe=now)
            for address, name in members
        }

    def in_use(self) -> Relay | None:
        """The first one that is not silent; if all are, the first."""
        relays = list(self._relays.values())
        alive = [one for one in relays if one.state != "silent"]
        # One that was never heard of is no better than one that is known to forward, or hosts
        # would lose what they have while it is found out.
        proven = [one for one in alive if one.state == "reachable"]
        return next(iter(proven or alive or relays), None)

    def heard(self, address: IPv4Address, now: float) -> None:
        """A probe has come back from a relay."""
        relay = self._relays.get(address)
        if relay is not None:
            relay.state, relay.probes = "reachable", 0
            relay.next_probe = now + self.interval * SILENT_INTERVAL

    def in_two_way_use(self, now: float) -> None:
        """The relay in use carries traffic both ways."""
        relay = self.in_use()
        if relay is not None:
            relay.state, relay.probes = "reachable", 0
            relay.next_probe = now + self.interval * SILENT_INTERVAL

    def in_one_way_use(self, now: float) -> None:
        """Packets went to the relay in use, and nothing has come back."""
        relay = self.in_use()
        if relay is not None and not relay.probes:
            relay.next_probe = min(relay.next_probe, now)

    def restart(self, now: float) -> None:
        """The way to the relays has changed: look at all of them anew."""
        for relay in self._relays.values():
            relay.state, relay.probes, relay.next_probe = "unknown", 0, now

    def due(self, now: float) -> list[Relay]:
        """The relays to be probed now; each call counts as a probe."""
        found: list[Relay] = []
        for relay in self._relays.values():
            if relay.next_probe > now:
                continue
            if relay.probes >= MOST_PROBES:
                relay.state = "silent"
            relay.probes += 1
            quick = relay.state != "silent"
            pause = PROBE_TIMEOUT if quick else self.interval * SILENT_INTERVAL
            relay.next_probe = now + pause
            found.append(relay)
        return found

    def next_deadline(self) -> float:
        """When ``due`` has something; infinity for never."""
        return min((one.next_probe for one in self._relays.values()), default=math.inf)

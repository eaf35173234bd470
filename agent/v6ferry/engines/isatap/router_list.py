# SPDX-License-Identifier: GPL-3.0-or-later
"""The potential router list (PRL): when to solicit, who answers, which router to use.

Sources: RFC 5214 section 8.3, RFC 4861 sections 6.3.6, 6.3.7 and 7.3, RFC 7559 (back-off).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from random import Random

from v6ferry.addresses.isatap import isatap_link_local
from v6ferry.wire.neighbor_discovery import RouterAdvertisement, RouterPreference

# RFC 4861 section 10, seconds.
MAX_RTR_SOLICITATION_DELAY = 1.0
RTR_SOLICITATION_INTERVAL = 4.0
MAX_RTR_SOLICITATIONS = 3
RETRANS_TIMER = 1.0
MAX_UNICAST_SOLICIT = 3

RECOVERY_INTERVAL = 10.0
"""A router that has fallen silent is asked at least so often while its lifetimes last."""

SHORTEST_REFRESHED_LIFETIME = 20.0
"""Lifetimes below this do not hurry the next solicitation: a router that advertises them is
letting go, and following it would flood it (the RFC 5214 minimum then holds)."""


class Reachability(Enum):
    """What neighbor unreachability detection says of a router."""

    UNKNOWN = "unknown"
    REACHABLE = "reachable"
    PROBING = "probing"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Solicit:
    """Send a router solicitation to an entry."""

    entry: RouterEntry


@dataclass(frozen=True, slots=True)
class Probe:
    """Send a neighbor solicitation to an entry."""

    entry: RouterEntry


@dataclass(slots=True, eq=False)
class RouterEntry:
    """One router of the potential router list."""

    endpoint: IPv4Address
    name: str
    """As the user gave it: an address or the name that led to it."""
    order: int
    """Position in the list; the first is preferred among equals."""
    link_local: IPv6Address
    default_until: float = 0.0
    preference: RouterPreference = RouterPreference.MEDIUM
    mtu: int | None = None
    retransmit: float = RETRANS_TIMER
    advertised_at: float | None = None
    solicit_at: float = math.inf
    solicitations: int = 0
    """Solicitations since the last answer."""
    solicitation_wait: float = 0.0
    reachability: Reachability = Reachability.UNKNOWN
    confirmed_at: float = -math.inf
    probes: int = 0
    check_at: float = math.inf
    used: bool = False
    """Whether packets went through it since the last check."""

    @property
    def advertised(self) -> bool:
        """Whether it has ever advertised itself."""
        return self.advertised_at is not None

    def is_default(self, now: float) -> bool:
        """Whether it may be used as default router."""
        return self.default_until > now


class RouterList:
    """All routers that may advertise on the link, and when to talk to each.

    Args:
        random: for delays that keep hosts from acting in step.
        solicitation_interval: MinRouterSolicitInterval, seconds.
        reachability_interval: seconds between checks of a router in use.
    """

    def __init__(
        self, random: Random, solicitation_interval: float, reachability_interval: float
    ) -> None:
        self._random = random
        self.solicitation_interval = solicitation_interval
        self.reachability_interval = reachability_interval
        self._entries: dict[IPv4Address, RouterEntry] = {}

    def __iter__(self) -> Iterator[RouterEntry]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.order))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, endpoint: IPv4Address) -> RouterEntry | None:
        """The entry of ``endpoint``, if it is in the list."""
        return self._entries.get(endpoint)

    def endpoints(self) -> frozenset[IPv4Address]:
        """The members."""
        return frozenset(self._entries)

    def set_members(self, members: Iterable[tuple[IPv4Address, str]], now: float) -> None:
        """Make ``members`` (endpoint, name) the list; who stays keeps what is known of it."""
        entries: dict[IPv4Address, RouterEntry] = {}
        for order, (endpoint, name) in enumerate(members):
            entry = self._entries.get(endpoint)
            if entry is None:
                entry = RouterEntry(endpoint, name, order, isatap_link_local(endpoint))
                self._start_soliciting(entry, now, MAX_RTR_SOLICITATION_DELAY)
            entry.name, entry.order = name, order
            entries[endpoint] = entry
        self._entries = entries

    def solicit_all(self, now: float) -> None:
        """The host's own addresses have changed: ask every router at once."""
        for entry in self._entries.values():
            self._start_soliciting(entry, now, 0.0)

    def _start_soliciting(self, entry: RouterEntry, now: float, delay: float) -> None:
        entry.solicitations = 0
        entry.solicitation_wait = 0.0
        entry.solicit_at = now + self._random.uniform(0.0, delay)

    def advertisement(
        self,
        entry: RouterEntry,
        link_local: IPv6Address,
        message: RouterAdvertisement,
        shortest_lifetime: float,
        now: float,
    ) -> None:
        """Note a router advertisement and plan the refresh (RFC 5214 section 8.3.4).

        Args:
            entry: who sent it.
            link_local: its source address.
            message: what it says.
            shortest_lifetime: the least of the lifetimes in it that should not lapse, seconds.
            now: the time.
        """
        entry.link_local = link_local
        entry.advertised_at = now
        entry.default_until = now + message.router_lifetime
        entry.preference = message.preference
        if message.mtu is not None:
            entry.mtu = message.mtu
        if message.retransmit_timer:
            entry.retransmit = min(max(message.retransmit_timer / 1000, 0.1), RETRANS_TIMER)
        if entry.solicitations:
            # It answers what we asked, so the way there and back works (RFC 4861 section 7.3.1).
            self.confirm(entry, now)
        elif entry.reachability is Reachability.UNKNOWN:
            entry.check_at = now + self.reachability_interval
        entry.solicitations = 0
        entry.solicitation_wait = 0.0
        refresh = shortest_lifetime / 2
        if shortest_lifetime < SHORTEST_REFRESHED_LIFETIME:
            refresh = self.solicitation_interval
        elif refresh < self.solicitation_interval:
            # The minimum would let a lifetime lapse that the router means to keep.
            refresh = max(refresh, SHORTEST_REFRESHED_LIFETIME / 2)
        entry.solicit_at = now + refresh if math.isfinite(refresh) else math.inf

    def confirm(self, entry: RouterEntry, now: float) -> None:
        """The router has answered: it is reachable."""
        entry.reachability = Reachability.REACHABLE
        entry.confirmed_at = now
        entry.probes = 0
        entry.used = False
        entry.check_at = now + self.reachability_interval

    def note_use(self, endpoint: IPv4Address) -> None:
        """Packets went through a router since the last call."""
        entry = self._entries.get(endpoint)
        if entry is not None:
            entry.used = True

    def due(self, now: float) -> list[Solicit | Probe]:
        """What has to be sent at ``now``."""
        actions: list[Solicit | Probe] = []
        for entry in self:
            if entry.check_at <= now:
                actions.extend(self._check(entry, now))
            if entry.solicit_at <= now:
                self._plan_next_solicitation(entry, now)
                actions.append(Solicit(entry))
        return actions

    def _check(self, entry: RouterEntry, now: float) -> list[Solicit | Probe]:
        """Neighbor unreachability detection (RFC 4861 section 7.3.3), for a router in use only."""
        if entry.reachability is Reachability.UNREACHABLE:
            entry.check_at = math.inf
            return []
        if entry.reachability is not Reachability.PROBING:
            entry.check_at = now + self.reachability_interval
            if not entry.used:
                return []
            entry.used = False
            entry.reachability = Reachability.PROBING
            entry.probes = 0
        if entry.probes < MAX_UNICAST_SOLICIT:
            entry.probes += 1
            entry.check_at = now + entry.retransmit
            return [Probe(entry)]
        entry.reachability = Reachability.UNREACHABLE
        entry.check_at = math.inf
        self._start_soliciting(entry, now, 0.0)
        return []

    def _plan_next_solicitation(self, entry: RouterEntry, now: float) -> None:
        """RFC 4861 section 6.3.7 for the first ones, then the back-off of RFC 7559 section 2."""
        entry.solicitations += 1
        if entry.solicitations <= MAX_RTR_SOLICITATIONS:
            wait = RTR_SOLICITATION_INTERVAL
        else:
            wait = entry.solicitation_wait * 2
        longest = self.solicitation_interval
        if entry.reachability is Reachability.UNREACHABLE and entry.is_default(now):
            longest = min(longest, RECOVERY_INTERVAL)
        entry.solicitation_wait = min(wait, longest)
        entry.solicit_at = now + entry.solicitation_wait * self._random.uniform(0.95, 1.05)

    def next_deadline(self) -> float:
        """When ``due`` has to be called next; infinity for never."""
        return min(
            (min(entry.check_at, entry.solicit_at) for entry in self._entries.values()),
            default=math.inf,
        )

    def ranked(self, entries: Iterable[RouterEntry]) -> list[RouterEntry]:
        """The best first: reachable before silent (RFC 4861 section 6.3.6), then list order."""
        return sorted(
            entries,
            key=lambda entry: (entry.reachability is Reachability.UNREACHABLE, entry.order),
        )

    def default_routers(self, now: float) -> list[RouterEntry]:
        """Default routers, the one to use first (RFC 4861 section 6.3.6, RFC 4191 section 3.2)."""
        return sorted(
            (entry for entry in self._entries.values() if entry.is_default(now)),
            key=lambda entry: (
                entry.reachability is Reachability.UNREACHABLE,
                -entry.preference,
                entry.order,
            ),
        )

# SPDX-License-Identifier: GPL-3.0-or-later
"""One private interface: what hosts are told and when (RFC 4861 sections 6.2.3 to 6.2.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.engines.interface import LinkPacket
from v6ferry.engines.lan.advertised import AdvertisedLink
from v6ferry.system.state import InterfaceAddress, LinkFacts, LinkState
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    DnsSearchList,
    PrefixInformation,
    RecursiveDnsServer,
    RouteInformation,
    RouterAdvertisement,
    RouterSolicitation,
    decode,
    encode_advertisements,
)
from v6ferry.wire.parser import WireError

ALL_NODES = IPv6Address("ff02::1")
UNSPECIFIED = IPv6Address("::")

# RFC 4861 section 10, in seconds
MAX_INITIAL_RTR_ADVERT_INTERVAL = 16.0
MAX_INITIAL_RTR_ADVERTISEMENTS = 3
MAX_FINAL_RTR_ADVERTISEMENTS = 3
MIN_DELAY_BETWEEN_RAS = 3.0
MAX_RA_DELAY_TIME = 0.5

MIN_DELAY_BETWEEN_NEWS = 0.5
"""Seconds between multicast advertisements when what they say has changed: hosts that use a prefix
that is gone cannot wait three seconds (RFC 6275 section 7.5 goes down to 0.03 for like reasons)."""
LONGEST_ENDING = 7200
"""Seconds that a withdrawn prefix stays valid at most: hosts grant it no less (RFC 4862 section
5.5.3 e)."""
MOST_ANSWERS = 64
"""So many hosts are answered one by one at a time; if more have asked, all are answered at once."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """A prefix that is no longer wanted, but that hosts still have."""

    information: PrefixInformation
    until: float
    address: IPv6Address | None
    """The router's own one in it."""


class Link:
    """A private interface.

    Args:
        interface: its name.
        random: for the intervals.
    """

    def __init__(self, interface: str, random: Random) -> None:
        self._random = random
        self.wish = AdvertisedLink(interface, router_lifetime=0)
        self._told: RouterAdvertisement | None = None
        """What was last multicast, apart from lifetimes that count down."""
        self._ending: dict[IPv6Network, _Ending] = {}
        self._ending_routes: dict[IPv6Network, tuple[RouteInformation, float]] = {}
        self._facts: LinkFacts | None = None
        self._next_at = math.inf
        self._last_at = -math.inf
        self._quick_left = 0
        self._leaving = False
        self._final_left = 0
        self._answers: dict[IPv6Address, float] = {}
        self._outgoing: list[LinkPacket] = []
        self.advertisements = 0
        self.solicitations = 0
        self.discarded: dict[str, int] = {}

    # What it is told

    def want(self, wish: AdvertisedLink, now: float) -> None:
        """Advertise this from now on; hosts hear at once of what has changed."""
        before, self.wish = self.wish, wish
        was_leaving, self._leaving = self._leaving, False
        if wish == before and not was_leaving:
            return
        kept = {one.prefix for one in wish.prefixes}
        for one in before.prefixes:
            if one.prefix not in kept and one.valid_lifetime:
                until = now + min(one.valid_lifetime, LONGEST_ENDING)
                self._ending[one.prefix] = _Ending(one, until, before.address_in(one.prefix))
        kept_routes = {one.prefix for one in wish.routes}
        for route in before.routes:
            if route.prefix not in kept_routes and route.lifetime != INFINITE_LIFETIME:
                self._ending_routes[route.prefix] = (route, now + route.lifetime)
        for prefix in kept:
            self._ending.pop(prefix, None)
        for prefix in kept_routes:
            self._ending_routes.pop(prefix, None)
        if wish.says_something or before.says_something:
            self._announce(now)

    def update_facts(self, facts: LinkFacts | None, now: float) -> None:
        """The interface is like this now; None if there is none of that name."""
        before, self._facts = self._facts, facts
        could, can = _can_advertise(before), _can_advertise(facts)
        if can and (not could or (before and facts and before.index != facts.index)):
            # RFC 4861 section 6.2.4: the interface begins, or begins again, to advertise.
            self._announce(now)

    def leave(self, now: float) -> None:
        """Take leave of the hosts (RFC 4861 section 6.2.5)."""
        if self._leaving:
            return
        self._leaving = True
        self._answers.clear()
        has_told = self._told is not None and _can_advertise(self._facts)
        self._final_left = MAX_FINAL_RTR_ADVERTISEMENTS if has_told else 0
        self._next_at = max(now, self._last_at + MIN_DELAY_BETWEEN_NEWS)

    @property
    def has_left(self) -> bool:
        """Whether the leave-taking is over."""
        return self._leaving and self._final_left == 0 and not self._outgoing

    def receive(self, packet: bytes, now: float) -> None:
        """A packet came in (RFC 4861 section 6.2.6)."""
        try:
            header, message = decode(packet)
        except WireError as error:
            self._discard(f"malformed: {error.field}")
            return
        if not isinstance(message, RouterSolicitation):
            self._discard(f"{type(message).__name__}: not for a router")
            return
        self.solicitations += 1
        if self._leaving or not self._speaks():
            return
        host = header.source
        delay = self._random.uniform(0, MAX_RA_DELAY_TIME)
        if host == UNSPECIFIED or (host not in self._answers and self._has_many_to_answer()):
            at = max(now + delay, self._last_at + MIN_DELAY_BETWEEN_RAS)
            self._next_at = min(self._next_at, at)
        else:
            self._answers.setdefault(host, now + delay)

    def _has_many_to_answer(self) -> bool:
        return len(self._answers) >= MOST_ANSWERS

    # Time

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._ending = {key: one for key, one in self._ending.items() if one.until > now}
        self._ending_routes = {key: one for key, one in self._ending_routes.items() if one[1] > now}
        due = [host for host, at in self._answers.items() if at <= now]
        for host in due:
            del self._answers[host]
            self._send(host, now)
        if now < self._next_at:
            return
        if self._leaving:
            if self._final_left:
                self._final_left -= 1
                self._multicast(now)
                self._next_at = now + MIN_DELAY_BETWEEN_NEWS if self._final_left else math.inf
        elif self._speaks():
            self._multicast(now)
            self._next_at = now + self._interval()
        else:
            self._next_at = math.inf

    def next_deadline(self) -> float:
        """When ``handle_timer`` is to be called; infinity for never."""
        times = [one.until for one in self._ending.values()]
        times += [until for _route, until in self._ending_routes.values()]
        return min([self._next_at, *self._answers.values(), *times])

    def packets_to_send(self) -> list[LinkPacket]:
        """Packets to send now; each is returned once."""
        packets, self._outgoing = self._outgoing, []
        return packets

    def _announce(self, now: float) -> None:
        """Begin to advertise, or say something new: soon, and a few times."""
        self._quick_left = MAX_INITIAL_RTR_ADVERTISEMENTS
        if _can_advertise(self._facts):
            self._next_at = max(now, self._last_at + MIN_DELAY_BETWEEN_NEWS)

    def _interval(self) -> float:
        """Seconds until the next multicast advertisement (RFC 4861 section 6.2.4)."""
        interval = self._random.uniform(self.wish.minimum_interval, self.wish.maximum_interval)
        if self._quick_left == MAX_INITIAL_RTR_ADVERTISEMENTS - 1:
            # Multicast gets lost on radio links: what is new is said again as soon as may be.
            return MIN_DELAY_BETWEEN_RAS
        if self._quick_left:
            return min(interval, MAX_INITIAL_RTR_ADVERT_INTERVAL)
        return interval

    # Advertisements

    def _speaks(self) -> bool:
        """Whether there is anything to say, be it that something has ended."""
        if not _can_advertise(self._facts):
            return False
        if self.wish.says_something:
            return True
        unsaid = self._told != self._essence() or self._quick_left
        return self._told is not None and bool(unsaid or self._ending or self._ending_routes)

    def _multicast(self, now: float) -> None:
        self._told = self._essence()
        self._last_at = now
        self._quick_left = max(0, self._quick_left - 1)
        self._send(ALL_NODES, now)

    def _send(self, destination: IPv6Address, now: float) -> None:
        if self._facts is None or self._facts.link_local is None:
            return
        self.advertisements += 1
        packets = encode_advertisements(
            self._advertisement(now), self._facts.link_local, destination
        )
        self._outgoing += [LinkPacket(self.wish.interface, one, destination) for one in packets]

    def _essence(self) -> RouterAdvertisement:
        """What an advertisement says besides how long withdrawn things last."""
        return self._advertisement(-math.inf)

    def _advertisement(self, now: float) -> RouterAdvertisement:
        """What hosts are told at ``now`` (RFC 4861 section 6.2.3)."""
        wish, leaving = self.wish, self._leaving or not self.wish.advertise
        prefixes = [_deprecated(one, LONGEST_ENDING) if leaving else one for one in wish.prefixes]
        prefixes += [
            _deprecated(one.information, max(0, math.ceil(min(one.until - now, LONGEST_ENDING))))
            for one in self._ending.values()
        ]
        routes = [replace(one, lifetime=0) if leaving else one for one in wish.routes]
        routes += [replace(one, lifetime=0) for one, _until in self._ending_routes.values()]
        dns_lifetime = 0 if leaving else wish.dns_lifetime
        return RouterAdvertisement(
            current_hop_limit=wish.hop_limit,
            preference=wish.preference,
            router_lifetime=0 if leaving else wish.router_lifetime,
            prefixes=tuple(prefixes),
            routes=tuple(routes),
            mtu=wish.mtu,
            dns_servers=(
                (RecursiveDnsServer(wish.dns_servers, dns_lifetime),) if wish.dns_servers else ()
            ),
            dns_search=(DnsSearchList(wish.dns_search, dns_lifetime),) if wish.dns_search else (),
        )

    # What it wants, and what it leaves to a successor

    def state(self) -> LinkState:
        """What the interface should have."""
        addresses = [
            InterfaceAddress(address, one.prefix.prefixlen)
            for one in self.wish.prefixes
            if (address := self.wish.address_in(one.prefix)) is not None
        ]
        addresses += [
            InterfaceAddress(one.address, prefix.prefixlen, 0.0, one.until)
            for prefix, one in self._ending.items()
            if one.address is not None
        ]
        return LinkState(self.wish.interface, tuple(addresses), solicited=self.wish.advertise)

    def status(self, now: float) -> dict[str, Any]:
        """What a user wants to know, JSON-ready."""
        return {
            "problem": self.problem(),
            "prefixes": [str(one.prefix) for one in self.wish.prefixes],
            "addresses": [str(one.address) for one in self.state().addresses],
            "default_router": bool(self.wish.router_lifetime),
            "ending_prefixes": {
                str(prefix): max(0, round(one.until - now))
                for prefix, one in sorted(self._ending.items())
            },
            "advertisements": self.advertisements,
            "solicitations": self.solicitations,
            "discarded": dict(sorted(self.discarded.items())),
        }

    def problem(self) -> str | None:
        """Why nothing can be advertised at the moment."""
        name, facts = self.wish.interface, self._facts
        if facts is None:
            return f"{name}: there is no such interface"
        if not facts.is_up:
            return f"{name} is down or has no carrier"
        if facts.link_local is None:
            return (
                f"{name} has no IPv6 link-local address to advertise from: look at"
                f" net.ipv6.conf.{name}.disable_ipv6 and addr_gen_mode"
            )
        return None

    def snapshot(self) -> dict[str, Any]:
        """What hosts have been told, JSON-ready."""
        current = [
            (one.prefix, one, None, self.wish.address_in(one.prefix)) for one in self.wish.prefixes
        ]
        ending = [(key, e.information, e.until, e.address) for key, e in self._ending.items()]
        return {
            "prefixes": [
                [
                    str(prefix),
                    one.on_link,
                    one.autonomous,
                    one.valid_lifetime,
                    until,
                    None if address is None else str(address),
                ]
                for prefix, one, until, address in (*current, *ending)
            ],
            "router_lifetime": self.wish.router_lifetime,
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """Take over; raises KeyError, TypeError or ValueError for what is no snapshot."""
        for text, on_link, autonomous, valid, until, address in snapshot["prefixes"]:
            prefix = IPv6Network(text)
            one = PrefixInformation(prefix, bool(on_link), bool(autonomous), int(valid), 0)
            # What was current counts as ending until the owner wants it again.
            end = now + min(one.valid_lifetime, LONGEST_ENDING) if until is None else float(until)
            if end > now:
                own = None if address is None else IPv6Address(address)
                self._ending[prefix] = _Ending(one, min(end, now + LONGEST_ENDING), own)
        self._told = RouterAdvertisement(router_lifetime=int(snapshot["router_lifetime"]))

    def _discard(self, why: str) -> None:
        self.discarded[why] = self.discarded.get(why, 0) + 1


def _can_advertise(facts: LinkFacts | None) -> bool:
    return facts is not None and facts.is_up and facts.link_local is not None


def _deprecated(prefix: PrefixInformation, longest: int) -> PrefixInformation:
    """``prefix`` as advertised when it is being withdrawn."""
    return replace(
        prefix, preferred_lifetime=0, valid_lifetime=max(0, min(prefix.valid_lifetime, longest))
    )

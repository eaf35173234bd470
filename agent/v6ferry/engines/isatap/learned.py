# SPDX-License-Identifier: GPL-3.0-or-later
"""What router advertisements taught a host, each thing with its lifetime.

Sources: RFC 4861 section 6.3.4 (on-link prefixes), RFC 4862 section 5.5.3 (addresses), RFC 4191
section 3 (routes), RFC 8106 section 6 (DNS). Lifetimes are kept as the time when they end;
infinity is for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TypeVar

from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    PrefixInformation,
    RouteInformation,
    RouterAdvertisement,
    RouterPreference,
)

TWO_HOURS = 7200.0
INTERFACE_IDENTIFIER_BITS = 64

MOST_PREFIXES = 64
MOST_ROUTES = 256
MOST_DNS_ENTRIES = 16
"""No router has that many; somebody who floods us shall not fill our memory."""


@dataclass(slots=True)
class LearnedPrefix:
    """An advertised prefix."""

    prefix: IPv6Network
    on_link_until: float = 0.0
    valid_until: float = 0.0
    """When addresses under it end; 0 where it gives no addresses."""
    preferred_until: float = 0.0
    advertisers: dict[IPv4Address, float] = field(default_factory=dict)
    """Until when each router stands by the prefix."""

    def ends(self) -> float:
        """When nothing of it is left."""
        return max(self.on_link_until, self.valid_until)


@dataclass(frozen=True, slots=True)
class LearnedRoute:
    """A more specific route through one router."""

    prefix: IPv6Network
    router: IPv4Address
    preference: RouterPreference
    until: float


class Learned:
    """Prefixes, routes and DNS configuration of an ISATAP link."""

    def __init__(self) -> None:
        self._prefixes: dict[IPv6Network, LearnedPrefix] = {}
        self._routes: dict[tuple[IPv6Network, IPv4Address], LearnedRoute] = {}
        self._dns_servers: dict[tuple[IPv6Address, IPv4Address], float] = {}
        self._dns_search: dict[tuple[str, IPv4Address], float] = {}
        self.ignored: list[str] = []
        """Prefixes that could not be used, with the reason, for ``status`` and ``doctor``."""

    def advertisement(self, router: IPv4Address, message: RouterAdvertisement, now: float) -> None:
        """Take in what a router of the potential router list says."""
        self.ignored = []
        for information in message.prefixes:
            self._prefix(router, information, now)
        for route in message.routes:
            self._route(router, route, now)
        for servers in message.dns_servers:
            for server in servers.servers:
                _set(self._dns_servers, (server, router), servers.lifetime, now)
        for search in message.dns_search:
            for domain in search.domains:
                _set(self._dns_search, (domain, router), search.lifetime, now)
        self.expire(now)

    def _prefix(self, router: IPv4Address, information: PrefixInformation, now: float) -> None:
        known = self._prefixes.get(information.prefix)
        if known is None:
            if information.valid_lifetime == 0 or len(self._prefixes) >= MOST_PREFIXES:
                return
            known = self._prefixes[information.prefix] = LearnedPrefix(information.prefix)
        valid_until = _until(information.valid_lifetime, now)
        preferred_until = _until(information.preferred_lifetime, now)
        if information.preferred_lifetime == 0:
            known.advertisers.pop(router, None)
        else:
            known.advertisers[router] = preferred_until
        if information.on_link:
            known.on_link_until = valid_until
        if not information.autonomous:
            return
        if information.prefix.prefixlen != INTERFACE_IDENTIFIER_BITS:
            self.ignored.append(
                f"{information.prefix}: gives no address, only a /64 can (RFC 4862 section 5.5.3)"
            )
            return
        if not known.valid_until > now:
            if information.valid_lifetime:
                known.valid_until = valid_until
                known.preferred_until = preferred_until
            return
        # RFC 4862 section 5.5.3 (e): nobody may end an address at once with a forged lifetime.
        remaining = known.valid_until - now
        if valid_until - now > TWO_HOURS or valid_until > known.valid_until:
            known.valid_until = valid_until
        elif remaining > TWO_HOURS:
            known.valid_until = now + TWO_HOURS
        known.preferred_until = min(preferred_until, known.valid_until)

    def _route(self, router: IPv4Address, route: RouteInformation, now: float) -> None:
        key = (route.prefix, router)
        if route.lifetime == 0:
            self._routes.pop(key, None)
        elif key in self._routes or len(self._routes) < MOST_ROUTES:
            until = _until(route.lifetime, now)
            self._routes[key] = LearnedRoute(route.prefix, router, route.preference, until)

    def expire(self, now: float) -> None:
        """Forget what has ended."""
        self._prefixes = {key: one for key, one in self._prefixes.items() if one.ends() > now}
        self._routes = {key: one for key, one in self._routes.items() if one.until > now}
        self._dns_servers = {key: one for key, one in self._dns_servers.items() if one > now}
        self._dns_search = {key: one for key, one in self._dns_search.items() if one > now}

    def forget_router(self, router: IPv4Address) -> None:
        """A router has left the potential router list: what only it stands by goes with it.

        Addresses stay until their lifetimes end, deprecated, so that connections can finish.
        """
        for prefix in self._prefixes.values():
            if prefix.advertisers.pop(router, None) is not None and not prefix.advertisers:
                prefix.preferred_until = 0.0
        self._routes = {key: one for key, one in self._routes.items() if key[1] != router}
        self._dns_servers = {key: one for key, one in self._dns_servers.items() if key[1] != router}
        self._dns_search = {key: one for key, one in self._dns_search.items() if key[1] != router}

    def next_deadline(self, now: float) -> float:
        """When the next thing ends or is deprecated; infinity for never."""
        times = [route.until for route in self._routes.values()]
        for prefix in self._prefixes.values():
            times += [prefix.on_link_until, prefix.valid_until]
        times += [*self._dns_servers.values(), *self._dns_search.values()]
        return min((time for time in times if time > now), default=math.inf)

    def on_link(self, now: float) -> Iterator[IPv6Network]:
        """Prefixes whose hosts are reached directly, sorted."""
        for prefix in sorted(self._prefixes):
            if self._prefixes[prefix].on_link_until > now:
                yield prefix

    def autonomous(self, now: float) -> Iterator[LearnedPrefix]:
        """Prefixes that give addresses, sorted."""
        for prefix in sorted(self._prefixes):
            if self._prefixes[prefix].valid_until > now:
                yield self._prefixes[prefix]

    def routes(self) -> Iterator[LearnedRoute]:
        """More specific routes, sorted by prefix."""
        for key in sorted(self._routes):
            yield self._routes[key]

    def dns_servers(self) -> tuple[IPv6Address, ...]:
        """DNS servers in the order of their first advertisement."""
        return tuple(dict.fromkeys(server for server, _until in self._dns_servers))

    def dns_search(self) -> tuple[str, ...]:
        """Search domains in the order of their first advertisement."""
        return tuple(dict.fromkeys(domain for domain, _until in self._dns_search))


def shortest_lifetime(message: RouterAdvertisement) -> float:
    """The least lifetime of an advertisement that has not ended, in seconds (RFC 5214 8.3.4).

    0 for a farewell, which has nothing that a host could use from now on: the router may be back
    long before what it left has ended.
    """
    usable = [
        message.router_lifetime,
        *(prefix.preferred_lifetime for prefix in message.prefixes),
        *(route.lifetime for route in message.routes),
    ]
    if not any(usable):
        return 0.0
    lifetimes = [
        message.router_lifetime,
        *(prefix.valid_lifetime for prefix in message.prefixes),
        *(prefix.preferred_lifetime for prefix in message.prefixes),
        *(route.lifetime for route in message.routes),
        *(servers.lifetime for servers in message.dns_servers),
        *(search.lifetime for search in message.dns_search),
    ]
    finite = [one for one in lifetimes if one not in (0, INFINITE_LIFETIME)]
    return float(min(finite)) if finite else math.inf


def _until(lifetime: int, now: float) -> float:
    return math.inf if lifetime == INFINITE_LIFETIME else now + lifetime


Key = TypeVar("Key")


def _set(table: dict[Key, float], key: Key, lifetime: int, now: float) -> None:
    if lifetime == 0:
        table.pop(key, None)
    elif key in table or len(table) < MOST_DNS_ENTRIES:
        table[key] = _until(lifetime, now)

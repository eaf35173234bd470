# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router advertises on one private interface."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from v6ferry.wire.neighbor_discovery import PrefixInformation, RouteInformation, RouterPreference

DYNAMIC_PREFERRED_LIFETIME = 2700
DYNAMIC_VALID_LIFETIME = 5400
"""Seconds, for a prefix that may change at any time: those of RFC 9096 section 3.4."""


@dataclass(frozen=True, slots=True)
class AdvertisedLink:
    """The wishes of an owner for one interface."""

    interface: str
    prefixes: tuple[PrefixInformation, ...] = ()
    router_lifetime: int = 1800
    """Seconds as a default router, up to 9000; 0 for none."""
    identifier: int | None = 1
    """The interface identifier of the router's own address in each prefix; None makes none."""
    advertise: bool = True
    """False only puts the router's own addresses on the interface."""
    preference: RouterPreference = RouterPreference.MEDIUM
    routes: tuple[RouteInformation, ...] = ()
    mtu: int | None = None
    """Bytes, for the hosts' packets; None leaves the option out."""
    hop_limit: int = 64
    dns_servers: tuple[IPv6Address, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_lifetime: int = 1800
    """Seconds."""
    maximum_interval: int = 600
    """MaxRtrAdvInterval in seconds, 4 to 1800 (RFC 4861 section 6.2.1)."""

    @property
    def minimum_interval(self) -> float:
        """MinRtrAdvInterval in seconds."""
        return max(3.0, 0.33 * self.maximum_interval)

    @property
    def says_something(self) -> bool:
        """Whether a host would learn anything from an advertisement."""
        configures = self.prefixes or self.routes or self.dns_servers or self.dns_search
        return self.advertise and bool(self.router_lifetime or configures)

    def address_in(self, prefix: IPv6Network) -> IPv6Address | None:
        """The router's own address in ``prefix``."""
        return None if self.identifier is None else prefix[self.identifier]

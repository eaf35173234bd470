# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for an ISATAP host and an ISATAP router."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from v6ferry.engines.specification import (
    Options,
    domain_name,
    ipv4_address_or_name,
    ipv6_address,
    ipv6_network,
)
from v6ferry.engines.tunnel import MAXIMUM_MTU, TunnelOptions
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    PrefixInformation,
    RouteInformation,
    RouterPreference,
)

_LARGEST_LIFETIME = INFINITE_LIFETIME
_PREFERENCES = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class IsatapHostSpec:
    """An ISATAP host; ``routers`` is what ``netsh interface isatap set router`` sets."""

    tunnel: TunnelOptions
    routers: tuple[str, ...]
    """IPv4 addresses and names, the most preferred first."""
    link_local_always: bool
    default_route: bool
    route_metric: int
    dns_from_routers: bool
    reachability_interval: float
    """Seconds between looks at whether a router in use still answers (RFC 4861 section 7.3)."""
    solicitation_interval: float
    """MinRouterSolicitInterval in seconds (RFC 5214 section 8.3.4)."""
    name_refresh_interval: float
    """PrlRefreshInterval in seconds (RFC 5214 section 8.3.2)."""

    @classmethod
    def parse(cls, spec: Any, where: str) -> IsatapHostSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        result = cls(
            tunnel=TunnelOptions.read(options, "isatap0"),
            routers=options.texts("routers", ("isatap",), ipv4_address_or_name),
            link_local_always=options.choice(
                "link_local", "when_router_known", ("when_router_known", "always")
            )
            == "always",
            default_route=options.boolean("default_route", True),
            route_metric=options.integer("route_metric", 2048, 1, 0x7FFF_FFFF),
            dns_from_routers=options.boolean("rdnss", True),
            reachability_interval=options.integer("reachability_interval", 3, 1, 3600),
            solicitation_interval=options.integer("solicitation_interval", 120, 4, 86400),
            name_refresh_interval=options.integer("name_refresh_interval", 3600, 10, 86400),
        )
        options.finish()
        return result


@dataclass(frozen=True, slots=True)
class IsatapRouterSpec:
    """An ISATAP router and what it advertises (RFC 4861 section 6.2.1)."""

    tunnel: TunnelOptions
    prefixes: tuple[PrefixInformation, ...]
    forwarding: bool
    advertise: bool
    default_route: bool
    """Whether hosts may use it as default router (a "published" default route)."""
    router_lifetime: int
    preference: RouterPreference
    advertised_mtu: int | None
    hop_limit: int
    reachable_time: int
    """Milliseconds."""
    retransmit_timer: int
    """Milliseconds."""
    routes: tuple[RouteInformation, ...]
    dns_servers: tuple[IPv6Address, ...]
    dns_search: tuple[str, ...]
    dns_lifetime: int
    peer_routers: tuple[str, ...]
    """IPv4 addresses and names of the site's other ISATAP routers."""

    @classmethod
    def parse(cls, spec: Any, where: str) -> IsatapRouterSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        result = cls(
            tunnel=TunnelOptions.read(options, "isatap0"),
            prefixes=_without_repetition(
                options, "prefixes", tuple(_prefix(one) for one in options.mappings("prefixes"))
            ),
            forwarding=options.boolean("forwarding", True),
            advertise=options.boolean("advertise", True),
            default_route=options.boolean("default_route", True),
            router_lifetime=options.integer("router_lifetime", 1800, 0, 9000),
            preference=_preference(options),
            advertised_mtu=options.optional_integer(
                "advertised_mtu", IPV6_MINIMUM_MTU, MAXIMUM_MTU
            ),
            hop_limit=options.integer("hop_limit", 64, 0, 255),
            reachable_time=options.integer("reachable_time", 0, 0, 3_600_000),
            retransmit_timer=options.integer("retransmit_timer", 0, 0, 0xFFFF_FFFF),
            routes=_without_repetition(
                options, "routes", tuple(_route(one) for one in options.mappings("routes"))
            ),
            dns_servers=options.texts("dns_servers", (), ipv6_address),
            dns_search=options.texts("dns_search", (), domain_name),
            dns_lifetime=options.integer("dns_lifetime", 1800, 0, _LARGEST_LIFETIME),
            peer_routers=options.texts("peer_routers", (), ipv4_address_or_name),
        )
        options.finish()
        return result


def _prefix(options: Options) -> PrefixInformation:
    prefix = options.text("prefix", None, _advertised_prefix)
    valid = options.integer("valid_lifetime", 2_592_000, 0, _LARGEST_LIFETIME)
    # The usual 7 days, but never more than a shorter valid lifetime that the user gave.
    preferred = options.integer("preferred_lifetime", min(604_800, valid), 0, _LARGEST_LIFETIME)
    if preferred > valid:
        raise options.fail(
            "preferred_lifetime", f"{preferred} is longer than valid_lifetime, {valid}"
        )
    result = PrefixInformation(
        prefix=prefix,
        on_link=options.boolean("on_link", True),
        autonomous=options.boolean("autonomous", True),
        valid_lifetime=valid,
        preferred_lifetime=preferred,
    )
    options.finish()
    return result


def _route(options: Options) -> RouteInformation:
    result = RouteInformation(
        prefix=options.text("prefix", None, ipv6_network),
        preference=_preference(options),
        lifetime=options.integer("lifetime", 1800, 0, _LARGEST_LIFETIME),
    )
    options.finish()
    return result


def _preference(options: Options) -> RouterPreference:
    return RouterPreference[options.choice("preference", "medium", _PREFERENCES).upper()]


def _without_repetition(options: Options, name: str, entries: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[IPv6Network] = set()
    for index, entry in enumerate(entries):
        if entry.prefix in seen:
            raise options.fail(f"{name}[{index}]", f"{entry.prefix} is there twice")
        seen.add(entry.prefix)
    return entries


def _advertised_prefix(text: str) -> IPv6Network:
    prefix = ipv6_network(text)
    if prefix.prefixlen != 64:
        raise ValueError(
            f"{prefix} is a /{prefix.prefixlen}, but ISATAP needs a /64:"
            " its interface identifiers have 64 bits (RFC 5214 section 6.1)"
        )
    if prefix.is_link_local or prefix.is_multicast or prefix.is_loopback:
        raise ValueError(f"{prefix} cannot be advertised, use a global or unique local /64")
    return prefix

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for an ISATAP host and an ISATAP router."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from v6ferry.engines.specification import (
    Options,
    domain_name,
    interface_name,
    ipv4_address_or_name,
    ipv4_network,
    ipv6_address,
    ipv6_network,
)
from v6ferry.system.state import UnderlayAddress
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    PrefixInformation,
    RouteInformation,
    RouterPreference,
)

_MAXIMUM_MTU = 65515
_LARGEST_LIFETIME = INFINITE_LIFETIME
_PREFERENCES = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class TunnelOptions:
    """What host and router have in common."""

    interface: str
    underlay_interfaces: tuple[str, ...]
    underlay_addresses: tuple[IPv4Network, ...]
    dynamic_mtu: bool
    mtu: int | None
    """Bytes; None is 1280 for a static and the underlay's MTU less 20 for a dynamic tunnel MTU."""
    ttl: int
    dscp: int | None

    @classmethod
    def read(cls, options: Options) -> TunnelOptions:
        """Take the common options out of ``options``."""
        return cls(
            interface=options.text("interface", "isatap0", interface_name),
            underlay_interfaces=options.texts("underlay_interfaces", (), interface_name),
            underlay_addresses=options.texts("underlay_addresses", (), ipv4_network),
            dynamic_mtu=options.choice("tunnel_mtu", "static", ("static", "dynamic")) == "dynamic",
            mtu=options.optional_integer("mtu", IPV6_MINIMUM_MTU, _MAXIMUM_MTU),
            ttl=options.integer("ttl", 64, 1, 255),
            dscp=options.text("dscp", "0", _dscp),
        )

    def allows(self, underlay: UnderlayAddress) -> bool:
        """Whether the tunnel may use an IPv4 address of the host."""
        if self.underlay_interfaces and underlay.interface not in self.underlay_interfaces:
            return False
        if self.underlay_addresses:
            return any(underlay.address in network for network in self.underlay_addresses)
        # An anycast service's address lies there as well as a router's stable one: it is used
        # only where somebody has named it.
        return bool(self.underlay_interfaces) or not underlay.is_loopback


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
            tunnel=TunnelOptions.read(options),
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
            tunnel=TunnelOptions.read(options),
            prefixes=_without_repetition(
                options, "prefixes", tuple(_prefix(one) for one in options.mappings("prefixes"))
            ),
            forwarding=options.boolean("forwarding", True),
            advertise=options.boolean("advertise", True),
            default_route=options.boolean("default_route", True),
            router_lifetime=options.integer("router_lifetime", 1800, 0, 9000),
            preference=_preference(options),
            advertised_mtu=options.optional_integer(
                "advertised_mtu", IPV6_MINIMUM_MTU, _MAXIMUM_MTU
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


def _dscp(text: str) -> int | None:
    if text == "inherit":
        return None
    if text.isascii() and text.isdigit() and int(text) <= 63:
        return int(text)
    raise ValueError(f"{text!r} is neither inherit nor a number from 0 to 63")


def configured_address(router: str) -> IPv4Address | None:
    """The address, where a router was given by address and not by name."""
    try:
        return IPv4Address(router)
    except ValueError:
        return None

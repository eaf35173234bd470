# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a 6to4 router."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

from v6ferry.engines.lan.advertised import DYNAMIC_PREFERRED_LIFETIME, DYNAMIC_VALID_LIFETIME
from v6ferry.engines.specification import (
    Options,
    domain_name,
    interface_name,
    ipv4_address_or_name,
    ipv6_address,
)
from v6ferry.engines.tunnel import MAXIMUM_MTU, TunnelOptions
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU
from v6ferry.wire.neighbor_discovery import INFINITE_LIFETIME, RouterPreference

LARGEST_SUBNET_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class PrivateInterface:
    """An interface behind the router."""

    interface: str
    subnet_id: int | None
    """The fourth 16 bits of its prefix; None takes the interface's index."""
    identifier: int
    """The router's own interface identifier there."""
    advertise: bool


@dataclass(frozen=True, slots=True)
class SixToFourRouterSpec:
    """A 6to4 router (RFC 3056 section 5.3) with the interfaces behind it."""

    tunnel: TunnelOptions
    globally_unique: bool
    """Whether only globally unique IPv4 addresses make a prefix, and are spoken to."""
    private_interfaces: tuple[PrivateInterface, ...]
    relay: str | None
    """Address or name of the relay; None reaches only other 6to4 sites."""
    accept_relays: str
    """``any`` or only the ``configured`` relay may bring packets from native sources."""
    route_metric: int
    relay_refresh_interval: float
    """Seconds."""
    forwarding: bool
    default_route: bool
    router_lifetime: int
    preference: RouterPreference
    preferred_lifetime: int
    valid_lifetime: int
    advertisement_interval: int
    """MaxRtrAdvInterval in seconds."""
    advertised_mtu: int | None
    dns_servers: tuple[IPv6Address, ...]
    dns_search: tuple[str, ...]
    dns_lifetime: int

    @classmethod
    def parse(cls, spec: Any, where: str) -> SixToFourRouterSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        valid = options.integer("valid_lifetime", DYNAMIC_VALID_LIFETIME, 0, INFINITE_LIFETIME)
        preferred = options.integer(
            "preferred_lifetime", min(DYNAMIC_PREFERRED_LIFETIME, valid), 0, INFINITE_LIFETIME
        )
        if preferred > valid:
            raise options.fail(
                "preferred_lifetime", f"{preferred} is longer than valid_lifetime, {valid}"
            )
        interval = options.integer("advertisement_interval", 600, 4, 1800)
        lifetime = options.integer("router_lifetime", max(1800, interval), 0, 9000)
        if 0 < lifetime < interval:
            raise options.fail(
                "router_lifetime",
                f"{lifetime} is shorter than advertisement_interval, {interval}: hosts would lose"
                " their default route between two advertisements",
            )
        tunnel = TunnelOptions.read(options, "sixtofour0")
        result = cls(
            tunnel=tunnel,
            globally_unique=options.boolean("globally_unique", True),
            private_interfaces=_private_interfaces(options, tunnel),
            relay=options.text("relay", "", _relay) or None,
            accept_relays=options.choice("accept_relays", "any", ("any", "configured")),
            route_metric=options.integer("route_metric", 2048, 1, 0x7FFF_FFFF),
            relay_refresh_interval=options.integer("relay_refresh_interval", 86400, 10, 604_800),
            forwarding=options.boolean("forwarding", True),
            default_route=options.boolean("default_route", True),
            router_lifetime=lifetime,
            preference=RouterPreference[
                options.choice("preference", "medium", ("low", "medium", "high")).upper()
            ],
            preferred_lifetime=preferred,
            valid_lifetime=valid,
            advertisement_interval=interval,
            advertised_mtu=options.optional_integer(
                "advertised_mtu", IPV6_MINIMUM_MTU, MAXIMUM_MTU
            ),
            dns_servers=options.texts("dns_servers", (), ipv6_address),
            dns_search=options.texts("dns_search", (), domain_name),
            dns_lifetime=options.integer("dns_lifetime", 1800, 0, INFINITE_LIFETIME),
        )
        options.finish()
        return result


def _private_interfaces(options: Options, tunnel: TunnelOptions) -> tuple[PrivateInterface, ...]:
    found: list[PrivateInterface] = []
    for index, one in enumerate(options.mappings("private_interfaces")):
        private = PrivateInterface(
            interface=one.text("interface", None, interface_name),
            subnet_id=one.optional_integer("subnet_id", 1, LARGEST_SUBNET_ID),
            identifier=int(one.text("identifier", "::1", _identifier)),
            advertise=one.boolean("advertise", True),
        )
        one.finish()
        where = f"private_interfaces[{index}]"
        if private.interface in tunnel.underlay_interfaces or private.interface == tunnel.interface:
            raise options.fail(
                where, f"{private.interface} is on the public side; give another interface"
            )
        if any(private.interface == other.interface for other in found):
            raise options.fail(where, f"{private.interface} is there twice")
        for other in found:
            if private.subnet_id is not None and private.subnet_id == other.subnet_id:
                raise options.fail(
                    where,
                    f"{other.interface} has subnet_id {private.subnet_id} already; give each"
                    " interface one of its own",
                )
        found.append(private)
    return tuple(found)


def _relay(text: str) -> str:
    return ipv4_address_or_name(text) if text else ""


def _identifier(text: str) -> IPv6Address:
    identifier = ipv6_address(text)
    if not 0 < int(identifier) < 1 << 64:
        raise ValueError(
            f"{text} is no interface identifier: write its 64 bits as ::1 or ::a:b:c:d"
        )
    return identifier

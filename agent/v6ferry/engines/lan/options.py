# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for the private side of a router, whatever its prefixes come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from v6ferry.engines.lan.advertised import (
    DYNAMIC_PREFERRED_LIFETIME,
    DYNAMIC_VALID_LIFETIME,
    AdvertisedLink,
)
from v6ferry.engines.specification import Options, domain_name, ipv6_address
from v6ferry.engines.tunnel import MAXIMUM_MTU
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    PrefixInformation,
    RouterPreference,
)


@dataclass(frozen=True, slots=True)
class Advertising:
    """What hosts on all private interfaces are told (RFC 4861 section 6.2.1)."""

    router_lifetime: int
    """Seconds."""
    preference: RouterPreference
    preferred_lifetime: int
    valid_lifetime: int
    interval: int
    """MaxRtrAdvInterval in seconds."""
    mtu: int | None
    dns_servers: tuple[IPv6Address, ...]
    dns_search: tuple[str, ...]
    dns_lifetime: int

    @classmethod
    def read(cls, options: Options) -> Advertising:
        """Take the options out of ``options``."""
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
        return cls(
            router_lifetime=lifetime,
            preference=RouterPreference[
                options.choice("preference", "medium", ("low", "medium", "high")).upper()
            ],
            preferred_lifetime=preferred,
            valid_lifetime=valid,
            interval=interval,
            mtu=options.optional_integer("advertised_mtu", IPV6_MINIMUM_MTU, MAXIMUM_MTU),
            dns_servers=options.texts("dns_servers", (), ipv6_address),
            dns_search=options.texts("dns_search", (), domain_name),
            dns_lifetime=options.integer("dns_lifetime", 1800, 0, INFINITE_LIFETIME),
        )

    def link(
        self,
        interface: str,
        prefixes: Iterable[IPv6Network],
        *,
        is_default: bool,
        identifier: int,
        advertise: bool,
    ) -> AdvertisedLink:
        """What one interface is told.

        Args:
            interface: its name.
            prefixes: of it, each a /64.
            is_default: whether the router is a default router.
            identifier: the router's own interface identifier in each prefix.
            advertise: False only puts the router's own addresses on the interface.
        """
        return AdvertisedLink(
            interface,
            tuple(
                PrefixInformation(
                    prefix,
                    valid_lifetime=self.valid_lifetime,
                    preferred_lifetime=self.preferred_lifetime,
                )
                for prefix in prefixes
            ),
            router_lifetime=self.router_lifetime if is_default else 0,
            identifier=identifier,
            advertise=advertise,
            preference=self.preference,
            mtu=self.mtu,
            dns_servers=self.dns_servers,
            dns_search=self.dns_search,
            dns_lifetime=self.dns_lifetime,
            maximum_interval=self.interval,
        )


def interface_identifier(text: str) -> IPv6Address:
    """An interface identifier, written as an address whose upper half is zero."""
    identifier = ipv6_address(text)
    if not 0 < int(identifier) < 1 << 64:
        raise ValueError(
            f"{text} is no interface identifier: write its 64 bits as ::1 or ::a:b:c:d"
        )
    return identifier

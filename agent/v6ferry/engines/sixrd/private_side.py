# SPDX-License-Identifier: GPL-3.0-or-later
"""The private side of a customer edge: which interface gets which /64 of the delegated prefix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from v6ferry.engines.lan.advertised import (
    DYNAMIC_PREFERRED_LIFETIME,
    DYNAMIC_VALID_LIFETIME,
    AdvertisedLink,
)
from v6ferry.engines.specification import Options, domain_name, interface_name, ipv6_address
from v6ferry.engines.tunnel import MAXIMUM_MTU, TunnelOptions
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    PrefixInformation,
    RouterPreference,
)


@dataclass(frozen=True, slots=True)
class PrivateInterface:
    """An interface behind the customer edge."""

    interface: str
    subnet_id: int
    """The bits between the delegated prefix and the 64th."""
    identifier: int
    """The customer edge's own interface identifier there."""
    advertise: bool


@dataclass(frozen=True, slots=True)
class PrivateSide:
    """All of them, and what their hosts are told (RFC 4861 section 6.2.1)."""

    interfaces: tuple[PrivateInterface, ...]
    forwarding: bool
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
    def read(cls, options: Options, tunnel: TunnelOptions, delegated_length: int) -> PrivateSide:
        """Take the options of the private side out of ``options``.

        Args:
            options: of the customer edge.
            tunnel: its tunnel.
            delegated_length: of the delegated prefix; more than 64 leaves no room.
        """
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
            interfaces=_interfaces(options, tunnel, delegated_length),
            forwarding=options.boolean("forwarding", True),
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

    def links(self, delegated: IPv6Network | None, has_way_out: bool) -> Iterator[AdvertisedLink]:
        """What each interface is told.

        Args:
            delegated: the prefix to give subnets of; None if there is none at the moment.
            has_way_out: whether packets to everywhere get anywhere (RFC 7084 G-4).
        """
        is_default = self.forwarding and has_way_out and delegated is not None
        for one in self.interfaces:
            prefixes: tuple[PrefixInformation, ...] = ()
            if delegated is not None:
                prefixes = (
                    PrefixInformation(
                        subnet(delegated, one.subnet_id),
                        valid_lifetime=self.valid_lifetime,
                        preferred_lifetime=self.preferred_lifetime,
                    ),
                )
            yield AdvertisedLink(
                one.interface,
                prefixes,
                router_lifetime=self.router_lifetime if is_default else 0,
                identifier=one.identifier,
                advertise=one.advertise,
                preference=self.preference,
                mtu=self.advertised_mtu,
                dns_servers=self.dns_servers,
                dns_search=self.dns_search,
                dns_lifetime=self.dns_lifetime,
                maximum_interval=self.advertisement_interval,
            )


def subnet(delegated: IPv6Network, subnet_id: int) -> IPv6Network:
    """The /64 with a subnet ID."""
    return IPv6Network((int(delegated.network_address) | subnet_id << 64, 64))


def _interfaces(
    options: Options, tunnel: TunnelOptions, delegated_length: int
) -> tuple[PrivateInterface, ...]:
    subnets = 1 << max(0, 64 - delegated_length)
    found: list[PrivateInterface] = []
    given: list[tuple[Options, str, int | None]] = []
    for index, one in enumerate(options.mappings("private_interfaces")):
        name = one.text("interface", None, interface_name)
        where = f"private_interfaces[{index}]"
        if name in tunnel.underlay_interfaces or name == tunnel.interface:
            raise options.fail(where, f"{name} is on the provider's side; give another interface")
        if any(name == other for _options, other, _subnet in given):
            raise options.fail(where, f"{name} is there twice")
        subnet_id = one.optional_integer("subnet_id", 0, (1 << 64) - 1)
        if subnet_id is not None and subnet_id >= subnets:
            raise one.fail(
                "subnet_id",
                f"{subnet_id} does not fit a delegated /{delegated_length}, use 0 to {subnets - 1}",
            )
        for _options, other, taken in given:
            if subnet_id is not None and subnet_id == taken:
                raise options.fail(
                    where,
                    f"{other} has subnet_id {subnet_id} already; give each interface one of its"
                    " own",
                )
        given.append((one, name, subnet_id))
    if len(given) > subnets:
        raise options.fail(
            "private_interfaces",
            f"{len(given)} interfaces need a /64 each, but a delegated /{delegated_length} has"
            f" {subnets}; give fewer, or ask the provider for a shorter prefix",
        )
    taken_ids = {subnet_id for _options, _name, subnet_id in given if subnet_id is not None}
    # Subnet 0, where the tunnel interface has its address, comes last.
    free = (n for n in (*range(1, subnets if subnets < 1 << 16 else 1 << 16), 0))
    free_ids = (number for number in free if number not in taken_ids)
    for one, name, subnet_id in given:
        found.append(
            PrivateInterface(
                interface=name,
                subnet_id=next(free_ids) if subnet_id is None else subnet_id,
                identifier=int(one.text("identifier", "::1", _identifier)),
                advertise=one.boolean("advertise", True),
            )
        )
        one.finish()
    return tuple(found)


def _identifier(text: str) -> IPv6Address:
    identifier = ipv6_address(text)
    if not 0 < int(identifier) < 1 << 64:
        raise ValueError(
            f"{text} is no interface identifier: write its 64 bits as ::1 or ::a:b:c:d"
        )
    return identifier

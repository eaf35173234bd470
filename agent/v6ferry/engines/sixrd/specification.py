# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a 6rd customer edge and a 6rd border relay (RFC 5969 section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

from v6ferry.addresses.sixrd import delegated_prefix
from v6ferry.engines.sixrd.private_side import PrivateSide
from v6ferry.engines.specification import (
    Options,
    ipv4_address_or_name,
    ipv4_network,
    ipv6_network,
)
from v6ferry.engines.tunnel import TunnelOptions

DEFAULT_INTERFACE = "sixrd0"


@dataclass(frozen=True, slots=True)
class SixrdCustomerEdgeSpec:
    """A 6rd customer edge."""

    tunnel: TunnelOptions
    prefix: IPv6Network
    """6rdPrefix and 6rdPrefixLen."""
    ipv4_mask_length: int
    """IPv4MaskLen: how many high bits the IPv4 addresses of all customer edges have in common."""
    border_relays: tuple[str, ...]
    """6rdBRIPv4Address: IPv4 addresses and names, the most preferred first."""
    private: PrivateSide
    default_route: bool
    route_metric: int
    reachability_interval: float
    """Seconds between looks at whether a border relay in use still forwards (section 8)."""
    name_refresh_interval: float

    @classmethod
    def parse(cls, spec: Any, where: str) -> SixrdCustomerEdgeSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        prefix = options.text("prefix", None, _sixrd_prefix)
        ipv4_mask_length = options.integer("ipv4_mask_length", 0, 0, 32)
        tunnel = TunnelOptions.read(options, DEFAULT_INTERFACE)
        _check_room(options, prefix, "ipv4_mask_length", ipv4_mask_length)
        delegated_length = prefix.prefixlen + 32 - ipv4_mask_length
        result = cls(
            tunnel=tunnel,
            prefix=prefix,
            ipv4_mask_length=ipv4_mask_length,
            border_relays=options.texts("border_relays", (), ipv4_address_or_name),
            private=PrivateSide.read(options, tunnel, delegated_length),
            default_route=options.boolean("default_route", True),
            route_metric=options.integer("route_metric", 2048, 1, 0x7FFF_FFFF),
            reachability_interval=options.integer("reachability_interval", 5, 1, 3600),
            name_refresh_interval=options.integer("name_refresh_interval", 3600, 10, 86400),
        )
        options.finish()
        if not result.border_relays:
            raise options.fail(
                "border_relays", "is required: the IPv4 address or name of one at least"
            )
        return result


@dataclass(frozen=True, slots=True)
class SixrdBorderRelaySpec:
    """A 6rd border relay."""

    tunnel: TunnelOptions
    prefix: IPv6Network
    """6rdPrefix and 6rdPrefixLen."""
    ipv4_prefix: IPv4Network
    """Where the IPv4 addresses of all customer edges are; its length is IPv4MaskLen."""
    forwarding: bool

    @classmethod
    def parse(cls, spec: Any, where: str) -> SixrdBorderRelaySpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        prefix = options.text("prefix", None, _sixrd_prefix)
        ipv4_prefix = options.text("ipv4_prefix", "0.0.0.0/0", ipv4_network)
        result = cls(
            tunnel=TunnelOptions.read(options, DEFAULT_INTERFACE),
            prefix=prefix,
            ipv4_prefix=ipv4_prefix,
            forwarding=options.boolean("forwarding", True),
        )
        options.finish()
        _check_room(options, prefix, "ipv4_prefix", ipv4_prefix.prefixlen)
        return result


def _sixrd_prefix(text: str) -> IPv6Network:
    prefix = ipv6_network(text)
    unusable = prefix.is_link_local or prefix.is_multicast or prefix.is_loopback
    if unusable or prefix.prefixlen == 0 or prefix.overlaps(IPv6Network("::/32")):
        raise ValueError(
            f"{prefix} cannot be a 6rd prefix, use a global or unique local one such as"
            " 2001:db8::/32"
        )
    return prefix


def _check_room(options: Options, prefix: IPv6Network, name: str, mask_length: int) -> None:
    """Refuse what leaves customer edges less than a /64 (RFC 5969 section 4)."""
    try:
        delegated_prefix(prefix, IPv4Address(0), mask_length)
    except ValueError:
        suffix = 32 - mask_length
        raise options.fail(
            "prefix",
            f"{prefix} and {suffix} bits of the IPv4 address make a delegated prefix of"
            f" {prefix.prefixlen + suffix} bits, but it must leave a /64: give a /{64 - suffix} or"
            f" shorter, or a longer {name}",
        ) from None

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a configured tunnel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.engines.specification import (
    Options,
    ipv4_address,
    ipv4_address_or_name,
    ipv6_address,
    ipv6_network,
)
from v6ferry.engines.tunnel import ALL_ADDRESSES, TunnelOptions
from v6ferry.system.state import DEFAULT_ROUTE, Route

INTERFACE_PREFIX = "ct-"
_LONGEST_INTERFACE_NAME = 15
_DIGEST_LENGTH = 6
_NEVER_ON_A_LINK = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"))
"""RFC 4213 section 3.6."""


@dataclass(frozen=True, slots=True)
class KeepaliveOptions:
    """How the far end is asked whether it is there (RFC 4213 section 3.8)."""

    enabled: bool
    interval: float
    """Seconds between questions."""
    losses: int
    """So many questions in a row without an answer make the far end silent."""
    target: IPv6Address | None
    """Who is sent echo requests; None asks the far end itself, with neighbor solicitations."""
    withdraws_routes: bool


@dataclass(frozen=True, slots=True)
class ConfiguredTunnelSpec:
    """A configured tunnel; what ``netsh interface ipv6 add v6v4tunnel`` makes."""

    tunnel: TunnelOptions
    local: IPv4Address | None
    """None takes the address that the kernel would send from to the remote one."""
    remote: str
    """An IPv4 address, or a name."""
    addresses: tuple[IPv6Interface, ...]
    routes: tuple[Route, ...]
    forwarding: bool
    allowed_sources: tuple[IPv6Network, ...]
    """Where inner sources of received packets may be; empty allows all."""
    refused_sources: tuple[IPv6Network, ...]
    keepalive: KeepaliveOptions
    name_refresh_interval: float
    """Seconds."""

    @classmethod
    def parse(cls, spec: Any, where: str) -> ConfiguredTunnelSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        tunnel = TunnelOptions.read(options, interface_of(where.rpartition("/")[2]))
        local = options.text("local", "", _local)
        if local is not None and (tunnel.underlay_interfaces or tunnel.underlay_addresses):
            raise options.fail(
                "local", "is the one address to use, so leave out the underlay options"
            )
        if local is not None:
            tunnel = replace(tunnel, underlay_addresses=(IPv4Network(local),))
        result = cls(
            tunnel=tunnel,
            local=local,
            remote=options.text("remote", None, _remote),
            addresses=options.texts("addresses", (), _interface_address),
            routes=_routes(options),
            forwarding=options.boolean("forwarding", False),
            allowed_sources=options.texts("allowed_sources", (), ipv6_network),
            refused_sources=options.texts("refused_sources", (), ipv6_network),
            keepalive=_keepalive(options),
            name_refresh_interval=options.integer("name_refresh_interval", 300, 10, 86400),
        )
        options.finish()
        if local is not None and result.remote == str(local):
            raise options.fail(
                "remote", f"{local} is the local address, too: a tunnel has two ends"
            )
        link_locals = [one for one in result.addresses if one.ip.is_link_local]
        if len(link_locals) > 1:
            raise options.fail("addresses", f"{link_locals[1]} is a second link-local address")
        return result


def interface_of(name: str) -> str:
    """The tunnel interface of a resource whose user has named none.

    It is ``ct-`` and the name of the resource. A longer name is cut off, and made unique by a
    digest of the whole: an interface name has 15 characters at most.
    """
    whole = INTERFACE_PREFIX + name
    if len(whole) <= _LONGEST_INTERFACE_NAME:
        return whole
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{whole[: _LONGEST_INTERFACE_NAME - _DIGEST_LENGTH - 1]}-{digest}"


def _routes(options: Options) -> tuple[Route, ...]:
    metric = options.integer("route_metric", 1024, 1, 0x7FFF_FFFF)
    routes: list[Route] = []
    if options.boolean("default_route", False):
        routes.append(Route(DEFAULT_ROUTE, None, metric))
    for index, one in enumerate(options.mappings("routes")):
        prefix = one.text("prefix", None, _route_prefix)
        route = Route(prefix, None, one.integer("metric", metric, 1, 0x7FFF_FFFF))
        one.finish()
        if any(prefix == other.prefix for other in routes):
            raise options.fail(f"routes[{index}]", f"{prefix} is there twice")
        routes.append(route)
    return tuple(routes)


def _keepalive(options: Options) -> KeepaliveOptions:
    return KeepaliveOptions(
        enabled=options.boolean("keepalive", False),
        interval=options.integer("keepalive_interval", 10, 1, 3600),
        losses=options.integer("keepalive_losses", 3, 1, 100),
        target=options.text("keepalive_target", "", _target),
        withdraws_routes=options.choice("keepalive_routes", "withdraw", ("withdraw", "keep"))
        == "withdraw",
    )


def _local(text: str) -> IPv4Address | None:
    return _unicast(ipv4_address(text)) if text else None


def _remote(text: str) -> str:
    known = ipv4_address_or_name(text)
    try:
        address = IPv4Address(known)
    except ValueError:
        return known
    return str(_unicast(address))


def _unicast(address: IPv4Address) -> IPv4Address:
    if not is_unicast_endpoint(address):
        raise ValueError(f"{address} is not a unicast address, use that of one host")
    return address


def _target(text: str) -> IPv6Address | None:
    return _host_address(ipv6_address(text)) if text else None


def _interface_address(text: str) -> IPv6Interface:
    if "." in text and ":" not in text:
        raise ValueError(f"{text} is an IPv4 address, use an IPv6 one such as 2001:db8::1/64")
    if "/" not in text:
        raise ValueError(f"{text} has no prefix length, use an address such as 2001:db8::1/64")
    try:
        address = IPv6Interface(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IPv6 address with a prefix length, use one such as 2001:db8::1/64"
        ) from None
    _host_address(address.ip)
    if address.ip.is_link_local and address.network.prefixlen != 64:
        raise ValueError(f"{text}: a link-local address has the prefix length 64")
    return address


def _host_address(address: IPv6Address) -> IPv6Address:
    if address.is_multicast or any(address in network for network in _NEVER_ON_A_LINK):
        raise ValueError(f"{address} cannot be that of a host on a tunnel (RFC 4213 section 3.6)")
    if address.scope_id is not None:
        raise ValueError(f"{address}: leave out %{address.scope_id}, the interface is known")
    return address


def _route_prefix(text: str) -> IPv6Network:
    prefix = ALL_ADDRESSES if text == "default" else ipv6_network(text)
    if prefix.is_multicast or (prefix.is_link_local and prefix.prefixlen >= 10):
        raise ValueError(f"{prefix} is not routed, it is there on every link")
    return prefix

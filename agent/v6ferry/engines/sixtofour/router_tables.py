# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of a 6to4 router's tunnel interface (RFC 3056 section 5.3, RFC 3964)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from v6ferry.addresses.ipv4 import NOT_GLOBALLY_UNIQUE, is_globally_unique
from v6ferry.addresses.sixtofour import SIXTOFOUR_PREFIX, embedded_ipv4, sixtofour_prefix
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    HANDED_UP,
    TunnelOptions,
    best_routes,
    configured_address,
)
from v6ferry.forwarding.table import (
    ANYBODY,
    SIXTOFOUR,
    Anybody,
    Encapsulation,
    EndpointRule,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    NearRule,
    TunnelTable,
)
from v6ferry.system.state import HostFacts, InterfaceAddress, Route

_NEVER_GLOBAL = tuple(map(IPv6Network, ("::/16", "fe80::/10", "fec0::/10", "ff00::/8")))
"""Scopes that end at a site, and what embeds IPv4 in other ways (RFC 3964 section 5.3.2)."""
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
"""Younger than RFC 3964; it ends at a site, too (RFC 4193 section 4.3)."""


def router_table(
    options: TunnelOptions,
    facts: HostFacts,
    endpoints: tuple[IPv4Address, ...],
    addresses: Iterable[InterfaceAddress],
    routes: Iterable[Route],
    *,
    globally_unique: bool,
    from_relays: Anybody | Listed | None,
    relay: IPv4Address | None,
    site: bool,
) -> TunnelTable:
    """Put the tables together.

    Args:
        options: what the user set.
        facts: what is known of the host.
        endpoints: our public addresses.
        addresses: what the tunnel interface has.
        routes: our routes through it.
        globally_unique: whether far ends must have globally unique addresses.
        from_relays: whose packets from native sources are accepted; see ``accepted_relays``.
        relay: the one that we use; whoever named it may be spoken to, anycast or not.
        site: whether the host routes 2002:V4::/48 for a site behind it.
    """
    local = frozenset(one.address for one in addresses)
    never = never_global(globally_unique)
    # Multicast groups need a rule of their own: neighbor discovery is not for this link.
    ours = (
        NearRule(ALL_ADDRESSES, False),
        NearRule(SIXTOFOUR_PREFIX, SIXTOFOUR),
        *(NearRule(prefix, False) for prefix in never),
    )
    ingress = [IngressRule(SIXTOFOUR_PREFIX, (SIXTOFOUR,), "6to4 sites")]
    if from_relays is not None:
        ingress.append(IngressRule(ALL_ADDRESSES, (from_relays,), "relays"))
        ingress += [IngressRule(prefix, (), f"{prefix} from relays") for prefix in never]
    return TunnelTable(
        interface=options.interface,
        forwarding=_forwarding((*routes, *facts.foreign_routes), never),
        ingress=tuple(ingress),
        encapsulation=Encapsulation(
            ttl=options.ttl,
            dscp=options.dscp,
            dynamic_mtu=options.dynamic_mtu,
            sources=(SIXTOFOUR,),
            default_source=endpoints[0] if len(endpoints) == 1 else None,
        ),
        local_endpoints=frozenset(endpoints),
        host_endpoints=facts.host_endpoints | frozenset(endpoints),
        local_addresses=local,
        host_addresses=facts.host_addresses | local,
        endpoint_rules=endpoint_rules(options, facts, globally_unique, relay),
        source_rules=ours,
        destination_rules=ours,
        site_prefixes=tuple(map(sixtofour_prefix, endpoints)) if site else (),
        handed_up=HANDED_UP,
    )


def accepted_relays(
    relay: str | None, accept: str, resolved: Iterable[IPv4Address]
) -> Anybody | Listed | None:
    """Who may bring packets from native sources.

    Args:
        relay: as the user has named it; without one there are no native sources.
        accept: ``any``, for the relay that a native host is nearest to carries its packets (RFC
            3056 section 5.2), or ``configured``, where that is always the one we use.
        resolved: the addresses of its name.
    """
    if relay is None:
        return None
    if accept == "any":
        return ANYBODY
    configured = configured_address(relay)
    return Listed(frozenset(resolved) if configured is None else frozenset({configured}))


def never_global(globally_unique: bool) -> tuple[IPv6Network, ...]:
    """Prefixes of inner addresses that pass in neither direction.

    On a closed network, unique local addresses may.
    """
    return (*_NEVER_GLOBAL, _UNIQUE_LOCAL) if globally_unique else _NEVER_GLOBAL


def endpoint_rules(
    options: TunnelOptions, facts: HostFacts, globally_unique: bool, relay: IPv4Address | None
) -> tuple[EndpointRule, ...]:
    """RFC 3964 section 5.3.1: nothing goes to or comes from addresses that are nobody's own.

    What the user allows can only make the rest fewer, but for the relay that the user has named.
    """
    rules = {rule.prefix: rule.allowed for rule in options.endpoint_rules()}
    if globally_unique:
        for prefix in rules:
            if any(prefix.subnet_of(refused) for refused in NOT_GLOBALLY_UNIQUE):
                rules[prefix] = False
        rules |= dict.fromkeys(NOT_GLOBALLY_UNIQUE, False)
        if relay is not None and not is_globally_unique(relay):
            rules[IPv4Network(relay)] = True
    # "The address MUST NOT be any of the router's broadcast addresses", unique or not.
    rules |= {IPv4Network(address): False for address in facts.broadcast_addresses}
    return tuple(EndpointRule(prefix, allowed) for prefix, allowed in rules.items())


def _forwarding(
    routes: Iterable[Route], never: Iterable[IPv6Network]
) -> tuple[ForwardingRule, ...]:
    """Rules for all routes, and so that the default route does not catch what is never global."""
    best = best_routes(routes)
    routed = {route.prefix for route in best}
    refused = (ForwardingRule(one, None, f"{one} never") for one in never if one not in routed)
    return (*map(_forwarding_rule, best), *refused)


def _forwarding_rule(route: Route) -> ForwardingRule:
    if route.gateway is None:
        return ForwardingRule(route.prefix, SIXTOFOUR, f"{route.prefix} on-link")
    endpoint = embedded_ipv4(route.gateway)
    return ForwardingRule(
        route.prefix,
        None if endpoint is None else Fixed(endpoint),
        f"{route.prefix} via {route.gateway}",
    )

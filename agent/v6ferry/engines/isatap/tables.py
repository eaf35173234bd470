# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of an ISATAP interface, for host and router alike."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Network

from v6ferry.addresses.isatap import embedded_ipv4
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    HANDED_UP,
    ON_LINK_METRIC,
    TunnelOptions,
    best_routes,
)
from v6ferry.forwarding.table import (
    ISATAP,
    Embedded,
    Encapsulation,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    TunnelTable,
)
from v6ferry.system.state import (
    LINK_LOCAL_PREFIX,
    HostFacts,
    InterfaceAddress,
    Route,
)


def tunnel_table(
    options: TunnelOptions,
    facts: HostFacts,
    endpoints: tuple[IPv4Address, ...],
    addresses: Iterable[InterfaceAddress],
    routes: Iterable[Route],
    on_link: Iterable[IPv6Network],
    routers: frozenset[IPv4Address],
    handed_up: frozenset[int] = HANDED_UP,
) -> TunnelTable:
    """Put the tables of an ISATAP interface together.

    Args:
        options: what the user set.
        facts: what is known of the host.
        endpoints: our underlay addresses.
        addresses: what the tunnel interface has.
        routes: our routes through it.
        on_link: prefixes whose addresses embed the endpoint.
        routers: the potential router list; they may carry any source (RFC 5214 section 7.3).
        handed_up: neighbor discovery types for the engine.
    """
    local = frozenset(one.address for one in addresses)
    return TunnelTable(
        interface=options.interface,
        forwarding=tuple(map(_forwarding_rule, best_routes((*routes, *facts.foreign_routes)))),
        ingress=_ingress(on_link, routers),
        encapsulation=Encapsulation(
            ttl=options.ttl,
            dscp=options.dscp,
            dynamic_mtu=options.dynamic_mtu,
            sources=(ISATAP,),
            default_source=endpoints[0] if len(endpoints) == 1 else None,
        ),
        local_endpoints=frozenset(endpoints),
        host_endpoints=facts.host_endpoints | frozenset(endpoints),
        local_addresses=local,
        host_addresses=facts.host_addresses | local,
        endpoint_rules=options.endpoint_rules(),
        handed_up=handed_up,
    )


def _forwarding_rule(route: Route) -> ForwardingRule:
    if route.gateway is None:
        return ForwardingRule(route.prefix, ISATAP, f"{route.prefix} on-link")
    endpoint = embedded_ipv4(route.gateway)
    # A next hop that is no ISATAP address has no IPv4 address: such packets are refused, visibly.
    return ForwardingRule(
        route.prefix, None if endpoint is None else Fixed(endpoint), rule_name(route)
    )


def rule_name(route: Route) -> str:
    """What the forwarding rule of a route through a router is called."""
    return f"{route.prefix} via {route.gateway}"


def _ingress(
    on_link: Iterable[IPv6Network], routers: frozenset[IPv4Address]
) -> tuple[IngressRule, ...]:
    """RFC 5214 section 7.3; a link-local source must be the sender's own, even a router's."""
    from_routers = (Listed(routers),) if routers else ()
    rules = [IngressRule(LINK_LOCAL_PREFIX, (ISATAP,), f"{LINK_LOCAL_PREFIX} embedded")]
    accept: tuple[Embedded | Listed, ...] = (ISATAP, *from_routers)
    rules += [
        IngressRule(prefix, accept, f"{prefix} embedded")
        for prefix in sorted(set(on_link))
        if prefix != LINK_LOCAL_PREFIX
    ]
    if from_routers:
        rules.append(IngressRule(ALL_ADDRESSES, from_routers, "potential routers"))
        # All of fe80::/10, so that no router's packet slips past the rule for fe80::/64.
        rules.append(IngressRule(IPv6Network("fe80::/10"), (), "link-local, not fe80::/64"))
    return tuple(rules)


def link_local_route() -> Route:
    """The on-link route of link-local addresses."""
    return Route(LINK_LOCAL_PREFIX, None, ON_LINK_METRIC)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of an ISATAP interface, for host and router alike."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.addresses.isatap import embedded_ipv4
from v6ferry.engines.isatap.specification import TunnelOptions
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
from v6ferry.wire.icmpv6 import Icmpv6Type
from v6ferry.wire.ipv4 import IPV4_HEADER_LENGTH
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU

ANY_SOURCE = IPv6Network("::/0")
ON_LINK_METRIC = 256
"""The metric that kernels give to on-link prefixes."""

_LARGEST_MTU = 65515

HANDED_UP = frozenset(
    {
        int(Icmpv6Type.ROUTER_SOLICITATION),
        int(Icmpv6Type.ROUTER_ADVERTISEMENT),
        int(Icmpv6Type.NEIGHBOR_SOLICITATION),
        int(Icmpv6Type.NEIGHBOR_ADVERTISEMENT),
        int(Icmpv6Type.REDIRECT),
    }
)


def underlay_endpoints(options: TunnelOptions, facts: HostFacts) -> tuple[IPv4Address, ...]:
    """The host's IPv4 addresses that the tunnel uses, in the host's order, each once."""
    return tuple(
        dict.fromkeys(
            underlay.address
            for underlay in facts.underlay
            if options.allows(underlay) and is_unicast_endpoint(underlay.address)
        )
    )


def tunnel_mtu(options: TunnelOptions, facts: HostFacts, advertised: int | None = None) -> int:
    """MTU of the tunnel interface in bytes (RFC 4213 section 3.2).

    A static tunnel MTU is 1280 unless the user or a router says more. A dynamic one is what the
    widest underlay carries; narrower paths are told to senders one by one.
    """
    mtus = [
        facts.underlay_mtu[underlay.interface]
        for underlay in facts.underlay
        if options.allows(underlay) and underlay.interface in facts.underlay_mtu
    ]
    # A tunnel from a loopback interface's address leaves through any of the others.
    mtus = mtus or list(facts.underlay_mtu.values())
    widest = max(mtus, default=IPV6_MINIMUM_MTU + IPV4_HEADER_LENGTH)
    natural = widest - IPV4_HEADER_LENGTH
    if options.dynamic_mtu:
        chosen = min(natural, options.mtu or _LARGEST_MTU, advertised or _LARGEST_MTU)
    elif options.mtu is not None:
        chosen = min(options.mtu, advertised or options.mtu)
    else:
        chosen = min(advertised or IPV6_MINIMUM_MTU, natural)
    return max(chosen, IPV6_MINIMUM_MTU)


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
        forwarding=_forwarding((*routes, *facts.foreign_routes)),
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
        handed_up=handed_up,
    )


def _forwarding(routes: Iterable[Route]) -> tuple[ForwardingRule, ...]:
    """One rule a prefix: the kernel hands over only the destination, so the best route decides."""
    best: dict[IPv6Network, Route] = {}
    for route in routes:
        if route.prefix not in best or route.metric < best[route.prefix].metric:
            best[route.prefix] = route
    return tuple(_forwarding_rule(best[prefix]) for prefix in sorted(best))


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
        rules.append(IngressRule(ANY_SOURCE, from_routers, "potential routers"))
        # All of fe80::/10, so that no router's packet slips past the rule for fe80::/64.
        rules.append(IngressRule(IPv6Network("fe80::/10"), (), "link-local, not fe80::/64"))
    return tuple(rules)


def link_local_route() -> Route:
    """The on-link route of link-local addresses."""
    return Route(LINK_LOCAL_PREFIX, None, ON_LINK_METRIC)


def is_ours(address: IPv6Address, addresses: Iterable[InterfaceAddress]) -> bool:
    """Whether ``address`` is one of ``addresses``."""
    return any(address == one.address for one in addresses)

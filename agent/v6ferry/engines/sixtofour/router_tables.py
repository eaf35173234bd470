# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of a 6to4 router's tunnel interface (RFC 3056 section 5.3, RFC 3964)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from v6ferry.addresses.ipv4 import NOT_GLOBALLY_UNIQUE, is_globally_unique
from v6ferry.addresses.sixtofour import SIXTOFOUR_PREFIX, embedded_ipv4
from v6ferry.engines.tunnel import ALL_ADDRESSES, HANDED_UP, TunnelOptions, best_routes
from v6ferry.forwarding.table import (
    ANYBODY,
    SIXTOFOUR,
    Encapsulation,
    EndpointRule,
    Fixed,
    ForwardingRule,
    IngressRule,
    NearRule,
    TunnelTable,
)
from v6ferry.system.state import HostFacts, InterfaceAddress, Route

_NEVER_FROM_A_RELAY = tuple(map(IPv6Network, ("fe80::/10", "fec0::/10", "ff00::/8", "::/96")))
"""Scopes that end at a site, and what embeds IPv4 in other ways (RFC 3964 section 5.1)."""


def router_table(
    options: TunnelOptions,
    facts: HostFacts,
    endpoints: tuple[IPv4Address, ...],
    addresses: Iterable[InterfaceAddress],
    routes: Iterable[Route],
    *,
    globally_unique: bool,
    from_relays: bool,
    relay: IPv4Address | None,
) -> TunnelTable:
    """Put the tables together.

    Args:
        options: what the user set.
        facts: what is known of the host.
        endpoints: our public addresses.
        addresses: what the tunnel interface has.
        routes: our routes through it.
        globally_unique: whether far ends must have globally unique addresses.
        from_relays: whether native sources are accepted, from whatever relay (RFC 3056 section
            5.2: the one that a native host is nearest to carries its packets).
        relay: the one that we use; whoever named it may be spoken to, anycast or not.
    """
    local = frozenset(one.address for one in addresses)
    ours = (NearRule(ALL_ADDRESSES, False), NearRule(SIXTOFOUR_PREFIX, SIXTOFOUR))
    ingress = [IngressRule(SIXTOFOUR_PREFIX, (SIXTOFOUR,), "6to4 sites")]
    if from_relays:
        ingress.append(IngressRule(ALL_ADDRESSES, (ANYBODY,), "relays"))
        ingress += [
            IngressRule(prefix, (), f"{prefix} from relays") for prefix in _NEVER_FROM_A_RELAY
        ]
    return TunnelTable(
        interface=options.interface,
        forwarding=tuple(map(_forwarding_rule, best_routes((*routes, *facts.foreign_routes)))),
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
        endpoint_rules=endpoint_rules(options, globally_unique, relay),
        source_rules=ours,
        destination_rules=ours,
        handed_up=HANDED_UP,
    )


def endpoint_rules(
    options: TunnelOptions, globally_unique: bool, relay: IPv4Address | None
) -> tuple[EndpointRule, ...]:
    """RFC 3964 section 5.3: nothing goes to or comes from addresses that are nobody's own.

    A user's longer prefix wins over them.
    """
    rules = options.endpoint_rules()
    if globally_unique:
        named = {rule.prefix for rule in rules}
        rules += tuple(
            EndpointRule(prefix, False) for prefix in NOT_GLOBALLY_UNIQUE if prefix not in named
        )
        if relay is not None and not is_globally_unique(relay):
            rules += (EndpointRule(IPv4Network(relay), True),)
    return rules


def _forwarding_rule(route: Route) -> ForwardingRule:
    if route.gateway is None:
        return ForwardingRule(route.prefix, SIXTOFOUR, f"{route.prefix} on-link")
    endpoint = embedded_ipv4(route.gateway)
    return ForwardingRule(
        route.prefix,
        None if endpoint is None else Fixed(endpoint),
        f"{route.prefix} via {route.gateway}",
    )

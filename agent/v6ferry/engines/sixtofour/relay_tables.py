# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of a 6to4 relay's tunnel interface (RFC 3964 section 5.2)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from v6ferry.addresses.sixtofour import SIXTOFOUR_PREFIX
from v6ferry.engines.sixtofour.router_tables import endpoint_rules, never_global
from v6ferry.engines.tunnel import HANDED_UP, TunnelOptions
from v6ferry.forwarding.table import (
    SIXTOFOUR,
    Encapsulation,
    ForwardingRule,
    IngressRule,
    NearRule,
    TunnelTable,
)
from v6ferry.system.state import HostFacts, InterfaceAddress


def relay_table(
    options: TunnelOptions,
    facts: HostFacts,
    endpoints: tuple[IPv4Address, ...],
    addresses: Iterable[InterfaceAddress],
    *,
    globally_unique: bool,
    anycast: tuple[IPv4Address, ...] = (),
) -> TunnelTable:
    """Put the tables together.

    Args:
        options: what the user set.
        facts: what is known of the host.
        endpoints: our public addresses.
        addresses: what the tunnel interface has.
        globally_unique: whether far ends must have globally unique addresses.
        anycast: addresses at which we answer as well, and from which nothing is sent.
    """
    local = frozenset(one.address for one in addresses)
    # No rule for ::/0: what a rule accepts is exempt from the check for loops (RFC 6324), and a
    # native destination may embed our endpoint in another technology's way.
    near = (
        NearRule(SIXTOFOUR_PREFIX, SIXTOFOUR),
        *(NearRule(prefix, False) for prefix in never_global(globally_unique)),
    )
    return TunnelTable(
        interface=options.interface,
        forwarding=(ForwardingRule(SIXTOFOUR_PREFIX, SIXTOFOUR, f"{SIXTOFOUR_PREFIX} on-link"),),
        ingress=(IngressRule(SIXTOFOUR_PREFIX, (SIXTOFOUR,), "6to4 sites"),),
        encapsulation=Encapsulation(
            ttl=options.ttl,
            dscp=options.dscp,
            dynamic_mtu=options.dynamic_mtu,
            sources=(SIXTOFOUR,),
            default_source=endpoints[0] if endpoints else None,
        ),
        local_endpoints=frozenset({*endpoints, *anycast}),
        host_endpoints=facts.host_endpoints | {*endpoints, *anycast},
        local_addresses=local,
        host_addresses=facts.host_addresses | local,
        endpoint_rules=endpoint_rules(options, facts, globally_unique, None),
        source_rules=near,
        destination_rules=near,
        handed_up=HANDED_UP,
    )

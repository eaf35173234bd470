# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of a 6rd interface, for customer edge and border relay (RFC 5969 section 9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from v6ferry.addresses.sixrd import delegated_prefix, embedded_ipv4
from v6ferry.engines.tunnel import ALL_ADDRESSES, TunnelOptions, best_routes
from v6ferry.forwarding.table import (
    ISATAP,
    SIXTOFOUR,
    BitPattern,
    Embedded,
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

EVERYWHERE = IPv4Network("0.0.0.0/0")
RELAYED = "border relay"
"""Name of the forwarding rule for all that is not in the domain."""
FROM_RELAYS = "from border relays"
"""Name of the ingress rule for all that is not in the domain."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A 6rd domain as those inside know it."""

    prefix: IPv6Network
    common: IPv4Network
    """The bits that the IPv4 addresses of all customer edges have in common."""

    @property
    def selector(self) -> Embedded:
        """How the IPv4 address of a customer edge is found in an address (section 4)."""
        network, mask = int(self.prefix.network_address), int(self.prefix.netmask)
        return Embedded(
            bit_offset=self.prefix.prefixlen,
            pattern=BitPattern(network, mask),
            common=int(self.common.network_address),
            common_length=self.common.prefixlen,
        )

    def delegated(self, ipv4: IPv4Address) -> IPv6Network:
        """The prefix of the customer edge with ``ipv4``."""
        return delegated_prefix(self.prefix, ipv4, self.common.prefixlen)

    def endpoint(self, address: IPv6Address) -> IPv4Address | None:
        """The customer edge of ``address``; None if it is not in the domain."""
        return embedded_ipv4(address, self.prefix, self.common)


def domain_of(prefix: IPv6Network, ipv4: IPv4Address, mask_length: int) -> Domain:
    """The domain that a customer edge with ``ipv4`` is in."""
    return Domain(prefix, IPv4Network((int(ipv4), mask_length), strict=False))


def customer_edge_table(
    options: TunnelOptions,
    facts: HostFacts,
    domain: Domain,
    endpoint: IPv4Address,
    addresses: Iterable[InterfaceAddress],
    relays: Iterable[IPv4Address],
    relay: IPv4Address | None,
    probes: Mapping[IPv4Address, IPv6Address],
) -> TunnelTable:
    """Put the tables of a customer edge together.

    Args:
        options: what the user set.
        facts: what is known of the host.
        domain: that it is in.
        endpoint: its IPv4 address.
        addresses: what the tunnel interface has.
        relays: all border relays: what comes from them may have any source (section 9.2).
        relay: the one that is used.
        probes: by border relay, the source of packets that come back from it alone.
    """
    relays, delegated = frozenset(relays), domain.delegated(endpoint)
    from_relays = (Listed(relays),) if relays else ()
    # What no interface has of the delegated prefix would lead to ourselves: senders are told that
    # it is unreachable (section 7.1.1).
    forwarding = [
        ForwardingRule(delegated, None, f"{delegated} is ours, but not in use"),
        *_forwarding(domain, facts.foreign_routes),
        ForwardingRule(ALL_ADDRESSES, None if relay is None else Fixed(relay), RELAYED),
    ]
    ingress = [
        IngressRule(ALL_ADDRESSES, from_relays, FROM_RELAYS),
        IngressRule(IPv6Network("fe80::/10"), (), "link-local"),
        IngressRule(domain.prefix, (domain.selector, *from_relays), _from_edges(domain)),
    ]
    if delegated != domain.prefix:
        ingress.append(IngressRule(delegated, (), f"{delegated} in our name"))
    ingress += [
        IngressRule(IPv6Network(source), (Listed(frozenset({one})),), probe_rule(one))
        for one, source in sorted(probes.items())
    ]
    # Only its own prefix is behind it (section 9.2; and on the way out, RFC 2827).
    near = (NearRule(ALL_ADDRESSES, False), NearRule(delegated, True))
    return _table(
        options,
        facts,
        domain,
        (endpoint,),
        addresses,
        forwarding=tuple(_first_of_each_prefix(forwarding)),
        ingress=tuple(ingress),
        endpoint_rules=_endpoint_rules(options, domain.common, relays),
        source_rules=near,
        destination_rules=near,
        site_prefixes=(delegated,),
    )


def border_relay_table(
    options: TunnelOptions,
    facts: HostFacts,
    domain: Domain,
    endpoints: tuple[IPv4Address, ...],
    addresses: Iterable[InterfaceAddress],
) -> TunnelTable:
    """Put the tables of a border relay together.

    Args:
        options: what the user set.
        facts: what is known of the host.
        domain: that it serves.
        endpoints: its IPv4 addresses, the one to send from first.
        addresses: what the tunnel interface has.
    """
    return _table(
        options,
        facts,
        domain,
        endpoints,
        addresses,
        forwarding=tuple(_first_of_each_prefix(_forwarding(domain, facts.foreign_routes))),
        # Nothing that is not from the domain, and nobody in another one's name (section 9.2).
        ingress=(IngressRule(domain.prefix, (domain.selector,), _from_edges(domain)),),
        endpoint_rules=_endpoint_rules(options, domain.common, frozenset()),
        destination_rules=(NearRule(IPv6Network("fe80::/10"), False),),
    )


def probe_rule(relay: IPv4Address) -> str:
    """Name of the ingress rule that counts what comes back from a border relay."""
    return f"back from {relay}"


def _from_edges(domain: Domain) -> str:
    return f"{domain.prefix} from customer edges"


def _table(
    options: TunnelOptions,
    facts: HostFacts,
    domain: Domain,
    endpoints: tuple[IPv4Address, ...],
    addresses: Iterable[InterfaceAddress],
    *,
    forwarding: tuple[ForwardingRule, ...],
    ingress: tuple[IngressRule, ...],
    endpoint_rules: tuple[EndpointRule, ...],
    source_rules: tuple[NearRule, ...] = (),
    destination_rules: tuple[NearRule, ...] = (),
    site_prefixes: tuple[IPv6Network, ...] = (),
) -> TunnelTable:
    local = frozenset(one.address for one in addresses)
    return TunnelTable(
        interface=options.interface,
        forwarding=forwarding,
        ingress=ingress,
        encapsulation=Encapsulation(
            ttl=options.ttl,
            dscp=options.dscp,
            dynamic_mtu=options.dynamic_mtu,
            sources=(domain.selector,),
            default_source=endpoints[0],
        ),
        local_endpoints=frozenset(endpoints),
        host_endpoints=facts.host_endpoints | frozenset(endpoints),
        local_addresses=local,
        host_addresses=facts.host_addresses | local,
        endpoint_rules=endpoint_rules,
        source_rules=source_rules,
        destination_rules=destination_rules,
        # Other tunnels of this host must know how this one finds endpoints (RFC 6324).
        automatic=(ISATAP, SIXTOFOUR, domain.selector),
        site_prefixes=site_prefixes,
    )


def _forwarding(domain: Domain, foreign: Iterable[Route]) -> Iterator[ForwardingRule]:
    """Rules for the domain, and for routes that somebody has set through a customer edge."""
    yield ForwardingRule(domain.prefix, domain.selector, f"{domain.prefix} to customer edges")
    for route in best_routes(foreign):
        if route.gateway is not None and (endpoint := domain.endpoint(route.gateway)) is not None:
            name = f"{route.prefix} via {route.gateway}"
            yield ForwardingRule(route.prefix, Fixed(endpoint), name)


def _first_of_each_prefix(rules: Iterable[ForwardingRule]) -> Iterator[ForwardingRule]:
    seen: set[IPv6Network] = set()
    for rule in rules:
        if rule.prefix not in seen:
            seen.add(rule.prefix)
            yield rule


def _endpoint_rules(
    options: TunnelOptions, common: IPv4Network, relays: frozenset[IPv4Address]
) -> tuple[EndpointRule, ...]:
    """Far ends are in the domain or border relays, and where the user allows them, too."""
    of_domain = {common, *map(IPv4Network, relays)}
    allowed_by_user = set(options.allowed_endpoints) or {EVERYWHERE}
    allowed = {
        max(one, other, key=lambda network: network.prefixlen)
        for one in of_domain
        for other in allowed_by_user
        if one.overlaps(other)
    }
    if EVERYWHERE in allowed:
        return ()
    return (EndpointRule(EVERYWHERE, False), *(EndpointRule(one, True) for one in sorted(allowed)))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of Teredo's tunnel interfaces: the engine finds peers, the planes know them then."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from v6ferry.addresses.teredo import OBSOLETE_TEREDO_PREFIX, TEREDO_PREFIX
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    ON_LINK_METRIC,
    TunnelOptions,
    tunnel_mtu,
)
from v6ferry.forwarding.table import (
    PEERS,
    Encapsulation,
    Endpoint,
    ForwardingRule,
    IngressRule,
    NearRule,
    TunnelTable,
)
from v6ferry.system.state import HostFacts, InterfaceAddress, InterfaceState, Route

OVERHEAD = 28
"""Octets of the IPv4 and UDP headers."""
MORE_PORTS = range(61000, 65536)
"""UDP ports of ours for single peers and purposes: above what Linux gives to sockets that ask for
any port."""


def teredo_table(
    options: TunnelOptions,
    facts: HostFacts,
    endpoints: Iterable[IPv4Address],
    port: int,
    addresses: Iterable[IPv6Address] = (),
    peers: tuple[IPv6Network, ...] = (),
    near: tuple[NearRule, ...] = (),
    more_ports: Iterable[int] = (),
    group: Endpoint | None = None,
) -> TunnelTable:
    """The table of an interface whose packets go to peers, and to nobody else.

    Args:
        options: of the tunnel.
        facts: of the host.
        endpoints: our IPv4 addresses; packets go from the first one.
        port: our UDP port.
        addresses: IPv6 addresses of the interface.
        peers: prefixes of peers; without any, the engine alone sends and receives.
        near: which addresses may be on our side.
        more_ports: UDP ports of ours that single peers have to themselves.
        group: multicast group that the engine listens to.
    """
    in_order = tuple(endpoints)
    ours = frozenset(in_order)
    local = frozenset(addresses)
    forwarding = [ForwardingRule(one, PEERS, f"{one} peers") for one in peers]
    if ALL_ADDRESSES in peers:
        never = f"{OBSOLETE_TEREDO_PREFIX} never"
        forwarding.append(ForwardingRule(OBSOLETE_TEREDO_PREFIX, None, never))
    return TunnelTable(
        interface=options.interface,
        forwarding=tuple(forwarding),
        ingress=tuple(IngressRule(one, (PEERS,), f"{one} peers") for one in peers),
        encapsulation=Encapsulation(
            ttl=options.ttl,
            dscp=options.dscp,
            dynamic_mtu=options.dynamic_mtu,
            # Peers know us by one endpoint, whatever way packets to them take.
            default_source=next(iter(in_order), None),
            port=port,
            more_ports=frozenset(more_ports),
        ),
        local_endpoints=ours,
        host_endpoints=facts.host_endpoints | ours,
        local_addresses=local,
        host_addresses=facts.host_addresses | local,
        endpoint_rules=options.endpoint_rules(),
        source_rules=near,
        destination_rules=near,
        on_demand=True,
        group=group,
    )


def client_interface(
    options: TunnelOptions, facts: HostFacts, addresses: tuple[IPv6Address, ...], metric: int
) -> InterfaceState:
    """The interface of a client, by which all of IPv6 is reached.

    Args:
        options: of the tunnel.
        facts: of the host.
        addresses: of the interface; without any it has no routes.
        metric: of the default route.
    """
    routes = (Route(TEREDO_PREFIX, None, ON_LINK_METRIC), Route(ALL_ADDRESSES, None, metric))
    return InterfaceState(
        options.interface,
        tunnel_mtu(options, facts, overhead=OVERHEAD),
        tuple(InterfaceAddress(one, 128) for one in addresses),
        routes if addresses else (),
    )


def only(addresses: Iterable[IPv6Address]) -> tuple[NearRule, ...]:
    """Rules that let nobody but these addresses be on our side."""
    allowed = tuple(NearRule(IPv6Network(one), True) for one in addresses)
    return (*allowed, NearRule(ALL_ADDRESSES, False))


NATIVE_SIDE = (
    NearRule(TEREDO_PREFIX, False),
    NearRule(OBSOLETE_TEREDO_PREFIX, False),
    NearRule(IPv6Network("2000::/3"), True),
    NearRule(ALL_ADDRESSES, False),
)
"""Of a relay: global addresses that are no client's own (RFC 4380 section 5.4.2)."""

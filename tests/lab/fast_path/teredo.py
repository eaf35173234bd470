# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the shape that Teredo has: IPv6 in UDP, endpoints in addresses and in a peer table."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network, ip_interface

from v6ferry.addresses.teredo import TeredoAddress
from v6ferry.forwarding.table import (
    PEERS,
    TEREDO,
    Encapsulation,
    Endpoint,
    ForwardingRule,
    IngressRule,
    TunnelTable,
)

from tests.lab import Host, Interface, Network, Topology
from tests.lab.plane_process import Carried

INTERFACE = "teredo0"
PORT = 4096
SERVER = IPv4Address("206.73.118.1")
A, B = IPv4Address("192.168.47.99"), IPv4Address("192.168.47.100")
ALL = IPv6Network("::/0")
TEREDO_PREFIX = IPv6Network("2001::/32")


def teredo_address(underlay: IPv4Address) -> IPv6Address:
    """The address of a client that no NAT stands before."""
    return TeredoAddress(SERVER, underlay, PORT).encode()


def native_address(underlay: IPv4Address) -> IPv6Address:
    """An address that says nothing of where it is."""
    return IPv6Address((0x20010DB8 << 96) | int(underlay))


def two_hosts(*, transmit_offload: bool) -> Topology:
    """Two hosts on one link of IPv4, A and B."""
    return Topology(
        "udp",
        (Network("link", ipv6=False, transmit_offload=transmit_offload),),
        tuple(
            Host(name, (Interface("eth0", "link", (ip_interface(f"{address}/24"),)),))
            for name, address in (("a", A), ("b", B))
        ),
    )


def client(here: str, there: str, mtu: str = "1280") -> Carried:
    """A tunnel of ``here`` in which ``there`` is reached by its address, and as a peer."""
    ours, theirs = IPv4Address(here), IPv4Address(there)
    addresses = (teredo_address(ours), native_address(ours))
    table = TunnelTable(
        INTERFACE,
        forwarding=(
            ForwardingRule(TEREDO_PREFIX, TEREDO, "clients"),
            ForwardingRule(ALL, PEERS, "peers"),
        ),
        ingress=(
            IngressRule(TEREDO_PREFIX, (TEREDO,), "clients"),
            IngressRule(ALL, (PEERS,), "peers"),
        ),
        encapsulation=Encapsulation(port=PORT, dynamic_mtu=int(mtu) > 1280),
        local_endpoints=frozenset({ours}),
        host_endpoints=frozenset({ours}),
        local_addresses=frozenset(addresses),
        host_addresses=frozenset(addresses),
    )
    return Carried(
        table,
        addresses=(IPv6Interface((addresses[0], 32)), IPv6Interface((addresses[1], 64))),
        mtu=int(mtu),
        peers={native_address(theirs): Endpoint(theirs, PORT)},
    )

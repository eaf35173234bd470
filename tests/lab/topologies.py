# SPDX-License-Identifier: GPL-3.0-or-later
"""The topologies that the lab knows by name.

``isatap`` is an IPv4-only intranet around one router that speaks no IPv6, with an ISATAP router
between it and a native IPv6 segment::

    a 192.168.47.99 ----+                    +---- 10.0.0.1 router  2001:db8:0:c::1 ----+
                        |                    |                                          | native
                        +---- core (IPv4) ---+                                          |
                        |                    |                      2001:db8:0:c::c  c -+
    b 131.107.71.209 ---+                    +---- 10.0.1.53 dns

``sixrd`` is a provider's IPv4 network with a 6rd domain on it, 2001:db8::/32 for 10.0.0.0/8: two
customer edges with a network behind each, and two border relays before a native IPv6 segment; ``c``
uses the first::

    h1 -- lan1 -- ce1 10.1.0.1 --+                +-- 10.0.0.1 br  2001:db9:0:c::1 --+
                                 +-- core (IPv4) -+-- 10.0.4.1 br2 2001:db9:0:c::2 --+ native
    h2 -- lan2 -- ce2 10.2.0.1 --+                +-- 10.3.0.1 rogue                 |
                                                           2001:db9:0:c::c  c -------+

``sixtofour`` is the IPv4 Internet of the white paper's figures 19 to 24, with a 6to4 site, a 6to4
host on its own, and a relay before the native IPv6 Internet::

    a -- lan -- router 157.60.0.1 --+                +-- 194.207.1.5 relay 2001:db8:0:c::1 -+
                                    +-- core (IPv4) -+                                      | native
                  b 131.107.0.1 ----+                          2001:db8:0:c::c  c ----------+

``portproxy`` is the white paper's PortProxy: an IPv4-only and an IPv6-only segment, a computer on
both, and a name server on both whose records lead nodes of one family to the computer, on behalf
of nodes of the other::

    v4 10.0.0.4 ----+---- 10.0.0.1 proxy 2001:db8:0:6::1 ----+---- 2001:db8:0:6::6 v6
                    |                                        |
                    +---- 10.0.0.53 dns 2001:db8:0:6::53 ----+

Every host of the others is alone on its IPv4 subnet, whose gateway is address .254 of ``core``.
``isatap-two-routers`` adds ``router2``, 10.0.2.1 on the intranet and 2001:db8:0:c::2 on the native
segment; ``c`` keeps its default route through ``router`` and has one through ``router2`` behind it.
``configured`` has all of that, and ``branch``, 10.0.3.1, the router of another native segment, that
of ``d``: 2001:db8:0:d::1 and 2001:db8:0:d::d.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface
from types import MappingProxyType
from typing import Any

from tests.lab.topology import Host, Interface, Network, Route, Topology, Zone

DOMAIN = "corp.example"
NAME_SERVER = "10.0.1.53"
NAME_SERVER_OF_BOTH = ("10.0.0.53", "2001:db8:0:6::53")
NATIVE = "native"
BRANCH_LAN = "branch-lan"

_EVERYTHING_IPV4 = IPv4Network("0.0.0.0/0")
_EVERYTHING_IPV6 = IPv6Network("::/0")


def _intranet_gateway(address: str) -> str:
    """Return core's address in the /24 of ``address``: the last one that a host may have."""
    return str(ip_interface(f"{address}/24").network.broadcast_address - 1)


def _intranet_host(
    name: str,
    address: str,
    *,
    group: str,
    lan: tuple[Interface, ...] = (),
    zones: tuple[Zone, ...] = (),
) -> Host:
    """Return a host with ``eth0`` in its own /24 of the intranet."""
    return Host(
        name,
        interfaces=(Interface("eth0", f"{name}-uplink", (ip_interface(f"{address}/24"),)), *lan),
        routes=(Route(_EVERYTHING_IPV4, ip_address(_intranet_gateway(address))),),
        zones=zones,
        groups=(group,),
    )


def _native(address: str, network: str = NATIVE) -> tuple[Interface, ...]:
    return (Interface("lan0", network, (ip_interface(f"{address}/64"),)),)


def _core(underlay: tuple[Host, ...]) -> Host:
    """Return the router without IPv6 between hosts of the underlay."""
    return Host(
        "core",
        interfaces=tuple(
            Interface(
                f"eth{index}",
                f"{host.name}-uplink",
                (ip_interface(f"{_intranet_gateway(str(host.addresses[0]))}/24"),),
            )
            for index, host in enumerate(underlay)
        ),
        ipv4_forwarding=True,
        ipv6=False,
        groups=("underlay_routers",),
    )


def _isatap(
    name: str,
    routers: Mapping[str, tuple[str, str]],
    branches: tuple[Host, ...] = (),
    branch_hosts: tuple[Host, ...] = (),
) -> Topology:
    """Return the example intranet.

    Args:
        name: of the topology.
        routers: ISATAP routers by name, each with its IPv4 address on the intranet and its IPv6
            address on the native segment, in the order in which ``c`` prefers them.
        branches: more hosts of the intranet, routers of ``BRANCH_LAN``.
        branch_hosts: who is on that segment.
    """
    intranet = (
        *(
            _intranet_host(router, ipv4, group="isatap_routers", lan=_native(ipv6))
            for router, (ipv4, ipv6) in routers.items()
        ),
        _intranet_host("a", "192.168.47.99", group="isatap_hosts"),
        _intranet_host("b", "131.107.71.209", group="isatap_hosts"),
        _intranet_host("dns", NAME_SERVER, group="name_servers", zones=(Zone(DOMAIN),)),
        *branches,
    )
    native_host = Host(
        "c",
        interfaces=_native("2001:db8:0:c::c"),
        routes=tuple(
            Route(_EVERYTHING_IPV6, ip_address(ipv6), metric=1024 * preference)
            for preference, (_ipv4, ipv6) in enumerate(routers.values(), start=1)
        ),
        groups=("native_hosts",),
    )
    return Topology(
        name,
        networks=(
            *(Network(f"{host.name}-uplink", ipv6=False) for host in intranet),
            Network(NATIVE),
            *(Network(BRANCH_LAN) for _branch in branches),
        ),
        hosts=(*intranet, native_host, *branch_hosts, _core(intranet)),
        domain=DOMAIN,
        name_servers=(ip_address(NAME_SERVER),),
    )


ISATAP = _isatap("isatap", {"router": ("10.0.0.1", "2001:db8:0:c::1")})
ISATAP_TWO_ROUTERS = _isatap(
    "isatap-two-routers",
    {"router": ("10.0.0.1", "2001:db8:0:c::1"), "router2": ("10.0.2.1", "2001:db8:0:c::2")},
)
CONFIGURED = _isatap(
    "configured",
    {"router": ("10.0.0.1", "2001:db8:0:c::1"), "router2": ("10.0.2.1", "2001:db8:0:c::2")},
    (
        _intranet_host(
            "branch",
            "10.0.3.1",
            group="configured_tunnel_hosts",
            lan=_native("2001:db8:0:d::1", BRANCH_LAN),
        ),
    ),
    (
        Host(
            "d",
            interfaces=_native("2001:db8:0:d::d", BRANCH_LAN),
            routes=(Route(_EVERYTHING_IPV6, ip_address("2001:db8:0:d::1"), metric=1024),),
            groups=("native_hosts",),
        ),
    ),
)


def _sixrd() -> Topology:
    """Return the 6rd domain."""
    relays = {"br": ("10.0.0.1", "2001:db9:0:c::1"), "br2": ("10.0.4.1", "2001:db9:0:c::2")}
    underlay = (
        *(
            _intranet_host(name, ipv4, group="sixrd_brs", lan=_native(ipv6))
            for name, (ipv4, ipv6) in relays.items()
        ),
        *(
            _intranet_host(
                f"ce{number}",
                f"10.{number}.0.1",
                group="sixrd_ces",
                lan=(Interface("lan0", f"lan{number}", (ip_interface(f"192.168.{number}.1/24"),)),),
            )
            for number in (1, 2)
        ),
        _intranet_host("rogue", "10.3.0.1", group="others"),
    )
    behind = tuple(
        Host(
            f"h{number}",
            interfaces=(Interface("eth0", f"lan{number}"),),
            groups=("customers",),
        )
        for number in (1, 2)
    )
    native_host = Host(
        "c",
        interfaces=_native("2001:db9:0:c::c"),
        routes=(Route(_EVERYTHING_IPV6, ip_address("2001:db9:0:c::1")),),
        groups=("native_hosts",),
    )
    return Topology(
        "sixrd",
        networks=(
            *(Network(f"{host.name}-uplink", ipv6=False) for host in underlay),
            Network("lan1"),
            Network("lan2"),
            Network(NATIVE),
        ),
        hosts=(*underlay, *behind, native_host, _core(underlay)),
        domain=DOMAIN,
    )


SIXRD = _sixrd()


def _sixtofour() -> Topology:
    """Return the IPv4 Internet with 6to4 on it; ``a`` has no address but what it is advertised."""
    relay_lan = (Interface("lan0", NATIVE, (ip_interface("2001:db8:0:c::1/64"),)),)
    underlay = (
        _intranet_host(
            "router", "157.60.0.1", group="sixtofour_routers", lan=(Interface("lan0", "lan"),)
        ),
        _intranet_host("b", "131.107.0.1", group="sixtofour_hosts"),
        _intranet_host("relay", "194.207.1.5", group="sixtofour_relays", lan=relay_lan),
    )
    native_host = Host(
        "c",
        interfaces=(Interface("eth0", NATIVE, (ip_interface("2001:db8:0:c::c/64"),)),),
        routes=(Route(_EVERYTHING_IPV6, ip_address("2001:db8:0:c::1")),),
        groups=("native_hosts",),
    )
    return Topology(
        "sixtofour",
        networks=(
            *(Network(f"{host.name}-uplink", ipv6=False) for host in underlay),
            Network("lan"),
            Network(NATIVE),
        ),
        hosts=(
            *underlay,
            Host("a", (Interface("eth0", "lan"),), groups=("site_hosts",)),
            native_host,
            _core(underlay),
        ),
    )


SIXTOFOUR = _sixtofour()


def _portproxy() -> Topology:
    """Return two segments that have nothing but the proxy in common."""

    def both(name: str, host: int, **more: Any) -> Host:
        return Host(
            name,
            (
                Interface("eth0", "old", (ip_interface(f"10.0.0.{host}/24"),)),
                Interface("eth1", NATIVE, (ip_interface(f"2001:db8:0:6::{host}/64"),)),
            ),
            **more,
        )

    records = (
        # PortProxy stands for each of them where it cannot be reached itself.
        "site6 A 10.0.0.1",
        "site6 AAAA 2001:db8:0:6::6",
        "site4 A 10.0.0.4",
        "site4 AAAA 2001:db8:0:6::1",
    )
    return Topology(
        "portproxy",
        networks=(Network("old", ipv6=False), Network(NATIVE)),
        hosts=(
            Host(
                "v4",
                (Interface("eth0", "old", (ip_interface("10.0.0.4/24"),)),),
                ipv6=False,
                groups=("ipv4_only",),
            ),
            Host(
                "v6",
                (Interface("eth0", NATIVE, (ip_interface("2001:db8:0:6::6/64"),)),),
                groups=("ipv6_only",),
            ),
            both("proxy", 1, groups=("portproxies",)),
            both("dns", 53, zones=(Zone(DOMAIN, records),), groups=("name_servers",)),
        ),
        domain=DOMAIN,
        name_servers=(ip_address(NAME_SERVER_OF_BOTH[0]), ip_address(NAME_SERVER_OF_BOTH[1])),
    )


PORTPROXY = _portproxy()


def without_transmit_offload(topology: Topology) -> Topology:
    """The same with packets on every link as they would be on a wire, checksums finished."""
    networks = (replace(network, transmit_offload=False) for network in topology.networks)
    return replace(topology, networks=tuple(networks))


TOPOLOGIES: Mapping[str, Topology] = MappingProxyType(
    {
        topology.name: topology
        for topology in (ISATAP, ISATAP_TWO_ROUTERS, CONFIGURED, SIXRD, SIXTOFOUR, PORTPROXY)
    }
)
"""Topologies by name, as ``python -m tests.lab up NAME`` takes them."""

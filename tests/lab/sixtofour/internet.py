# SPDX-License-Identifier: GPL-3.0-or-later
"""The white paper's figures 19 to 24: a 6to4 site, a host on its own, and a relay::

    a -- lan -- router 157.60.0.1 --+
                                    |
        b 131.107.0.1 -------------core (IPv4)
                                    |
    c -- native -- relay 194.207.1.5 --+

``a`` and ``c`` are stock kernels: ``a`` has what it is advertised, ``c`` what is configured.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface

from tests.lab.topology import Host, Interface, Network, Route, Topology

ROUTER, B, RELAY = "157.60.0.1", "131.107.0.1", "194.207.1.5"
SITE = "2002:9d3c:1:1:"
B_ADDRESS = "2002:836b:1::836b:1"
C = "2001:db8:0:c::c"
_EVERYTHING_IPV4, _EVERYTHING_IPV6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")


def _gateway(address: str) -> str:
    return str(ip_interface(f"{address}/24").network.broadcast_address - 1)


def _on_the_internet(name: str, address: str, lan: tuple[Interface, ...] = ()) -> Host:
    return Host(
        name,
        interfaces=(Interface("eth0", f"{name}-uplink", (ip_interface(f"{address}/24"),)), *lan),
        routes=(Route(_EVERYTHING_IPV4, ip_address(_gateway(address))),),
    )


_HOSTS = (
    _on_the_internet("router", ROUTER, (Interface("lan0", "lan"),)),
    _on_the_internet("b", B),
    _on_the_internet(
        "relay", RELAY, (Interface("lan0", "native", (ip_interface("2001:db8:0:c::1/64"),)),)
    ),
)
INTERNET = Topology(
    "sixtofour",
    networks=(
        *(Network(f"{host.name}-uplink", ipv6=False) for host in _HOSTS),
        Network("lan"),
        Network("native"),
    ),
    hosts=(
        *_HOSTS,
        Host("a", (Interface("eth0", "lan"),)),
        Host(
            "c",
            (Interface("eth0", "native", (ip_interface(f"{C}/64"),)),),
            routes=(Route(_EVERYTHING_IPV6, ip_address("2001:db8:0:c::1")),),
        ),
        Host(
            "core",
            interfaces=tuple(
                Interface(
                    f"eth{index}",
                    f"{host.name}-uplink",
                    (ip_interface(f"{_gateway(str(host.addresses[0]))}/24"),),
                )
                for index, host in enumerate(_HOSTS)
            ),
            ipv4_forwarding=True,
            ipv6=False,
        ),
    ),
)

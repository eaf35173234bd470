# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP between two hosts on one veth pair, against plain IPv4 over the same pair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_interface

from tests.bench.rounds import Comparison, compare
from tests.lab import Host, Interface, Lab, LabHost, Network, Topology
from tests.lab.traffic import iperf_server, tcp_bits_per_second, udp_packets_per_second

ROUTER, HOST = "10.0.0.1", "10.0.0.2"
ROUTER_ADDRESS = "2001:db8:0:7:0:5efe:10.0.0.1"

USERSPACE_GOAL = 0.05
SECONDS = 3

_TOPOLOGY = Topology(
    "bench",
    networks=(Network("link", ipv6=False),),
    hosts=tuple(
        Host(name, interfaces=(Interface("eth0", "link", (ip_interface(f"{address}/24"),)),))
        for name, address in (("router", ROUTER), ("host", HOST))
    ),
)


def benchmarks(rounds: int) -> Iterator[Comparison]:
    """Measure the userspace plane."""
    with Lab(_TOPOLOGY) as lab:
        router, host = lab["router"], lab["host"]
        for one in (router, host):
            one.start_agent()
        with iperf_server(router):
            for tunnel_mtu, mtu in (("static", 1280), ("dynamic", 1480)):
                _apply(router, "isatap_router", tunnel_mtu=tunnel_mtu, prefixes=_PREFIXES)
                _apply(host, "isatap_host", tunnel_mtu=tunnel_mtu, routers=[ROUTER])
                yield compare(
                    f"ISATAP, userspace plane: TCP, one stream, tunnel MTU {mtu}",
                    lambda: tcp_bits_per_second(host, ROUTER_ADDRESS, SECONDS) / 1e6,
                    lambda: tcp_bits_per_second(host, ROUTER, SECONDS) / 1e6,
                    rounds=rounds,
                    goal=USERSPACE_GOAL,
                    unit="Mbit/s",
                )
            yield compare(
                "ISATAP, userspace plane: UDP, 64 bytes of payload",
                lambda: udp_packets_per_second(host, ROUTER_ADDRESS, SECONDS) / 1e3,
                lambda: udp_packets_per_second(host, ROUTER, SECONDS) / 1e3,
                rounds=rounds,
                goal=USERSPACE_GOAL,
                unit="kpackets/s",
            )


_PREFIXES = [{"prefix": "2001:db8:0:7::/64"}]


def _apply(host: LabHost, kind: str, **spec: object) -> None:
    resource = {"kind": kind, "name": "bench", "state": "present", "spec": spec}
    host.v6ferry("apply", "-", "--wait", "10", input=json.dumps([resource]))

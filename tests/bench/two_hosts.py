# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab that most benchmarks run in: hosts a and b, joined by one veth pair."""

from __future__ import annotations

from ipaddress import ip_interface

from tests.lab import Host, Interface, Network, Topology


def two_hosts(*, transmit_offload: bool = True) -> Topology:
    """Return the topology."""
    return Topology(
        "bench",
        (Network("link", ipv6=False, transmit_offload=transmit_offload),),
        tuple(
            Host(name, (Interface("eth0", "link", (ip_interface(address),)),))
            for name, address in (("a", "192.168.47.99/24"), ("b", "192.168.47.100/24"))
        ),
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab that most benchmarks run in: hosts a and b, joined by one veth pair.

Their addresses are public, for 6to4 wants those.
"""

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
            for name, address in (("a", "131.107.0.1/24"), ("b", "131.107.0.2/24"))
        ),
    )

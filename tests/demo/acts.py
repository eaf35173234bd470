# SPDX-License-Identifier: GPL-3.0-or-later
"""The acts of the demo: the white paper's networks, and the way that it tells for every pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

from v6ferry.addresses import isatap_address, isatap_link_local

from tests.demo.reach import Station
from tests.lab import ISATAP, SIXTOFOUR, Lab, LabError, LabHost, Topology
from tests.lab.sixtofour.internet import B_ADDRESS, SITE
from tests.lab.sixtofour.site import address_in

ISATAP_PREFIX = IPv6Network("2001:db8:0:7::/64")
_ADVERTISED_SECONDS = 10.0


@dataclass(frozen=True)
class Act:
    """A network without IPv6, and what is to become of it.

    Attributes:
        technology: in words.
        topology: the network.
        playbook: that brings IPv6, by its name in ``playbooks/``.
        agents: the hosts with an agent.
        picture: what is printed first.
        stations: waits until all have their addresses, and tells them.
        ways: for each pair, how its packets go; see ``reach.Reach.way``.
    """

    technology: str
    topology: Topology
    playbook: str
    agents: tuple[str, ...]
    picture: str
    stations: Callable[[Lab], Mapping[str, Station]]
    ways: Mapping[tuple[str, str], str]


def _isatap_stations(lab: Lab) -> dict[str, Station]:
    return {
        "a": _isatap_station(lab["a"]),
        "b": _isatap_station(lab["b"]),
        "c": Station(lab["c"], lab["c"].ipv6),
    }


def _isatap_station(host: LabHost) -> Station:
    """The addresses that RFC 5214 gives a host: known before anybody has asked it."""
    return Station(host, isatap_address(ISATAP_PREFIX, host.ipv4), isatap_link_local(host.ipv4))


def _sixtofour_stations(lab: Lab) -> dict[str, Station]:
    return {
        "a": Station(lab["a"], _advertised(lab["a"])),
        "b": Station(lab["b"], IPv6Address(B_ADDRESS)),
        "c": Station(lab["c"], lab["c"].ipv6),
    }


def _advertised(host: LabHost) -> IPv6Address:
    """What a stock host has formed of the site's prefix, which it takes a second to try."""
    deadline = time.monotonic() + _ADVERTISED_SECONDS
    while (found := address_in(host, SITE)) is None:
        if time.monotonic() > deadline:
            raise LabError(f"host {host.name}: no address in {SITE}:/64 was advertised to it")
        time.sleep(0.05)
    return IPv6Address(found)


ACTS = (
    Act(
        technology="ISATAP",
        topology=ISATAP,
        playbook="isatap",
        agents=("router", "a", "b"),
        picture="""\
An IPv4-only intranet (CORE routes no IPv6), and beyond it a network that speaks IPv6 alone:

  A  192.168.47.99 ---+                                    2001:db8:0:7::/64 on the tunnel
                      +--- CORE ---- 10.0.0.1 ROUTER ----- 2001:db8:0:c::c  C
  B 131.107.71.209 ---+      |
                             +------ 10.0.1.53 DNS
""",
        stations=_isatap_stations,
        ways=MappingProxyType(
            {
                ("a", "b"): "A = B",
                ("a", "c"): "A = ROUTER - C",
                ("b", "a"): "B = A",
                ("b", "c"): "B = ROUTER - C",
                ("c", "a"): "C - ROUTER = A",
                ("c", "b"): "C - ROUTER = B",
            }
        ),
    ),
    Act(
        technology="6to4",
        topology=SIXTOFOUR,
        playbook="sixtofour",
        agents=("router", "b", "relay"),
        picture="""\
The IPv4 Internet (CORE again), a site behind a 6to4 router, a 6to4 host, and native IPv6 behind a
relay; A and C are stock hosts without an agent:

  A --- ROUTER 157.60.0.1 ---+
        2002:9d3c:1::/48     +--- CORE ---- 194.207.1.5 RELAY --- 2001:db8:0:c::c  C
      B 131.107.0.1 ---------+
        2002:836b:1::836b:1
""",
        stations=_sixtofour_stations,
        # Figures 21 to 24.
        ways=MappingProxyType(
            {
                ("a", "b"): "A - ROUTER = B",
                ("a", "c"): "A - ROUTER = RELAY - C",
                ("b", "a"): "B = ROUTER - A",
                ("b", "c"): "B = RELAY - C",
                ("c", "a"): "C - RELAY = ROUTER - A",
                ("c", "b"): "C - RELAY = B",
            }
        ),
    ),
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's lists of links and addresses say of the underlay."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from v6ferry.system.state import HostFacts, UnderlayAddress
from v6ferry.system.uplinks import Way

# linux/if.h, rtnetlink.h
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_POINTOPOINT = 0x10
_RT_SCOPE_UNIVERSE = 0

_POINT_TO_POINT_LENGTH = 31
"""A subnet with this prefix length or a longer one has no broadcast address (RFC 3021)."""


def underlay_facts(
    links: Iterable[Any], addresses: Iterable[Any], exclude: Collection[str]
) -> HostFacts:
    """Return the IPv4 addresses that tunnels may use, and the interfaces that lead to the underlay.

    Args:
        links: rtnetlink messages about all interfaces.
        addresses: rtnetlink messages about all IPv4 addresses.
        exclude: names of interfaces that no tunnel may use, such as our own tunnels.
    """
    up = {link["index"]: link for link in links if link["flags"] & _IFF_UP}
    ways = {
        index: _way(link)
        for index, link in up.items()
        if not link["flags"] & _IFF_LOOPBACK and link.get("ifname") not in exclude
    }
    every: set[IPv4Address] = set()
    broadcast: set[IPv4Address] = set()
    found: list[tuple[bool, int, UnderlayAddress]] = []
    anywhere = False
    for message in addresses:
        index = message["index"]
        if index not in up:
            continue
        # On a point-to-point link, IFA_ADDRESS is the other end.
        address = IPv4Address(message.get("local") or message.get("address"))
        every.add(address)
        if message["prefixlen"] < _POINT_TO_POINT_LENGTH:
            subnet = IPv4Network((int(address), message["prefixlen"]), strict=False)
            broadcast.add(subnet.broadcast_address)
        if index in ways:
            ways[index].has_address = True
        name, is_loopback = up[index].get("ifname"), bool(up[index]["flags"] & _IFF_LOOPBACK)
        usable = message["scope"] == _RT_SCOPE_UNIVERSE and not address.is_loopback
        if usable and name not in exclude:
            found.append((is_loopback, index, UnderlayAddress(address, name, is_loopback)))
            anywhere = anywhere or message["prefixlen"] == address.max_prefixlen
    found.sort(key=lambda entry: entry[:2])
    return HostFacts(
        underlay=tuple(entry[2] for entry in found),
        underlay_mtu={
            underlay.interface: up[index].get("mtu")
            for is_loopback, index, underlay in found
            if not is_loopback
        },
        uplinks=tuple(way.name for way in ways.values() if way.is_uplink(anywhere)),
        host_endpoints=frozenset(every),
        broadcast_addresses=frozenset(broadcast),
    )


def _way(link: Any) -> Way:
    return Way(
        name=link.get("ifname"),
        kind=link["ifi_type"],
        is_port=link.get("master") is not None,
        is_point_to_point=bool(link["flags"] & _IFF_POINTOPOINT),
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""An IPv4-only intranet with room for one ISATAP host and one ISATAP router, a subnet each.

::

    router 10.0.0.1 ---- 10.0.0.254 [underlay] 192.168.47.254 ---- 192.168.47.99 host

The underlay forwards IPv4 and nothing else, so all IPv6 between the two goes through their tunnel.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from types import TracebackType

from tests.interop.guest import Guest, Link
from tests.lab import Host, Interface, Lab, LabHost, Network, Route, Topology

PREFIX = IPv6Network("2001:db8:0:7::/64")


@dataclass(frozen=True)
class Place:
    """A subnet of the intranet and the one machine on it; every subnet is a /24."""

    label: str
    address: IPv4Address
    gateway: IPv4Address

    @property
    def isatap_address(self) -> IPv6Address:
        """The machine's address in `PREFIX`; its IPv4 address is private, so the u bit is 0."""
        return PREFIX[0x00005EFE << 32 | int(self.address)]

    @property
    def isatap_link_local(self) -> IPv6Address:
        """The machine's link-local address on its tunnel interface."""
        return IPv6Network("fe80::/64")[0x00005EFE << 32 | int(self.address)]


ROUTER = Place("router", IPv4Address("10.0.0.1"), IPv4Address("10.0.0.254"))
HOST = Place("host", IPv4Address("192.168.47.99"), IPv4Address("192.168.47.254"))


class Intranet:
    """The intranet with what was put on it; a context manager.

    Args:
        ours: the places that get a host of the lab; the others are for guests.
    """

    def __init__(self, ours: Iterable[Place] = ()) -> None:
        self._lab = Lab(_topology(tuple(ours)))
        self._stack = ExitStack()

    def __enter__(self) -> Intranet:
        self._stack.enter_context(self._lab)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def host_at(self, place: Place) -> LabHost:
        """Return the host of the lab there."""
        return self._lab[place.label]

    @property
    def underlay(self) -> LabHost:
        """The IPv4 router in the middle; its interfaces are called like the places."""
        return self._lab["underlay"]

    def guest_at(self, place: Place) -> Guest:
        """Boot a guest there, with its IPv4 address and its default route."""
        link = Link(self.underlay, tap=place.label, address=f"{place.gateway}/24")
        guest = Guest(f"sit {place.label}", link)
        self._stack.enter_context(guest)
        guest.check(
            f"ip address add {place.address}/24 dev eth0"
            f" && ip route add default via {place.gateway}"
        )
        return guest


def _topology(ours: tuple[Place, ...]) -> Topology:
    underlay = Host(
        "underlay",
        interfaces=tuple(
            Interface(place.label, place.label, (ip_interface(f"{place.gateway}/24"),))
            for place in ours
        ),
        ipv4_forwarding=True,
        ipv6=False,
    )
    hosts = (
        Host(
            place.label,
            interfaces=(Interface("eth0", place.label, (ip_interface(f"{place.address}/24"),)),),
            routes=(Route(IPv4Network("0.0.0.0/0"), place.gateway),),
        )
        for place in ours
    )
    return Topology(
        "interop",
        networks=tuple(Network(place.label, ipv6=False) for place in ours),
        hosts=(underlay, *hosts),
    )

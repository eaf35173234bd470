# SPDX-License-Identifier: GPL-3.0-or-later
"""An IPv4-only network with room for two machines, a subnet each; of ISATAP it is an intranet.

::

    router 10.0.0.1 ---- 10.0.0.254 [underlay] 192.168.47.254 ---- 192.168.47.99 host
    ours 131.107.23.89 ---- .254 [underlay] 157.60.0.254 ---- 157.60.0.1 theirs

The underlay forwards IPv4 and nothing else, so all IPv6 between the two goes through their tunnel.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_interface,
)
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
    private: IPv4Interface | None = None
    """Of a router: what its ``lan0`` has, behind which there is a stock host."""

    @property
    def behind(self) -> str:
        """The name of the host behind a router."""
        return f"{self.label}-lan"

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
OURS = Place(
    "ours",
    IPv4Address("131.107.23.89"),
    IPv4Address("131.107.23.254"),
    private=IPv4Interface("192.168.1.1/24"),
)
THEIRS = Place("theirs", IPv4Address("157.60.0.1"), IPv4Address("157.60.0.254"))


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

    def host_behind(self, place: Place) -> LabHost:
        """Return the host of the lab behind a router there."""
        return self._lab[place.behind]

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
    routed = tuple(place for place in ours if place.private)
    return Topology(
        "interop",
        networks=(
            *(Network(place.label, ipv6=False) for place in ours),
            *(Network(place.behind) for place in routed),
        ),
        hosts=(
            underlay,
            *map(_host, ours),
            *(Host(place.behind, (Interface("eth0", place.behind),)) for place in routed),
        ),
    )


def _host(place: Place) -> Host:
    uplink = Interface("eth0", place.label, (ip_interface(f"{place.address}/24"),))
    lan = (Interface("lan0", place.behind, (place.private,)),) if place.private else ()
    return Host(
        place.label,
        interfaces=(uplink, *lan),
        routes=(Route(IPv4Network("0.0.0.0/0"), place.gateway),),
    )

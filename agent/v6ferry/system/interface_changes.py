# SPDX-License-Identifier: GPL-3.0-or-later
"""What must change so that a tunnel interface is as it should be: a comparison, no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal

from v6ferry.system.state import (
    DEFAULT_ROUTE,
    ROUTE_PROTOCOL,
    InterfaceAddress,
    InterfaceState,
    Route,
)

INFINITE_LIFETIME = 0xFFFFFFFF
LIFETIME_TOLERANCE = 2
"""Seconds by which the kernel's countdown may differ before a lifetime is written anew."""

PROTOCOL_KERNEL = 2
"""RTPROT_KERNEL: routes that the kernel made itself."""
_NEW_TUN_MTU = 1500


@dataclass(frozen=True, slots=True)
class PresentAddress:
    """An IPv6 address that the interface has; lifetimes are remaining seconds."""

    address: IPv6Address
    prefix_length: int
    preferred_lifetime: int = INFINITE_LIFETIME
    valid_lifetime: int = INFINITE_LIFETIME
    makes_prefix_route: bool = False
    """Whether the kernel keeps an on-link route for it (no IFA_F_NOPREFIXROUTE)."""


@dataclass(frozen=True, slots=True)
class PresentRoute:
    """A unicast IPv6 route through the interface, with the rtnetlink protocol of its owner."""

    route: Route
    protocol: int
    main_table: bool = True

    @property
    def is_own(self) -> bool:
        """Whether this agent set the route."""
        return self.protocol == ROUTE_PROTOCOL and self.main_table


@dataclass(frozen=True, slots=True)
class PresentInterface:
    """An interface as the kernel has it; the defaults are those of a TUN device just made."""

    mtu: int = _NEW_TUN_MTU
    up: bool = False
    prepared: bool = False
    """Whether the kernel's own address generation and router discovery are off."""
    addresses: tuple[PresentAddress, ...] = ()
    routes: tuple[PresentRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class MtuChange:
    """Set the MTU, in bytes."""

    interface: str
    mtu: int

    def __str__(self) -> str:
        return f"set the MTU of {self.interface} to {self.mtu}"


@dataclass(frozen=True, slots=True)
class Preparation:
    """Keep the kernel from generating addresses and from doing router discovery by itself."""

    interface: str

    def __str__(self) -> str:
        return f"leave addresses and router discovery of {self.interface} to the agent"


@dataclass(frozen=True, slots=True)
class BringUp:
    """Set the interface administratively up."""

    interface: str

    def __str__(self) -> str:
        return f"bring {self.interface} up"


@dataclass(frozen=True, slots=True)
class AddressChange:
    """Add, refresh or remove an address; lifetimes are remaining seconds."""

    operation: Literal["add", "refresh", "remove"]
    interface: str
    address: IPv6Address
    prefix_length: int
    preferred_lifetime: int = INFINITE_LIFETIME
    valid_lifetime: int = INFINITE_LIFETIME

    def __str__(self) -> str:
        address = f"{self.address}/{self.prefix_length}"
        if self.operation == "remove":
            return f"remove address {address} from {self.interface}"
        if self.operation == "refresh":
            return f"refresh the lifetimes of address {address} on {self.interface}"
        return f"add address {address} to {self.interface}"


@dataclass(frozen=True, slots=True)
class RouteChange:
    """Add or remove one of our routes."""

    operation: Literal["add", "remove"]
    interface: str
    route: Route
    beside_own: bool = False
    """Whether another route of ours has the same prefix and metric."""

    def __str__(self) -> str:
        return f"{self.operation} route {describe_route(self.route, self.interface)}"


Change = MtuChange | Preparation | BringUp | AddressChange | RouteChange


def describe_route(route: Route, interface: str) -> str:
    """Return a route as ip-route(8) would print it."""
    prefix = "default" if route.prefix == DEFAULT_ROUTE else str(route.prefix)
    via = f" via {route.gateway}" if route.gateway is not None else ""
    return f"{prefix}{via} dev {interface} metric {route.metric}"


def interface_changes(
    wanted: InterfaceState, present: PresentInterface, now: float
) -> Iterator[Change]:
    """Yield what has to be done, in the order in which it has to be done.

    What is new comes before what goes, so that a route that changes its gateway never leaves a
    gap. Routes of others are never removed.

    Args:
        wanted: What the interface should be.
        present: What it is.
        now: Seconds on the clock of ``wanted``'s times.
    """
    name = wanted.name
    # The MTU goes first: below 1280 bytes the kernel has no IPv6 settings for the interface.
    if present.mtu != wanted.mtu:
        yield MtuChange(name, wanted.mtu)
    if not present.prepared:
        yield Preparation(name)
    if not present.up:
        yield BringUp(name)

    living = [a for a in wanted.addresses if a.valid_until is None or a.valid_until > now]
    present_addresses = {a.address: a for a in present.addresses}
    for address in living:
        yield from address_changes(name, address, present_addresses.get(address.address), now)
    yield from _route_changes(name, wanted.routes, present.routes)
    keep = {a.address for a in living}
    for extra in present.addresses:
        if extra.address not in keep:
            yield AddressChange("remove", name, extra.address, extra.prefix_length)


def address_changes(
    name: str,
    wanted: InterfaceAddress,
    present: PresentAddress | None,
    now: float,
    *,
    with_route: bool = False,
) -> Iterator[AddressChange]:
    """Yield what has to be done for one address.

    Args:
        name: Of the interface.
        wanted: What it should have.
        present: What it has there; None for nothing.
        now: Seconds on the clock of ``wanted``'s times.
        with_route: Whether the kernel is to keep the address's prefix as an on-link route.
    """
    valid = _remaining(wanted.valid_until, now)
    preferred = min(_remaining(wanted.preferred_until, now), valid)
    operation: Literal["add", "refresh"] = "refresh"
    if present is None:
        operation = "add"
    elif present.prefix_length != wanted.prefix_length:
        # The kernel looks an address up without its prefix length, so it cannot be replaced.
        yield AddressChange("remove", name, present.address, present.prefix_length)
        operation = "add"
    elif (
        present.makes_prefix_route == with_route
        and _same_lifetime(present.valid_lifetime, valid)
        and _same_lifetime(present.preferred_lifetime, preferred)
    ):
        return
    yield AddressChange(operation, name, wanted.address, wanted.prefix_length, preferred, valid)


def _route_changes(
    name: str, wanted: tuple[Route, ...], present: tuple[PresentRoute, ...]
) -> Iterator[RouteChange]:
    there = {entry.route for entry in present if entry.main_table}
    own = [entry.route for entry in present if entry.is_own]
    taken = {(route.prefix, route.metric) for route in own}
    for route in dict.fromkeys(wanted):
        if route not in there:
            key = (route.prefix, route.metric)
            yield RouteChange("add", name, route, beside_own=key in taken)
            taken.add(key)
    for route in own:
        if route not in wanted:
            yield RouteChange("remove", name, route)


def _remaining(until: float | None, now: float) -> int:
    """Return remaining whole seconds; rounded up, so the kernel is never the first to let go."""
    if until is None:
        return INFINITE_LIFETIME
    return min(max(math.ceil(until - now), 0), INFINITE_LIFETIME - 1)


def _same_lifetime(present: int, wanted: int) -> bool:
    if INFINITE_LIFETIME in (present, wanted) or 0 in (present, wanted):
        # Deprecated is a state, not a number: 1 s and 0 s are not alike.
        return present == wanted
    return abs(present - wanted) <= LIFETIME_TOLERANCE

# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines say about interfaces and learn about the host: plain values, no I/O.

Times are seconds on the daemon's clock (CLOCK_BOOTTIME); ``None`` for a time means for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Network
from typing import NamedTuple

ROUTE_PROTOCOL = 41
"""The rtnetlink protocol number that marks a route as this agent's own.

It is no other's: FRR has 186 to 197, and takes 196 for its static routes; Babel has 42, Open/R 99.
"""

DEFAULT_ROUTE = IPv6Network("::/0")
LINK_LOCAL_PREFIX = IPv6Network("fe80::/64")


@dataclass(frozen=True, slots=True)
class UnderlayAddress:
    """An IPv4 address of the host that a tunnel may use, and the interface that has it."""

    address: IPv4Address
    interface: str
    is_loopback: bool = False
    """Whether that is a loopback interface; a tunnel uses it only where it is named."""


class UnderlayRoute(NamedTuple):
    """How the kernel would send to an IPv4 destination."""

    interface: str
    source: IPv4Address
    mtu: int
    """Bytes: the path MTU that the kernel has learned, or else the interface's."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What is known of an interface on which a router may advertise prefixes."""

    index: int
    link_local: IPv6Address | None = None
    """The address that router advertisements come from; None until it is known to be unique."""
    is_up: bool = True
    """Whether the interface is up and has a carrier."""
    ipv4: tuple[IPv4Interface, ...] = ()
    """Its IPv4 addresses of global scope with their subnets, in the kernel's order."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What an engine is told about its host."""

    underlay: tuple[UnderlayAddress, ...] = ()
    """IPv4 addresses that are up, sorted by interface index and then in the kernel's order; those
    of loopback interfaces last."""
    underlay_mtu: Mapping[str, int] = field(default_factory=dict)
    """MTU in bytes of each interface named in ``underlay`` that is no loopback interface."""
    uplinks: tuple[str, ...] = ()
    """Interfaces by which packets of the underlay may come in; not all have an address."""
    sources: Mapping[IPv4Address, IPv4Address] = field(default_factory=dict)
    """For each endpoint that the engine asked about: the source address the kernel would choose."""
    host_endpoints: frozenset[IPv4Address] = frozenset()
    """Every IPv4 address of the host, whether a tunnel may use it or not."""
    broadcast_addresses: frozenset[IPv4Address] = frozenset()
    """Of the subnets that the host is in."""
    host_addresses: frozenset[IPv6Address] = frozenset()
    """Every IPv6 address of the host, on whatever interface."""
    preferred_addresses: Mapping[str, tuple[IPv6Address, ...]] = field(default_factory=dict)
    """By interface, IPv6 addresses of global scope that are unique and not deprecated, but for
    those of this agent's tunnels."""
    tunnel_addresses: Mapping[str, tuple[IPv6Address, ...]] = field(default_factory=dict)
    """The same of this agent's tunnels."""
    foreign_routes: tuple[Route, ...] = ()
    """Routes through the engine's tunnel interface that somebody else has set (FRR, `ip route`)."""
    links: Mapping[str, LinkFacts] = field(default_factory=dict)
    """By name, all interfaces but loopback and this agent's tunnels."""


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An IPv6 address that an interface should have."""

    address: IPv6Address
    prefix_length: int = 64
    preferred_until: float | None = None
    valid_until: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """An IPv6 route through a tunnel interface; without a gateway the prefix is on-link."""

    prefix: IPv6Network
    gateway: IPv6Address | None = None
    metric: int = 1024


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """All that the kernel should know of one tunnel interface."""

    name: str
    mtu: int
    addresses: tuple[InterfaceAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    forwarding: bool = False
    """Whether the host must forward IPv6 packets (a router)."""
    ipv4: frozenset[IPv4Address] | None = None
    """IPv4 addresses of the host itself alone, as an anycast service has; None for no opinion."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What one of the host's own interfaces should have besides what others give it."""

    interface: str
    addresses: tuple[InterfaceAddress, ...] = ()
    """On-link prefixes come with them; whatever else the interface has is left alone."""
    solicited: bool = False
    """Whether router solicitations are to be heard there."""


@dataclass(frozen=True, slots=True)
class Masquerading:
    """IPv4 packets from some interfaces leave by others with an address of the host's own."""

    private_interfaces: tuple[str, ...]
    public_interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DhcpRange:
    """IPv4 addresses for the hosts on an interface, from the first to the last."""

    interface: str
    first: IPv4Address
    last: IPv4Address
    netmask: IPv4Address


@dataclass(frozen=True, slots=True)
class DhcpService:
    """What hosts get by DHCP (RFC 2131); their router is the host itself."""

    ranges: tuple[DhcpRange, ...]
    lease_time: int
    """Seconds."""
    dns_servers: tuple[IPv4Address, ...] = ()
    """None of them: the host itself, which then asks its own DNS servers on their behalf."""


@dataclass(frozen=True, slots=True)
class Ipv4Sharing:
    """What a router does for the IPv4 of the hosts behind it; each part is optional."""

    masquerading: Masquerading | None = None
    dhcp: DhcpService | None = None


@dataclass(frozen=True, slots=True)
class DnsConfiguration:
    """DNS servers and search domains learned from routers (RFC 8106), most preferred first."""

    servers: tuple[IPv6Address, ...] = ()
    search: tuple[str, ...] = ()

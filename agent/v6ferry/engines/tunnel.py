# SPDX-License-Identifier: GPL-3.0-or-later
"""What tunnels of every technology have in common: their options, endpoints and MTU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from v6ferry.addresses.ipv4 import is_unicast_endpoint
from v6ferry.engines.specification import Options, interface_name, ipv4_network
from v6ferry.forwarding.table import EndpointRule
from v6ferry.system.state import HostFacts, InterfaceAddress, Route, UnderlayAddress
from v6ferry.wire.icmpv6 import Icmpv6Type
from v6ferry.wire.ipv4 import IPV4_HEADER_LENGTH
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU

MAXIMUM_MTU = 65515
"""Octets of the largest packet that an IPv4 header leaves room for."""
ALL_ADDRESSES = IPv6Network("::/0")
ON_LINK_METRIC = 256
"""The metric that kernels give to on-link prefixes."""

HANDED_UP = frozenset(
    {
        int(Icmpv6Type.ROUTER_SOLICITATION),
        int(Icmpv6Type.ROUTER_ADVERTISEMENT),
        int(Icmpv6Type.NEIGHBOR_SOLICITATION),
        int(Icmpv6Type.NEIGHBOR_ADVERTISEMENT),
        int(Icmpv6Type.REDIRECT),
    }
)


@dataclass(frozen=True, slots=True)
class TunnelOptions:
    """What tunnels of every technology have in common (RFC 4213 section 3)."""

    interface: str
    underlay_interfaces: tuple[str, ...]
    underlay_addresses: tuple[IPv4Network, ...]
    dynamic_mtu: bool
    mtu: int | None
    """Bytes; None is 1280 for a static and the underlay's MTU less 20 for a dynamic tunnel MTU."""
    ttl: int
    dscp: int | None
    """Differentiated services code point, 0 to 63; None copies the inner one."""
    allowed_endpoints: tuple[IPv4Network, ...]
    """Where far ends may be; empty allows all."""

    @classmethod
    def read(cls, options: Options, interface: str) -> TunnelOptions:
        """Take the common options out of ``options``.

        Args:
            options: of a resource.
            interface: the name of the tunnel interface where the user gave none.
        """
        return cls(
            interface=options.text("interface", interface, interface_name),
            underlay_interfaces=options.texts("underlay_interfaces", (), interface_name),
            underlay_addresses=options.texts("underlay_addresses", (), ipv4_network),
            dynamic_mtu=options.choice("tunnel_mtu", "static", ("static", "dynamic")) == "dynamic",
            mtu=options.optional_integer("mtu", IPV6_MINIMUM_MTU, MAXIMUM_MTU),
            ttl=options.integer("ttl", 64, 1, 255),
            dscp=options.text("dscp", "0", _dscp),
            allowed_endpoints=options.texts("allowed_endpoints", (), ipv4_network),
        )

    def endpoint_rules(self) -> tuple[EndpointRule, ...]:
        """Which far ends are spoken to."""
        if not self.allowed_endpoints:
            return ()
        everywhere = IPv4Network("0.0.0.0/0")
        refused = () if everywhere in self.allowed_endpoints else (EndpointRule(everywhere, False),)
        return (*refused, *(EndpointRule(one, True) for one in self.allowed_endpoints))

    def allows(self, underlay: UnderlayAddress) -> bool:
        """Whether the tunnel may use an IPv4 address of the host."""
        if self.underlay_interfaces and underlay.interface not in self.underlay_interfaces:
            return False
        if self.underlay_addresses:
            return any(underlay.address in network for network in self.underlay_addresses)
        # An anycast service's address lies there as well as a router's stable one: it is used
        # only where somebody has named it.
        return bool(self.underlay_interfaces) or not underlay.is_loopback


def underlay_endpoints(options: TunnelOptions, facts: HostFacts) -> tuple[IPv4Address, ...]:
    """The host's IPv4 addresses that the tunnel uses, in the host's order, each once."""
    return tuple(
        dict.fromkeys(
            underlay.address
            for underlay in facts.underlay
            if options.allows(underlay) and is_unicast_endpoint(underlay.address)
        )
    )


def tunnel_mtu(
    options: TunnelOptions,
    facts: HostFacts,
    advertised: int | None = None,
    overhead: int = IPV4_HEADER_LENGTH,
) -> int:
    """MTU of the tunnel interface in bytes (RFC 4213 section 3.2).

    A static tunnel MTU is 1280 unless the user or a router says more. A dynamic one is what the
    widest underlay carries; narrower paths are told to senders one by one.

    Args:
        options: of the tunnel.
        facts: of the host.
        advertised: by a router.
        overhead: octets of the outer headers.
    """
    mtus = [
        facts.underlay_mtu[underlay.interface]
        for underlay in facts.underlay
        if options.allows(underlay) and underlay.interface in facts.underlay_mtu
    ]
    # A tunnel from a loopback interface's address leaves through any of the others.
    mtus = mtus or list(facts.underlay_mtu.values())
    widest = max(mtus, default=IPV6_MINIMUM_MTU + overhead)
    natural = widest - overhead
    if options.dynamic_mtu:
        chosen = min(natural, options.mtu or MAXIMUM_MTU, advertised or MAXIMUM_MTU)
    elif options.mtu is not None:
        chosen = min(options.mtu, advertised or options.mtu)
    else:
        chosen = min(advertised or IPV6_MINIMUM_MTU, natural)
    return max(chosen, IPV6_MINIMUM_MTU)


def best_routes(routes: Iterable[Route]) -> list[Route]:
    """One route a prefix: the kernel hands over only the destination, so the best one decides."""
    best: dict[IPv6Network, Route] = {}
    for route in routes:
        if route.prefix not in best or route.metric < best[route.prefix].metric:
            best[route.prefix] = route
    return [best[prefix] for prefix in sorted(best)]


def is_ours(address: IPv6Address, addresses: Iterable[InterfaceAddress]) -> bool:
    """Whether ``address`` is one of ``addresses``."""
    return any(address == one.address for one in addresses)


def configured_address(router: str) -> IPv4Address | None:
    """The address, where a router was given by address and not by name."""
    try:
        return IPv4Address(router)
    except ValueError:
        return None


def _dscp(text: str) -> int | None:
    if text == "inherit":
        return None
    if text.isascii() and text.isdigit() and int(text) <= 63:
        return int(text)
    raise ValueError(f"{text!r} is neither inherit nor a number from 0 to 63")

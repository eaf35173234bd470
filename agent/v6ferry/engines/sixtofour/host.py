# SPDX-License-Identifier: GPL-3.0-or-later
"""The 6to4 host engine (RFC 3056): an address of the host's own for each public IPv4 address."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.addresses.ipv4 import is_globally_unique, is_unicast_endpoint
from v6ferry.addresses.sixtofour import SIXTOFOUR_PREFIX, sixtofour_address
from v6ferry.engines.interface import Wanted
from v6ferry.engines.quiet import QuietEngine
from v6ferry.engines.sixtofour.host_specification import SixToFourHostSpec
from v6ferry.engines.sixtofour.router_tables import accepted_relays, router_table
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    ON_LINK_METRIC,
    configured_address,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.system.state import InterfaceAddress, InterfaceState, Route

_GLOBAL = IPv6Network("2000::/3")
_TRANSITION = (SIXTOFOUR_PREFIX, IPv6Network("2001::/32"))
"""6to4 and Teredo: global addresses that are not native."""


class SixToFourHost(QuietEngine):
    """A 6to4 host.

    Args:
        spec: what the user set.
        random: not used.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: SixToFourHostSpec, random: Random, now: float) -> None:
        super().__init__()
        self._spec = spec
        self._resolved: tuple[IPv4Address, ...] = ()
        self._discarded: dict[str, int] = {}

    # What the engine is told

    def update_spec(self, spec: SixToFourHostSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        if spec.relay != self._spec.relay:
            self._resolved = ()
        self._spec = spec

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a relay whose name is gone keeps its last address."""
        if addresses and name == self._spec.relay:
            self._resolved = addresses

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``: there is no neighbor discovery on the 6to4 link (RFC 3056)."""
        why = "neighbor discovery on the 6to4 link"
        self._discarded[why] = self._discarded.get(why, 0) + 1

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec, endpoints, relay = self._spec, self._endpoints(), self._relay()
        addresses = tuple(InterfaceAddress(sixtofour_address(one), 16) for one in endpoints)
        routes: list[Route] = []
        if endpoints:
            routes.append(Route(SIXTOFOUR_PREFIX, None, ON_LINK_METRIC))
            if relay is not None:
                routes.append(Route(ALL_ADDRESSES, sixtofour_address(relay), spec.route_metric))
        table = router_table(
            spec.tunnel,
            self._facts,
            endpoints,
            addresses,
            routes,
            globally_unique=spec.globally_unique,
            from_relays=accepted_relays(spec.relay, spec.accept_relays, self._resolved),
            relay=relay,
            site=False,
        )
        name = spec.relay is not None and configured_address(spec.relay) is None
        return Wanted(
            interface=InterfaceState(
                spec.tunnel.interface,
                tunnel_mtu(spec.tunnel, self._facts),
                addresses,
                tuple(routes),
            ),
            table=table,
            names=frozenset({spec.relay} if name and spec.relay and endpoints else ()),
            name_refresh_interval=spec.relay_refresh_interval,
        )

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        """The public addresses in use, in the host's order; none while idle."""
        return () if self._idle() else self._public()

    def _public(self) -> tuple[IPv4Address, ...]:
        return tuple(
            one
            for one in underlay_endpoints(self._spec.tunnel, self._facts)
            if is_globally_unique(one) or not self._spec.globally_unique
        )

    def _idle(self) -> str | None:
        """Why 6to4 is not used although it could be; None if it is."""
        if self._spec.mode == "disabled":
            return "disabled (mode)"
        native = self._native()
        if self._spec.mode == "automatic" and native is not None:
            interface, address = native
            return (
                f"idle: there is native IPv6, {address} on {interface}; set mode to enabled to use"
                " 6to4 beside it"
            )
        return None

    def _native(self) -> tuple[str, IPv6Address] | None:
        for interface, addresses in sorted(self._facts.preferred_addresses.items()):
            for one in addresses:
                if one in _GLOBAL and not any(one in prefix for prefix in _TRANSITION):
                    return interface, one
        return None

    def _relay(self) -> IPv4Address | None:
        if self._spec.relay is None:
            return None
        configured = configured_address(self._spec.relay)
        for one in self._resolved if configured is None else (configured,):
            if is_unicast_endpoint(one) and one not in self._facts.host_endpoints:
                return one
        return None

    # Leaving, status, succession

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``; idle as the mode wants it is ready."""
        endpoints, relay, idle = self._endpoints(), self._relay(), self._idle()
        missing = bool(self._spec.relay and relay is None and not idle)
        return {
            "ready": bool(idle or (endpoints and not missing)),
            "summary": self._summary(),
            "interface": self._spec.tunnel.interface,
            "mode": self._spec.mode,
            "active": bool(endpoints),
            "underlay_addresses": [str(one) for one in endpoints],
            "addresses": [{"address": str(sixtofour_address(one))} for one in endpoints],
            "relay": None if relay is None else str(relay),
            "discarded": dict(sorted(self._discarded.items())),
        } | ({"unresolved_names": [self._spec.relay]} if missing else {})

    def _summary(self) -> str:
        idle = self._idle()
        if idle is not None:
            return idle
        endpoints = self._endpoints()
        if not endpoints:
            if self._spec.globally_unique:
                return (
                    "no globally unique IPv4 address; on a closed network set globally_unique to"
                    " false"
                )
            return "no IPv4 address that the tunnel may use"
        ours = ", ".join(str(sixtofour_address(one)) for one in endpoints)
        relay = self._relay()
        if self._spec.relay and relay is None:
            return f"{ours}: the relay {self._spec.relay} has no IPv4 address so far"
        return f"{ours}; " + (
            "no relay, other 6to4 sites only" if relay is None else f"relay {relay}"
        )

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: the addresses of the relay."""
        return {"relay": [str(one) for one in self._resolved]}

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            self._resolved = tuple(IPv4Address(one) for one in snapshot["relay"])
        except (KeyError, TypeError, ValueError):
            self._discarded["snapshot: malformed"] = 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""The 6to4 relay engine (RFC 3056 section 5): between 6to4 sites and the native IPv6 side."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random
from typing import Any

from v6ferry.addresses.ipv4 import is_globally_unique
from v6ferry.addresses.sixtofour import ANYCAST_RELAY, SIXTOFOUR_PREFIX, sixtofour_address
from v6ferry.engines.interface import Wanted
from v6ferry.engines.quiet import QuietEngine
from v6ferry.engines.sixtofour.relay_specification import SixToFourRelaySpec
from v6ferry.engines.sixtofour.relay_tables import relay_table
from v6ferry.engines.tunnel import ON_LINK_METRIC, tunnel_mtu, underlay_endpoints
from v6ferry.system.state import InterfaceAddress, InterfaceState, Route


class SixToFourRelay(QuietEngine):
    """A 6to4 relay.

    Args:
        spec: what the user set.
        random: unused; a relay sends nothing of its own.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: SixToFourRelaySpec, random: Random, now: float) -> None:
        super().__init__()
        self._spec = spec
        self._discarded: dict[str, int] = {}

    def update_spec(self, spec: SixToFourRelaySpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._spec = spec

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``: there is no neighbor discovery on the 6to4 link (RFC 3056)."""
        why = "neighbor discovery on the 6to4 link"
        self._discarded[why] = self._discarded.get(why, 0) + 1

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec, endpoints = self._spec, self._endpoints()
        addresses = tuple(InterfaceAddress(sixtofour_address(one), 16) for one in endpoints)
        routes = (Route(SIXTOFOUR_PREFIX, None, ON_LINK_METRIC),) if endpoints else ()
        interface = InterfaceState(
            spec.tunnel.interface,
            tunnel_mtu(spec.tunnel, self._facts),
            addresses,
            routes,
            forwarding=spec.forwarding,
            ipv4=frozenset(self._anycast(endpoints)),
        )
        table = relay_table(
            spec.tunnel,
            self._facts,
            endpoints,
            addresses,
            globally_unique=spec.globally_unique,
            anycast=self._anycast(endpoints),
        )
        return Wanted(interface=interface, table=table)

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        """Our public addresses, in the host's order."""
        return tuple(
            one
            for one in underlay_endpoints(self._spec.tunnel, self._facts)
            if is_globally_unique(one) or not self._spec.globally_unique
        )

    def _anycast(self, endpoints: tuple[IPv4Address, ...]) -> tuple[IPv4Address, ...]:
        """The anycast address, where the relay can answer: it sends from an address of its own."""
        return (ANYCAST_RELAY,) if self._spec.anycast and endpoints else ()

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoints = self._endpoints()
        return {
            "ready": bool(endpoints and self._spec.forwarding),
            "summary": self._summary(endpoints),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(one) for one in (*endpoints, *self._anycast(endpoints))],
            "addresses": [{"address": str(sixtofour_address(one))} for one in endpoints],
            "discarded": dict(sorted(self._discarded.items())),
        }

    def _summary(self, endpoints: tuple[IPv4Address, ...]) -> str:
        if not endpoints:
            if self._spec.globally_unique:
                return (
                    "no globally unique IPv4 address; on a closed network set globally_unique to"
                    " false"
                )
            return "no IPv4 address that the tunnel may use"
        if not self._spec.forwarding:
            return "relays nothing: forwarding is false"
        at = ", ".join(map(str, (*endpoints, *self._anycast(endpoints))))
        return f"relays between 6to4 sites and native IPv6 at {at}"

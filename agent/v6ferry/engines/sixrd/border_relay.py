# SPDX-License-Identifier: GPL-3.0-or-later
"""The 6rd border relay engine (RFC 5969): it has no state of any customer edge."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from random import Random
from typing import Any

from v6ferry.engines.interface import OutgoingPacket, Wanted
from v6ferry.engines.sixrd.specification import SixrdBorderRelaySpec
from v6ferry.engines.sixrd.tables import Domain, border_relay_table
from v6ferry.engines.tunnel import ON_LINK_METRIC, tunnel_mtu, underlay_endpoints
from v6ferry.forwarding.table import TunnelTable
from v6ferry.system.state import HostFacts, InterfaceAddress, InterfaceState, Route


class SixrdBorderRelay:
    """A 6rd border relay.

    Args:
        spec: what the user set.
        random: unused, nothing here is left to chance; engines share one signature.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: SixrdBorderRelaySpec, random: Random, now: float) -> None:
        self._spec = spec
        self._facts = HostFacts()
        self._withdrawing = False

    def update_spec(self, spec: SixrdBorderRelaySpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._spec = spec

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a border relay asks for no names."""

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``; a 6rd link has no neighbor discovery (RFC 5969 section 8)."""

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``; a border relay does not mind."""

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``; nothing is ever due."""

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        return None

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``; a border relay has none of its own."""
        return []

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec, endpoints = self._spec, self._endpoints()
        addresses: tuple[InterfaceAddress, ...] = ()
        routes: tuple[Route, ...] = ()
        table = TunnelTable(spec.tunnel.interface)
        if endpoints:
            addresses = self._addresses(endpoints)
            routes = (Route(spec.prefix, None, ON_LINK_METRIC),)
            table = border_relay_table(spec.tunnel, self._facts, self._domain, endpoints, addresses)
        interface = InterfaceState(
            spec.tunnel.interface,
            tunnel_mtu(spec.tunnel, self._facts),
            addresses,
            routes,
            forwarding=spec.forwarding,
        )
        return Wanted(interface=interface, table=table)

    @property
    def _domain(self) -> Domain:
        return Domain(self._spec.prefix, self._spec.ipv4_prefix)

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        """Ours; the one to send from is the first that the user names, if any is named."""
        endpoints = underlay_endpoints(self._spec.tunnel, self._facts)
        named = self._spec.tunnel.underlay_addresses

        def place(endpoint: IPv4Address) -> int:
            return next((i for i, network in enumerate(named) if endpoint in network), len(named))

        return tuple(sorted(endpoints, key=place))

    def _addresses(self, endpoints: tuple[IPv4Address, ...]) -> tuple[InterfaceAddress, ...]:
        """For each endpoint in the domain its delegated prefix, and at its end the endpoint.

        A relay outside of it borrows the lowest delegated prefix, which is that of a network
        address and so of no customer edge: ICMPv6 errors need some source.
        """
        domain = self._domain
        inside = [one for one in endpoints if one in domain.common]
        addresses = [domain.delegated(one)[int(one)] for one in inside]
        return tuple(InterfaceAddress(one, 128) for one in addresses or [domain.prefix[1]])

    # Leaving, status, succession

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``; a border relay knows nobody to tell."""
        self._withdrawing = True

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._withdrawing

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoints = self._endpoints()
        addresses = self._addresses(endpoints) if endpoints else ()
        return {
            "ready": bool(endpoints),
            "summary": self._summary(endpoints),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(endpoint) for endpoint in endpoints],
            "addresses": [{"address": str(one.address)} for one in addresses],
            "prefix": str(self._spec.prefix),
            "ipv4_prefix": str(self._spec.ipv4_prefix),
        }

    def _summary(self, endpoints: tuple[IPv4Address, ...]) -> str:
        if not endpoints:
            return (
                "no IPv4 address that the tunnel may use; one of a loopback interface has to be"
                " named in underlay_addresses"
            )
        edges = self._spec.ipv4_prefix
        whom = "any customer edge" if edges.prefixlen == 0 else f"customer edges in {edges}"
        return f"relays {self._spec.prefix} for {whom} at {', '.join(map(str, endpoints))}"

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``; it knows nothing that its successor does not."""
        return {}

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""

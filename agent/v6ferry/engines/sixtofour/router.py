# SPDX-License-Identifier: GPL-3.0-or-later
"""The 6to4 router engine (RFC 3056 section 5.3): a site's prefix, and the interfaces behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.addresses.ipv4 import is_globally_unique, is_unicast_endpoint
from v6ferry.addresses.sixtofour import SIXTOFOUR_PREFIX, sixtofour_address, sixtofour_prefix
from v6ferry.engines.interface import LinkPacket, OutgoingPacket, Wanted
from v6ferry.engines.lan.advertised import AdvertisedLink
from v6ferry.engines.lan.ipv4 import status as ipv4_status
from v6ferry.engines.lan.router import LanRouter
from v6ferry.engines.sixtofour.router_specification import (
    LARGEST_SUBNET_ID,
    PrivateInterface,
    SixToFourRouterSpec,
)
from v6ferry.engines.sixtofour.router_tables import accepted_relays, router_table
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    ON_LINK_METRIC,
    configured_address,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.system.state import HostFacts, InterfaceAddress, InterfaceState, Route


class SixToFourRouter:
    """A 6to4 router.

    Args:
        spec: what the user set.
        random: for the intervals between advertisements.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: SixToFourRouterSpec, random: Random, now: float) -> None:
        self._spec = spec
        self._facts = HostFacts()
        self._resolved: tuple[IPv4Address, ...] = ()
        self._lan = LanRouter(random)
        self._public: tuple[str, ...] = ()
        """Interfaces that have a public address, or had one last: packets with private sources
        must not leave by them while the address changes."""
        self._discarded: dict[str, int] = {}
        self._leaving = False

    # What the engine is told

    def update_spec(self, spec: SixToFourRouterSpec, now: float) -> None:
        """See ``Engine.update_spec``: hosts hear at once of what has changed."""
        if spec.relay != self._spec.relay:
            self._resolved = ()
        self._spec = spec
        self._public = self._public_interfaces()
        self._lan.want(self._advertised(), now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``: another public address is another prefix, at once."""
        self._facts = facts
        self._public = self._public_interfaces() or self._public
        self._lan.update_facts(facts, now)
        if not self._leaving:
            self._lan.want(self._advertised(), now)

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

    def receive_on_link(self, interface: str, packet: bytes, now: float) -> None:
        """See ``LinkEngine.receive_on_link``."""
        self._lan.receive(interface, packet, now)

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``."""

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        self._lan.handle_timer(now)

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        deadline = self._lan.next_deadline()
        return None if deadline == math.inf else deadline

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        return []

    def link_packets_to_send(self) -> list[LinkPacket]:
        """See ``LinkEngine.link_packets_to_send``."""
        return self._lan.packets_to_send()

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec, endpoints = self._spec, self._endpoints()
        addresses = tuple(InterfaceAddress(sixtofour_address(one), 16) for one in endpoints)
        routes: list[Route] = []
        relay = self._relay()
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
            site=True,
        )
        interface = InterfaceState(
            spec.tunnel.interface,
            tunnel_mtu(spec.tunnel, self._facts),
            addresses,
            tuple(routes),
            forwarding=spec.forwarding,
        )
        name = spec.relay is not None and configured_address(spec.relay) is None
        return Wanted(
            interface=interface,
            table=table,
            names=frozenset({spec.relay} if name and spec.relay else ()),
            name_refresh_interval=spec.relay_refresh_interval,
            links=self._lan.states(),
            sharing=spec.ipv4.sharing(self._facts, self._public),
        )

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        """Our public addresses, in the host's order."""
        private = {one.interface for one in self._spec.private_interfaces}
        of_private = {u.address for u in self._facts.underlay if u.interface in private}
        return tuple(
            one
            for one in underlay_endpoints(self._spec.tunnel, self._facts)
            if one not in of_private and (is_globally_unique(one) or not self._spec.globally_unique)
        )

    def _public_interfaces(self) -> tuple[str, ...]:
        endpoints = set(self._endpoints())
        names = (
            one.interface
            for one in self._facts.underlay
            if one.address in endpoints and not one.is_loopback
        )
        return tuple(dict.fromkeys(names))

    def _relay(self) -> IPv4Address | None:
        if self._spec.relay is None:
            return None
        configured = configured_address(self._spec.relay)
        for one in self._resolved if configured is None else (configured,):
            if is_unicast_endpoint(one) and one not in self._facts.host_endpoints:
                return one
        return None

    def _advertised(self) -> Iterator[AdvertisedLink]:
        spec, endpoints = self._spec, self._endpoints()
        for private in spec.private_interfaces:
            subnets = (self._prefix(endpoint, private) for endpoint in endpoints)
            prefixes = [one for one in subnets if one is not None]
            yield spec.advertising.link(
                private.interface,
                prefixes,
                # Without a prefix there is no way out (RFC 7084 G-4).
                is_default=spec.default_route and spec.forwarding and bool(prefixes),
                identifier=private.identifier,
                advertise=private.advertise,
            )

    def _prefix(self, endpoint: IPv4Address, private: PrivateInterface) -> IPv6Network | None:
        """2002:WWXX:YYZZ:SubnetID::/64."""
        subnet = self._subnet_id(private)
        if subnet is None:
            return None
        site = int(sixtofour_prefix(endpoint).network_address)
        return IPv6Network((IPv6Address(site | subnet << 64), 64))

    def _subnet_id(self, private: PrivateInterface) -> int | None:
        if private.subnet_id is not None:
            return private.subnet_id
        facts = self._facts.links.get(private.interface)
        taken = {one.subnet_id for one in self._spec.private_interfaces}
        if facts is None or facts.index > LARGEST_SUBNET_ID or facts.index in taken:
            return None
        return facts.index

    # Leaving, status, succession

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``."""
        self._leaving = True
        self._lan.begin_withdrawal(now)

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._lan.withdrawn()

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoints, relay, problems = self._endpoints(), self._relay(), self._problems()
        return {
            "ready": bool(endpoints and not problems and (relay or not self._spec.relay)),
            "summary": self._summary(),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(one) for one in endpoints],
            "addresses": [{"address": str(sixtofour_address(one))} for one in endpoints],
            "prefixes": [str(sixtofour_prefix(one)) for one in endpoints],
            "relay": None if relay is None else str(relay),
            "private_interfaces": self._lan.status(now),
            **ipv4_status(self._spec.ipv4.sharing(self._facts, self._public)),
            "problems": problems,
            "discarded": dict(sorted(self._discarded.items())),
        } | ({} if relay or not self._spec.relay else {"unresolved_names": [self._spec.relay]})

    def _problems(self) -> list[str]:
        problems = self._lan.problems() + self._spec.ipv4.problems(self._facts, self._public)
        for private in self._spec.private_interfaces:
            if self._subnet_id(private) is None and private.interface in self._facts.links:
                index = self._facts.links[private.interface].index
                problems.append(
                    f"{private.interface}: its index {index} cannot be its subnet"
                    " (beyond 65535, or another's subnet_id); give it a subnet_id"
                )
        return problems

    def _summary(self) -> str:
        endpoints = self._endpoints()
        if not endpoints:
            if self._spec.globally_unique:
                return (
                    "no globally unique IPv4 address on the public side; on a closed network set"
                    " globally_unique to false"
                )
            return "no IPv4 address on the public side that the tunnel may use"
        problems = self._problems()
        if problems:
            return problems[0]
        sites = ", ".join(str(sixtofour_prefix(one)) for one in endpoints)
        relay = self._relay()
        if self._spec.relay and relay is None:
            return f"{sites}: the relay {self._spec.relay} has no IPv4 address so far"
        way = "no relay, other 6to4 sites only" if relay is None else f"relay {relay}"
        behind = ", ".join(one.interface for one in self._spec.private_interfaces)
        return f"routes {sites} for {behind or 'this host alone'}; {way}"

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: what hosts were told, and the relay."""
        return {
            "lan": self._lan.snapshot(),
            "relay": [str(one) for one in self._resolved],
            "public_interfaces": list(self._public),
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            self._resolved = tuple(IPv4Address(one) for one in snapshot["relay"])
            self._public = tuple(str(one) for one in snapshot.get("public_interfaces", ()))
            self._lan.restore(snapshot["lan"], now)
        except (AttributeError, KeyError, TypeError, ValueError):
            self._discarded["snapshot: malformed"] = 1

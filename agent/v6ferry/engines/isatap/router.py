# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISATAP router engine (RFC 5214 section 8.2, RFC 4861 section 6.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.addresses.isatap import embedded_ipv4, isatap_address, isatap_link_local
from v6ferry.engines.interface import OutgoingPacket, Wanted
from v6ferry.engines.isatap.specification import IsatapRouterSpec
from v6ferry.engines.isatap.tables import (
    link_local_route,
    tunnel_table,
)
from v6ferry.engines.tunnel import (
    HANDED_UP,
    ON_LINK_METRIC,
    configured_address,
    is_ours,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.system.state import HostFacts, InterfaceAddress, InterfaceState, Route
from v6ferry.wire.icmpv6 import Icmpv6Type
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    DnsSearchList,
    NeighborAdvertisement,
    NeighborSolicitation,
    PrefixInformation,
    RecursiveDnsServer,
    RouteInformation,
    RouterAdvertisement,
    RouterSolicitation,
    decode,
    encode,
    encode_advertisements,
)
from v6ferry.wire.parser import WireError

MAX_FINAL_RTR_ADVERTISEMENTS = 3
"""RFC 4861 section 10."""
FINAL_ADVERTISEMENT_INTERVAL = 0.2
"""Seconds; the final advertisements are unicast, so the 3 s between multicasts do not apply."""
LARGEST_WITHDRAWN_LIFETIME = 7200
"""Seconds that a withdrawn prefix stays valid at most (hosts grant it no less, RFC 4862)."""
ROUTER_DISCOVERY = {int(Icmpv6Type.ROUTER_SOLICITATION), int(Icmpv6Type.ROUTER_ADVERTISEMENT)}
MOST_HOSTS = 65536
"""So many hosts are remembered for advertisements they did not ask for."""


@dataclass(frozen=True, slots=True)
class _KnownHost:
    """A host that has solicited an advertisement."""

    link_local: IPv6Address
    solicited: IPv4Address
    """The address of ours that it asked."""
    seen_at: float


class IsatapRouter:
    """An ISATAP router.

    Args:
        spec: what the user set.
        random: unused, all answers are unicast and prompt; engines share one signature.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: IsatapRouterSpec, random: Random, now: float) -> None:
        self._spec = spec
        self._facts = HostFacts()
        self._resolved: dict[str, tuple[IPv4Address, ...]] = {}
        self._hosts: dict[IPv4Address, _KnownHost] = {}
        self._ending: dict[IPv6Network, tuple[PrefixInformation, float]] = {}
        self._ending_routes: dict[IPv6Network, tuple[RouteInformation, float]] = {}
        self._outgoing: list[OutgoingPacket] = []
        self._discarded: dict[str, int] = {}
        self._advertisements = 0
        self._final_left: int | None = None
        self._final_at = math.inf

    # What the engine is told

    def update_spec(self, spec: IsatapRouterSpec, now: float) -> None:
        """See ``Engine.update_spec``: hosts hear at once of what has changed.

        A prefix that is no longer wanted goes on being advertised as deprecated, with a valid
        lifetime that decreases in real time (RFC 4861 section 6.2.7 lets it), until it ends.
        """
        before, self._spec = self._spec, spec
        kept = {one.prefix for one in spec.prefixes}
        for one in before.prefixes:
            if one.prefix not in kept and one.valid_lifetime:
                until = now + min(one.valid_lifetime, LARGEST_WITHDRAWN_LIFETIME)
                self._ending[one.prefix] = (one, until)
        kept_routes = {one.prefix for one in spec.routes}
        for route in before.routes:
            if route.prefix not in kept_routes and route.lifetime != INFINITE_LIFETIME:
                self._ending_routes[route.prefix] = (route, now + route.lifetime)
        for prefix in kept:
            self._ending.pop(prefix, None)
        for prefix in kept_routes:
            self._ending_routes.pop(prefix, None)
        if before != spec and before.advertise:
            self._advertise_to_known_hosts(now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a name that is gone keeps its last addresses."""
        if addresses:
            self._resolved[name] = addresses

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``; a router does not mind."""

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``."""
        try:
            header, message = decode(packet)
        except WireError as error:
            self._discard(f"{error.field}: malformed")
            return
        match message:
            case RouterSolicitation():
                self._solicited(header.source, outer_source, outer_destination, now)
            case NeighborSolicitation(target=target):
                self._answer(header.source, target, outer_source, outer_destination, now)
            case _:
                self._discard(f"{type(message).__name__}: not for a router")

    def _solicited(
        self,
        host: IPv6Address,
        outer_source: IPv4Address,
        outer_destination: IPv4Address,
        now: float,
    ) -> None:
        if embedded_ipv4(host) != outer_source:
            self._discard("RouterSolicitation: source does not embed the sender")
            return
        if not self._spec.advertise:
            return
        # Last in, last out: the dictionary's order is the order of the last solicitation.
        self._hosts.pop(outer_source, None)
        if len(self._hosts) >= MOST_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        known = self._hosts[outer_source] = _KnownHost(host, outer_destination, now)
        self._advertise(outer_source, known, now)

    def _answer(
        self,
        asker: IPv6Address,
        target: IPv6Address,
        outer_source: IPv4Address,
        outer_destination: IPv4Address,
        now: float,
    ) -> None:
        """Answer a neighbor solicitation for one of our addresses (RFC 4861 section 7.2.4)."""
        if not is_ours(target, self._addresses(now)):
            self._discard("NeighborSolicitation: not for our address")
            return
        answer = NeighborAdvertisement(target, router=True, solicited=True, override=True)
        packet = encode(answer, target, asker)
        self._outgoing.append(OutgoingPacket(packet, outer_source, outer_destination))

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        self._ending = {key: one for key, one in self._ending.items() if one[1] > now}
        self._ending_routes = {key: one for key, one in self._ending_routes.items() if one[1] > now}
        if self._final_left and now >= self._final_at:
            self._final_left -= 1
            self._final_at = now + FINAL_ADVERTISEMENT_INTERVAL
            self._advertise_to_known_hosts(now)

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        times = [until for _prefix, until in self._ending.values()]
        times += [until for _route, until in self._ending_routes.values()]
        if self._final_left:
            times.append(self._final_at)
        return min(times, default=None)

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        packets, self._outgoing = self._outgoing, []
        return packets

    # Advertisements

    def _advertise_to_known_hosts(self, now: float) -> None:
        oldest = now - self._longest_lifetime()
        for endpoint, known in self._hosts.items():
            if known.seen_at >= oldest:
                self._advertise(endpoint, known, now)

    def _longest_lifetime(self) -> float:
        """A host that has asked longer ago than this has forgotten us."""
        return max(
            (one.valid_lifetime for one in self._spec.prefixes),
            default=max(self._spec.router_lifetime, LARGEST_WITHDRAWN_LIFETIME),
        )

    def _advertise(self, endpoint: IPv4Address, known: _KnownHost, now: float) -> None:
        source = isatap_link_local(known.solicited)
        for packet in encode_advertisements(self._advertisement(now), source, known.link_local):
            self._outgoing.append(OutgoingPacket(packet, endpoint, known.solicited))
        self._advertisements += 1

    def _advertisement(self, now: float) -> RouterAdvertisement:
        """What hosts are told at ``now`` (RFC 4861 section 6.2.3)."""
        spec = self._spec
        leaving = self._final_left is not None or not spec.advertise
        prefixes = [
            _deprecated(one, LARGEST_WITHDRAWN_LIFETIME) if leaving else one
            for one in spec.prefixes
        ]
        prefixes += [_deprecated(one, int(until - now)) for one, until in self._ending.values()]
        routes = [replace(one, lifetime=0) if leaving else one for one in spec.routes]
        routes += [replace(one, lifetime=0) for one, _until in self._ending_routes.values()]
        dns_lifetime = 0 if leaving else spec.dns_lifetime
        return RouterAdvertisement(
            current_hop_limit=spec.hop_limit,
            preference=spec.preference,
            router_lifetime=spec.router_lifetime if spec.default_route and not leaving else 0,
            reachable_time=spec.reachable_time,
            retransmit_timer=spec.retransmit_timer,
            prefixes=tuple(prefixes),
            routes=tuple(routes),
            mtu=spec.advertised_mtu,
            dns_servers=(
                (RecursiveDnsServer(spec.dns_servers, dns_lifetime),) if spec.dns_servers else ()
            ),
            dns_search=(DnsSearchList(spec.dns_search, dns_lifetime),) if spec.dns_search else (),
        )

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec = self._spec
        addresses = self._addresses(now)
        on_link = [one.prefix for one in self._prefixes() if one.on_link]
        routes = [link_local_route()] if addresses else []
        if addresses:
            routes += [Route(prefix, None, ON_LINK_METRIC) for prefix in on_link]
        # A router that leaves advertising to another daemon leaves it all that one has to hear.
        handed_up = HANDED_UP if spec.advertise else HANDED_UP - ROUTER_DISCOVERY
        table = tunnel_table(
            spec.tunnel,
            self._facts,
            self._endpoints(),
            addresses,
            routes,
            on_link,
            self._peers(),
            handed_up,
        )
        interface = InterfaceState(
            spec.tunnel.interface,
            tunnel_mtu(spec.tunnel, self._facts),
            addresses,
            tuple(routes),
            forwarding=spec.forwarding,
        )
        return Wanted(interface=interface, table=table, names=self._names())

    def _prefixes(self) -> list[PrefixInformation]:
        return [*self._spec.prefixes, *(one for one, _until in self._ending.values())]

    def _addresses(self, now: float) -> tuple[InterfaceAddress, ...]:
        endpoints = self._endpoints()
        addresses = [InterfaceAddress(isatap_link_local(endpoint)) for endpoint in endpoints]
        for one in self._spec.prefixes:
            addresses += [InterfaceAddress(isatap_address(one.prefix, e)) for e in endpoints]
        for one, until in self._ending.values():
            addresses += [
                InterfaceAddress(isatap_address(one.prefix, e), 64, 0.0, until) for e in endpoints
            ]
        return tuple(addresses)

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        return underlay_endpoints(self._spec.tunnel, self._facts)

    def _names(self) -> frozenset[str]:
        return frozenset(
            router for router in self._spec.peer_routers if configured_address(router) is None
        )

    def _peers(self) -> frozenset[IPv4Address]:
        peers: set[IPv4Address] = set()
        for router in self._spec.peer_routers:
            address = configured_address(router)
            peers.update(self._resolved.get(router, ()) if address is None else (address,))
        return frozenset(peers - self._facts.host_endpoints)

    def _discard(self, why: str) -> None:
        self._discarded[why] = self._discarded.get(why, 0) + 1

    # Leaving, status, succession

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``: tell hosts to let go (RFC 4861 section 6.2.5)."""
        if self._final_left is None:
            self._final_left = MAX_FINAL_RTR_ADVERTISEMENTS if self._hosts else 0
            self._final_at = now

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._final_left == 0

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoints = self._endpoints()
        return {
            "ready": bool(endpoints),
            "summary": self._summary(),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(endpoint) for endpoint in endpoints],
            "addresses": [{"address": str(one.address)} for one in self._addresses(now)],
            "prefixes": [str(one.prefix) for one in self._spec.prefixes],
            "ending_prefixes": {
                str(prefix): max(0, round(until - now))
                for prefix, (_advertised, until) in sorted(self._ending.items())
            },
            "peer_routers": sorted(str(peer) for peer in self._peers()),
            "hosts": len(self._hosts),
            "advertisements": self._advertisements,
            "discarded": dict(sorted(self._discarded.items())),
        }

    def _summary(self) -> str:
        endpoints = self._endpoints()
        if not endpoints:
            return "no IPv4 address that the tunnel may use"
        prefixes = ", ".join(str(one.prefix) for one in self._spec.prefixes) or "no prefix"
        if not self._spec.advertise:
            return f"forwards for {prefixes}, leaves advertising to another daemon"
        role = "a default router" if self._spec.default_route else "no default router"
        return f"advertises {prefixes} as {role} from {', '.join(map(str, endpoints))}"

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: who would have to hear of a change."""
        return {
            "hosts": [
                [str(endpoint), str(one.link_local), str(one.solicited), one.seen_at]
                for endpoint, one in self._hosts.items()
            ],
            "ending": {str(prefix): until for prefix, (_advertised, until) in self._ending.items()},
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            for endpoint, link_local, solicited, seen_at in snapshot["hosts"][-MOST_HOSTS:]:
                self._hosts[IPv4Address(endpoint)] = _KnownHost(
                    IPv6Address(link_local), IPv4Address(solicited), min(float(seen_at), now)
                )
            kept = {one.prefix for one in self._spec.prefixes}
            for text, until in snapshot["ending"].items():
                prefix = IPv6Network(text)
                if now < until and prefix not in kept and prefix.prefixlen == 64:
                    self._ending[prefix] = (PrefixInformation(prefix), float(until))
        except (KeyError, TypeError, ValueError, AttributeError):
            self._discard("snapshot: malformed")


def _deprecated(prefix: PrefixInformation, longest: int) -> PrefixInformation:
    """``prefix`` as advertised when it is being withdrawn."""
    return replace(
        prefix, preferred_lifetime=0, valid_lifetime=max(0, min(prefix.valid_lifetime, longest))
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISATAP host engine (RFC 5214)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from v6ferry.addresses.isatap import embedded_ipv4, isatap_address, isatap_link_local
from v6ferry.engines.interface import OutgoingPacket, Wanted
from v6ferry.engines.isatap.learned import Learned, LearnedPrefix, shortest_lifetime
from v6ferry.engines.isatap.router_list import (
    Probe,
    Reachability,
    RouterEntry,
    RouterList,
    Solicit,
)
from v6ferry.engines.isatap.specification import IsatapHostSpec
from v6ferry.engines.isatap.tables import (
    link_local_route,
    rule_name,
    tunnel_table,
)
from v6ferry.engines.tunnel import (
    ON_LINK_METRIC,
    configured_address,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.system.state import (
    DEFAULT_ROUTE,
    DnsConfiguration,
    HostFacts,
    InterfaceAddress,
    InterfaceState,
    Route,
)
from v6ferry.wire.neighbor_discovery import (
    NeighborAdvertisement,
    NeighborSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
    decode,
    encode,
)
from v6ferry.wire.parser import WireError

LARGEST_SNAPSHOT_AGE = 86400.0
ONE_ANSWER = 1.0
"""Seconds between the first and the last packet of one advertisement, at most."""
MOST_PACKETS_AN_ANSWER = 7


class IsatapHost:
    """An ISATAP host.

    Args:
        spec: what the user set.
        random: source of randomness, so that a run can be repeated.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: IsatapHostSpec, random: Random, now: float) -> None:
        self._spec = spec
        self._facts = HostFacts()
        self._routers = RouterList(random, spec.solicitation_interval, spec.reachability_interval)
        self._learned = Learned()
        self._resolved: dict[str, tuple[IPv4Address, ...]] = {}
        self._unresolved: set[str] = set()
        self._outgoing: list[OutgoingPacket] = []
        self._last_advertisements: dict[IPv4Address, list[tuple[float, bytes]]] = {}
        self._rule_routers: dict[str, IPv4Address] = {}
        self._rule_packets: dict[str, int] = {}
        self._discarded: dict[str, int] = {}
        self._withdrawing = False
        self._set_members(now)

    # What the engine is told

    def update_spec(self, spec: IsatapHostSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._spec = spec
        self._routers.solicitation_interval = spec.solicitation_interval
        self._routers.reachability_interval = spec.reachability_interval
        self._resolved = {
            name: self._resolved[name] for name in self._names() & set(self._resolved)
        }
        self._unresolved &= self._names()
        self._set_members(now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        before = self._endpoints()
        self._facts = facts
        if self._endpoints() != before:
            self._set_members(now)
            if before:
                # A host that has just come up waits a moment, so that after a power failure not
                # all hosts ask at once (RFC 4861 section 6.3.7).
                self._routers.solicit_all(now)

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a name that is gone keeps its last addresses.

        A name server that fails for an hour must not take the routers away.
        """
        if name not in self._names():
            return
        if addresses:
            self._resolved[name] = addresses
            self._unresolved.discard(name)
        else:
            self._unresolved.add(name)
        self._set_members(now)

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``."""
        for rule, endpoint in self._rule_routers.items():
            packets = packets_by_rule.get(rule, 0)
            if packets != self._rule_packets.get(rule, 0):
                self._routers.note_use(endpoint)
            self._rule_packets[rule] = packets

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
            case RouterAdvertisement():
                self._advertisement(packet, header.source, message, outer_source, now)
            case NeighborAdvertisement(target=target, solicited=True):
                entry = self._routers.get(outer_source)
                if entry is not None and target == entry.link_local:
                    self._routers.confirm(entry, now)
            case NeighborSolicitation(target=target):
                self._answer(header.source, target, outer_source, outer_destination, now)
            case _:
                self._discard(f"{type(message).__name__}: not for a host")

    def _advertisement(
        self,
        packet: bytes,
        source: IPv6Address,
        message: RouterAdvertisement,
        router: IPv4Address,
        now: float,
    ) -> None:
        entry = self._routers.get(router)
        if entry is None:
            self._discard("RouterAdvertisement: not from the potential router list")
            return
        if embedded_ipv4(source) != router:
            # The ingress table says so too; here it holds whatever drives the engine.
            self._discard("RouterAdvertisement: source is another router's")
            return
        self._routers.advertisement(entry, source, message, shortest_lifetime(message), now)
        self._learned.advertisement(router, message, now)
        # A long advertisement comes in several packets, one right after the other.
        recent = [
            one for one in self._last_advertisements.get(router, ()) if now - one[0] < ONE_ANSWER
        ]
        self._last_advertisements[router] = [*recent[-MOST_PACKETS_AN_ANSWER:], (now, packet)]

    def _answer(
        self,
        asker: IPv6Address,
        target: IPv6Address,
        outer_source: IPv4Address,
        outer_destination: IPv4Address,
        now: float,
    ) -> None:
        """Answer a neighbor solicitation for one of our addresses (RFC 4861 section 7.2.4)."""
        if all(target != one.address for one in self._addresses(now)):
            self._discard("NeighborSolicitation: not for our address")
            return
        answer = NeighborAdvertisement(target, router=False, solicited=True, override=True)
        packet = encode(answer, target, asker)
        self._outgoing.append(OutgoingPacket(packet, outer_source, outer_destination))

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        self._learned.expire(now)
        if not self._endpoints():
            return
        for action in self._routers.due(now):
            source = self._source_towards(action.entry.endpoint)
            match action:
                case Solicit(entry):
                    message: RouterSolicitation | NeighborSolicitation = RouterSolicitation()
                case Probe(entry):
                    message = NeighborSolicitation(entry.link_local)
            packet = encode(message, isatap_link_local(source), entry.link_local)
            self._outgoing.append(OutgoingPacket(packet, entry.endpoint, source))

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        times = [self._expiry]
        if self._endpoints():
            times.append(self._routers.next_deadline())
        deadline = min(times)
        return None if math.isinf(deadline) else deadline

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        packets, self._outgoing = self._outgoing, []
        return packets

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        self._expiry = min(
            self._learned.next_deadline(now),
            min((r.default_until for r in self._routers if r.is_default(now)), default=math.inf),
        )
        addresses = self._addresses(now)
        routes = self._routes(now) if addresses else ()
        self._rule_routers = {
            rule_name(route): endpoint
            for route in routes
            if route.gateway is not None and (endpoint := embedded_ipv4(route.gateway)) is not None
        }
        tunnel = self._spec.tunnel
        ranked = self._routers.ranked(one for one in self._routers if one.mtu is not None)
        mtu = tunnel_mtu(tunnel, self._facts, ranked[0].mtu if ranked else None)
        table = tunnel_table(
            tunnel,
            self._facts,
            self._endpoints(),
            addresses,
            routes,
            self._learned.on_link(now),
            self._routers.endpoints(),
        )
        dns = DnsConfiguration()
        if self._spec.dns_from_routers:
            dns = DnsConfiguration(self._learned.dns_servers(), self._learned.dns_search())
        return Wanted(
            interface=InterfaceState(tunnel.interface, mtu, addresses, routes),
            table=table,
            names=self._names(),
            name_refresh_interval=self._spec.name_refresh_interval,
            endpoints=self._routers.endpoints(),
            dns=dns,
        )

    _expiry = math.inf

    def _addresses(self, now: float) -> tuple[InterfaceAddress, ...]:
        endpoints = self._endpoints()
        addresses: list[InterfaceAddress] = []
        if self._spec.link_local_always or len(self._routers):
            addresses += [InterfaceAddress(isatap_link_local(endpoint)) for endpoint in endpoints]
        for prefix in self._learned.autonomous(now):
            preferred = 0.0 if self._only_silent_routers(prefix, now) else prefix.preferred_until
            addresses += [
                InterfaceAddress(
                    isatap_address(prefix.prefix, endpoint),
                    64,
                    _time_or_none(preferred),
                    _time_or_none(prefix.valid_until),
                )
                for endpoint in endpoints
            ]
        return tuple(addresses)

    def _only_silent_routers(self, prefix: LearnedPrefix, now: float) -> bool:
        """Whether answers to addresses under ``prefix`` would come back through a dead router.

        Then the addresses are deprecated, so that new connections take a prefix of a live router.
        """
        advertisers = [self._routers.get(one) for one in prefix.advertisers]
        if any(one is not None and not _silent(one) for one in advertisers):
            return False
        return any(not _silent(one) for one in self._routers.default_routers(now))

    def _routes(self, now: float) -> tuple[Route, ...]:
        routes = [link_local_route()]
        routes += [Route(prefix, None, ON_LINK_METRIC) for prefix in self._learned.on_link(now)]
        candidates: dict[Any, list[tuple[Any, RouterEntry]]] = {}
        for learned in self._learned.routes():
            entry = self._routers.get(learned.router)
            if entry is not None:
                candidates.setdefault(learned.prefix, []).append((learned.preference, entry))
        if self._spec.default_route:
            for entry in self._routers.default_routers(now):
                candidates.setdefault(DEFAULT_ROUTE, []).append((entry.preference, entry))
        else:
            candidates.pop(DEFAULT_ROUTE, None)
        for prefix in sorted(candidates):
            # RFC 4191 section 3.2: a reachable router first, then the preference.
            best = min(
                candidates[prefix], key=lambda one: (_silent(one[1]), -one[0], one[1].order)
            )[1]
            routes.append(Route(prefix, best.link_local, self._spec.route_metric))
        return tuple(routes)

    def _names(self) -> frozenset[str]:
        return frozenset(
            router for router in self._spec.routers if configured_address(router) is None
        )

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        return underlay_endpoints(self._spec.tunnel, self._facts)

    def _source_towards(self, endpoint: IPv4Address) -> IPv4Address:
        """The source the kernel prefers, where the tunnel may use it."""
        endpoints = self._endpoints()
        preferred = self._facts.sources.get(endpoint)
        return preferred if preferred in endpoints and preferred is not None else endpoints[0]

    def _set_members(self, now: float) -> None:
        members: dict[IPv4Address, str] = {}
        for router in self._spec.routers:
            address = configured_address(router)
            addresses = self._resolved.get(router, ()) if address is None else (address,)
            for one in addresses:
                if one not in self._facts.host_endpoints:
                    members.setdefault(one, router)
        for gone in self._routers.endpoints() - set(members):
            self._learned.forget_router(gone)
            self._last_advertisements.pop(gone, None)
        self._routers.set_members(members.items(), now)

    def _discard(self, why: str) -> None:
        self._discarded[why] = self._discarded.get(why, 0) + 1

    # Leaving, status, succession

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``; a host owes nobody a word."""
        self._withdrawing = True

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._withdrawing

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        routers = [self._router_status(entry, now) for entry in self._routers]
        addresses = [
            {
                "address": str(one.address),
                "preferred_lifetime": _remaining(one.preferred_until, now),
                "valid_lifetime": _remaining(one.valid_until, now),
            }
            for one in self._addresses(now)
        ]
        preferred = any(one.preferred_until > now for one in self._learned.autonomous(now))
        return {
            "ready": preferred and bool(self._endpoints()),
            "summary": self._summary(now),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(endpoint) for endpoint in self._endpoints()],
            "addresses": addresses,
            "routers": routers,
            "unresolved_names": sorted(self._unresolved - set(self._resolved)),
            "stale_names": sorted(self._unresolved & set(self._resolved)),
            "routes": [
                {"prefix": str(one.prefix), "gateway": one.gateway and str(one.gateway)}
                for one in self._routes(now)
            ],
            "dns_servers": [str(server) for server in self._learned.dns_servers()],
            "dns_search": list(self._learned.dns_search()),
            "ignored": list(self._learned.ignored),
            "discarded": dict(sorted(self._discarded.items())),
        }

    def _router_status(self, entry: RouterEntry, now: float) -> dict[str, Any]:
        return {
            "address": str(entry.endpoint),
            "name": entry.name,
            "link_local": str(entry.link_local),
            "reachability": entry.reachability.value,
            "advertised": entry.advertised,
            "default_lifetime": max(0, round(entry.default_until - now)),
            "preference": str(entry.preference),
            "solicitations_without_answer": entry.solicitations,
        }

    def _summary(self, now: float) -> str:
        if not self._endpoints():
            return "no IPv4 address that the tunnel may use"
        if not len(self._routers):
            names = ", ".join(sorted(self._names()))
            return f"no router known: {names} has no IPv4 address"
        if not any(entry.advertised for entry in self._routers):
            return "no router has answered a solicitation yet"
        default = self._routers.default_routers(now)
        prefixes = [str(one.prefix) for one in self._learned.autonomous(now)]
        if not prefixes:
            return "routers advertise no prefix that gives an address"
        via = f", default router {default[0].endpoint}" if default else ", no default router"
        silent = " (silent)" if default and _silent(default[0]) else ""
        return f"addresses from {', '.join(prefixes)}{via}{silent}"

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: the last words of each router, to be heard again."""
        return {
            "resolved": {
                name: [str(one) for one in addresses] for name, addresses in self._resolved.items()
            },
            "advertisements": [
                {"router": str(router), "received": received, "packet": packet.hex()}
                for router, packets in self._last_advertisements.items()
                for received, packet in packets
            ],
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            for name, addresses in snapshot["resolved"].items():
                if name in self._names():
                    self._resolved[name] = tuple(IPv4Address(one) for one in addresses)
            self._set_members(now)
            for one in snapshot["advertisements"]:
                received = float(one["received"])
                if now - LARGEST_SNAPSHOT_AGE <= received <= now:
                    router = IPv4Address(one["router"])
                    self.receive(bytes.fromhex(one["packet"]), router, router, received)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._discard("snapshot: malformed")
        self._learned.expire(now)
        self._routers.solicit_all(now)


def _silent(entry: RouterEntry) -> bool:
    return entry.reachability is Reachability.UNREACHABLE


def _time_or_none(time: float) -> float | None:
    return None if math.isinf(time) else time


def _remaining(time: float | None, now: float) -> int | None:
    return None if time is None else max(0, round(time - now))

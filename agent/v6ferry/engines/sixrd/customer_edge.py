# SPDX-License-Identifier: GPL-3.0-or-later
"""The 6rd customer edge engine (RFC 5969)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.engines.interface import LinkPacket, OutgoingPacket, Wanted
from v6ferry.engines.lan.router import LanRouter
from v6ferry.engines.sixrd.relays import Relays
from v6ferry.engines.sixrd.specification import SixrdCustomerEdgeSpec
from v6ferry.engines.sixrd.tables import (
    FROM_RELAYS,
    RELAYED,
    Domain,
    customer_edge_table,
    domain_of,
    probe_rule,
)
from v6ferry.engines.tunnel import (
    ON_LINK_METRIC,
    configured_address,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.forwarding.table import TunnelTable
from v6ferry.system.state import (
    DEFAULT_ROUTE,
    HostFacts,
    InterfaceAddress,
    InterfaceState,
    Route,
)
from v6ferry.wire.ipv6 import Ipv6Header

NO_NEXT_HEADER = 59
"""RFC 8200 section 4.7: receivers ignore what follows."""
PROBE_IDENTIFIER = 0x5969 << 48
"""Interface identifiers of the sources of probes begin so; the relay's IPv4 address ends them."""


class SixrdCustomerEdge:
    """A 6rd customer edge.

    Args:
        spec: what the user set.
        random: for the intervals between advertisements on private interfaces.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: SixrdCustomerEdgeSpec, random: Random, now: float) -> None:
        self._spec = spec
        self._facts = HostFacts()
        self._resolved: dict[str, tuple[IPv4Address, ...]] = {}
        self._relays = Relays(spec.reachability_interval)
        self._lan = LanRouter(random)
        self._endpoint: IPv4Address | None = None
        self._outgoing: list[OutgoingPacket] = []
        self._packets: dict[str, int] = {}
        """By rule, as far as they have been looked at."""
        self._packets_now: Mapping[str, int] = {}
        self._look_at = now + spec.reachability_interval
        self._withdrawing = False
        self._set_relays(now)

    # What the engine is told

    def update_spec(self, spec: SixrdCustomerEdgeSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._spec = spec
        self._relays.interval = spec.reachability_interval
        self._look_at = min(self._look_at, now + spec.reachability_interval)
        names = self._names()
        self._resolved = {name: one for name, one in self._resolved.items() if name in names}
        self._set_relays(now)
        self._choose_endpoint(now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        host_changed = facts.host_endpoints != self._facts.host_endpoints
        self._facts = facts
        self._lan.update_facts(facts, now)
        if host_changed:
            self._set_relays(now)
        self._choose_endpoint(now)

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a name that is gone keeps its last addresses."""
        if addresses and name in self._names():
            self._resolved[name] = addresses
            self._set_relays(now)
            self._choose_endpoint(now)

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``."""
        self._packets_now = dict(packets_by_rule)

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``; a 6rd link has no neighbor discovery (RFC 5969 section 8)."""

    def receive_on_link(self, interface: str, packet: bytes, now: float) -> None:
        """See ``LinkEngine.receive_on_link``."""
        self._lan.receive(interface, packet, now)

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        self._lan.handle_timer(now)
        if self._endpoint is None:
            return
        self._hear_relays(now)
        for relay in self._relays.due(now):
            self._probe(relay.address)

    def _hear_relays(self, now: float) -> None:
        """Learn from the counters of rules which relays are alive."""
        for relay in self._relays:
            if self._has_risen(probe_rule(relay.address)):
                self._relays.heard(relay.address, now)
        if now < self._look_at:
            return
        self._look_at = now + self._spec.reachability_interval
        sent, came = self._has_risen(RELAYED), self._has_risen(FROM_RELAYS)
        if sent and came:
            self._relays.in_two_way_use(now)
        elif sent:
            self._relays.in_one_way_use(now)

    def _has_risen(self, rule: str) -> bool:
        """Whether packets have gone by a rule since this was asked last."""
        before, self._packets[rule] = self._packets.get(rule, 0), self._packets_now.get(rule, 0)
        return self._packets[rule] != before

    def _probe(self, relay: IPv4Address) -> None:
        """Send a relay a packet that it has to send back (RFC 5969 section 8)."""
        if self._endpoint is None:
            return
        header = Ipv6Header(
            source=self._probe_sources()[relay],
            destination=self._address(self._endpoint),
            next_header=NO_NEXT_HEADER,
            payload_length=0,
        )
        self._outgoing.append(OutgoingPacket(header.build(), relay, self._endpoint))

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        deadline = self._lan.next_deadline()
        if self._endpoint is not None and len(self._relays):
            deadline = min(deadline, self._look_at, self._relays.next_deadline())
        return None if deadline == math.inf else deadline

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        packets, self._outgoing = self._outgoing, []
        return packets

    def link_packets_to_send(self) -> list[LinkPacket]:
        """See ``LinkEngine.link_packets_to_send``."""
        return self._lan.packets_to_send()

    # Who we are

    def _choose_endpoint(self, now: float) -> None:
        """Find the IPv4 address that the delegated prefix comes from.

        Of several, it is the one from which the kernel sends to the border relay; the others may be
        those of the private network behind. As long as the kernel does not know a way there, it
        stays what it was.
        """
        candidates, before = self._candidates(), self._endpoint
        towards = [self._facts.sources.get(one) for one in self._relays.addresses()]
        preferred = [one for one in towards if one in candidates]
        if len(candidates) == 1:
            self._endpoint = candidates[0]
        elif preferred:
            self._endpoint = preferred[0]
        elif before not in candidates:
            self._endpoint = None
        if self._endpoint != before:
            self._relays.restart(now)
        if not self._withdrawing:
            has_way_out = self._spec.default_route and len(self._relays) > 0
            self._lan.want(self._spec.private.links(self._delegated(), has_way_out), now)

    def _candidates(self) -> tuple[IPv4Address, ...]:
        """IPv4 addresses that may be ours in the domain: none of the private network's."""
        private = {one.interface for one in self._spec.private.interfaces}
        of_private = {one.address for one in self._facts.underlay if one.interface in private}
        endpoints = underlay_endpoints(self._spec.tunnel, self._facts)
        return tuple(one for one in endpoints if one not in of_private)

    def _domain(self, endpoint: IPv4Address) -> Domain:
        return domain_of(self._spec.prefix, endpoint, self._spec.ipv4_mask_length)

    def _delegated(self) -> IPv6Network | None:
        endpoint = self._endpoint
        return None if endpoint is None else self._domain(endpoint).delegated(endpoint)

    def _address(self, endpoint: IPv4Address) -> IPv6Address:
        """Of the tunnel interface: the delegated prefix, and at its end the IPv4 address."""
        return self._domain(endpoint).delegated(endpoint)[int(endpoint)]

    def _probe_sources(self) -> dict[IPv4Address, IPv6Address]:
        delegated = self._delegated()
        if delegated is None:
            return {}
        return {one: delegated[PROBE_IDENTIFIER | int(one)] for one in self._relays.addresses()}

    def _names(self) -> frozenset[str]:
        relays = self._spec.border_relays
        return frozenset(relay for relay in relays if configured_address(relay) is None)

    def _set_relays(self, now: float) -> None:
        members: dict[IPv4Address, str] = {}
        for relay in self._spec.border_relays:
            address = configured_address(relay)
            for one in self._resolved.get(relay, ()) if address is None else (address,):
                if one not in self._facts.host_endpoints:
                    members.setdefault(one, relay)
        self._relays.set_members(members.items(), now)

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec, endpoint = self._spec, self._endpoint
        addresses: tuple[InterfaceAddress, ...] = ()
        routes: tuple[Route, ...] = ()
        table = TunnelTable(spec.tunnel.interface)
        if endpoint is not None:
            addresses = (InterfaceAddress(self._address(endpoint), 128),)
            routes = self._routes()
            relay = self._relays.in_use()
            table = customer_edge_table(
                spec.tunnel,
                self._facts,
                self._domain(endpoint),
                endpoint,
                addresses,
                self._relays.addresses(),
                None if relay is None else relay.address,
                self._probe_sources(),
            )
        mtu = tunnel_mtu(spec.tunnel, self._facts)
        return Wanted(
            interface=InterfaceState(
                spec.tunnel.interface,
                mtu,
                addresses,
                routes,
                forwarding=spec.private.forwarding and bool(spec.private.interfaces),
            ),
            table=table,
            names=self._names(),
            name_refresh_interval=spec.name_refresh_interval,
            endpoints=frozenset(self._relays.addresses()),
            links=self._lan.states(),
        )

    def _routes(self) -> tuple[Route, ...]:
        """The domain, and all else through a border relay (RFC 5969 section 7.1.1)."""
        routes = [Route(self._spec.prefix, None, ON_LINK_METRIC)]
        if self._spec.default_route and len(self._relays):
            routes.append(Route(DEFAULT_ROUTE, None, self._spec.route_metric))
        return tuple(routes)

    # Leaving, status, succession

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``: hosts are told to let go; relays are owed no word."""
        self._withdrawing = True
        self._lan.begin_withdrawal(now)

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._withdrawing and self._lan.withdrawn()

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoint, delegated = self._endpoint, self._delegated()
        in_use = self._relays.in_use()
        return {
            "ready": endpoint is not None and in_use is not None and not self._lan.problems(),
            "summary": self._summary(),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [] if endpoint is None else [str(endpoint)],
            "addresses": [] if endpoint is None else [{"address": str(self._address(endpoint))}],
            "prefix": str(self._spec.prefix),
            "delegated_prefix": None if delegated is None else str(delegated),
            "border_relays": [
                {
                    "address": str(one.address),
                    "name": one.name,
                    "reachability": one.state,
                    "in_use": one is in_use,
                    "probes_without_answer": one.probes,
                }
                for one in self._relays
            ],
            "private_interfaces": self._lan.status(now),
            "problems": self._lan.problems(),
        }

    def _summary(self) -> str:
        candidates = self._candidates()
        if not candidates:
            return "no IPv4 address that the tunnel may use"
        relay = self._relays.in_use()
        if relay is None:
            names = ", ".join(sorted(self._names())) or ", ".join(self._spec.border_relays)
            return f"no border relay known: {names} has no IPv4 address that is not this host's own"
        if self._endpoint is None:
            listed = ", ".join(map(str, candidates))
            return (
                f"no route to the border relay {relay.address} tells which of {listed} is the"
                " customer edge's address: name it in underlay_interfaces or underlay_addresses"
            )
        problems = self._lan.problems()
        if problems:
            return problems[0]
        silent = " (silent)" if relay.state == "silent" else ""
        behind = ", ".join(one.interface for one in self._spec.private.interfaces)
        return (
            f"{self._delegated()} for {behind or 'this host alone'} at {self._endpoint},"
            f" border relay {relay.address}{silent}"
        )

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: what names meant, and which address was ours."""
        return {
            "resolved": {
                name: [str(one) for one in addresses] for name, addresses in self._resolved.items()
            },
            "endpoint": None if self._endpoint is None else str(self._endpoint),
            "lan": self._lan.snapshot(),
            "silent": [str(one.address) for one in self._relays if one.state == "silent"],
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            for name, addresses in snapshot["resolved"].items():
                if name in self._names():
                    self._resolved[name] = tuple(IPv4Address(one) for one in addresses)
            self._set_relays(now)
            endpoint = snapshot["endpoint"]
            self._endpoint = None if endpoint is None else IPv4Address(str(endpoint))
            silent = set(snapshot["silent"])
            self._lan.restore(snapshot["lan"], now)
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        for relay in self._relays:
            if str(relay.address) in silent:
                relay.state = "silent"

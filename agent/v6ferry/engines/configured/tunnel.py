# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a configured tunnel (RFC 4213)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.addresses import configured_tunnel_link_local as link_local
from v6ferry.engines.configured.keepalive import Keepalive
from v6ferry.engines.configured.specification import ConfiguredTunnelSpec
from v6ferry.engines.interface import OutgoingPacket, Wanted
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    ON_LINK_METRIC,
    configured_address,
    is_ours,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.forwarding.table import (
    Encapsulation,
    EndpointRule,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    NearRule,
    TunnelTable,
)
from v6ferry.system.state import (
    LINK_LOCAL_PREFIX,
    HostFacts,
    InterfaceAddress,
    InterfaceState,
    Route,
)
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_packet
from v6ferry.wire.neighbor_discovery import (
    NeighborAdvertisement,
    NeighborSolicitation,
    decode,
    encode,
)
from v6ferry.wire.parser import WireError

ALL_NODES = IPv6Address("ff02::1")
ALL_IPV4 = IPv4Network("0.0.0.0/0")
LINK_LOCAL_SOURCES = IPv6Network("fe80::/10")
UNSPECIFIED = IPv6Network("::/128")
HANDED_UP = frozenset(
    {int(Icmpv6Type.NEIGHBOR_SOLICITATION), int(Icmpv6Type.NEIGHBOR_ADVERTISEMENT)}
)
"""Router discovery is left to whoever does it on the link: radvd, FRR, BIRD."""
ECHO_HOP_LIMIT = 64
ECHO_DATA = b"v6ferry keepalive"


class ConfiguredTunnel:
    """One end of a configured tunnel.

    Args:
        spec: what the user set.
        random: spreads keepalives, and numbers echo requests.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: ConfiguredTunnelSpec, random: Random, now: float) -> None:
        self._spec = spec
        self._random = random
        self._facts = HostFacts()
        self._resolved: tuple[IPv4Address, ...] = ()
        self._remote = configured_address(spec.remote)
        self._local: IPv4Address | None = None
        self._outgoing: list[OutgoingPacket] = []
        self._discarded: dict[str, int] = {}
        self._identifier = self._random.randrange(1, 1 << 16)
        self._sequence = 0
        self._keepalive = self._new_keepalive(now)
        self._gone = False

    # What the engine is told

    def update_spec(self, spec: ConfiguredTunnelSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        before, self._spec = self._spec, spec
        if spec.remote != before.remote:
            self._resolved = ()
            self._remote = configured_address(spec.remote)
        if (spec.remote, spec.keepalive) != (before.remote, before.keepalive):
            self._keepalive = self._new_keepalive(now)
        self._choose_ends(now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts
        self._choose_ends(now)

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a name that is gone keeps its last addresses."""
        if name == self._spec.remote and addresses:
            self._resolved = addresses
            self._choose_ends(now)

    def _choose_ends(self, now: float) -> None:
        """Find out where the tunnel ends; what is still good stays."""
        before = (self._local, self._remote)
        if configured_address(self._spec.remote) is None:
            usable = [one for one in self._resolved if one not in self._facts.host_endpoints]
            if self._remote not in usable:
                self._remote = next(iter(usable), self._remote)
        ours = underlay_endpoints(self._spec.tunnel, self._facts)
        preferred = None if self._remote is None else self._facts.sources.get(self._remote)
        if preferred in ours:
            self._local = preferred
        elif self._local not in ours:
            # Without a route to the far end the kernel prefers none.
            self._local = next(iter(ours), None)
        if (self._local, self._remote) != before:
            self._keepalive = self._new_keepalive(now)

    def _new_keepalive(self, now: float) -> Keepalive | None:
        options = self._spec.keepalive
        return Keepalive(options, self._random, now) if options.enabled else None

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``; what is sent does not tell whether it arrives."""

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
            case NeighborSolicitation(target=target):
                self._answer(header.source, target, outer_source, outer_destination)
            case NeighborAdvertisement(target=target, solicited=True):
                if self._keepalive is not None and target == self._target():
                    self._keepalive.answered(now)
            case NeighborAdvertisement():
                pass  # the link has no link-layer addresses that anybody could announce
            case _:
                self._discard(f"{type(message).__name__}: not for a configured tunnel")

    def _answer(
        self,
        asker: IPv6Address,
        target: IPv6Address,
        outer_source: IPv4Address,
        outer_destination: IPv4Address,
    ) -> None:
        """Answer a neighbor solicitation, as every end must (section 3.8)."""
        if not is_ours(target, self._addresses()):
            # Duplicate address detection asks for the far end's own addresses.
            if not asker.is_unspecified:
                self._discard("NeighborSolicitation: not for our address")
            return
        # RFC 4861 section 7.2.4: who has no address yet hears it with all others.
        destination = ALL_NODES if asker.is_unspecified else asker
        answer = NeighborAdvertisement(
            target,
            router=self._spec.forwarding,
            solicited=not asker.is_unspecified,
            override=True,
        )
        packet = encode(answer, target, destination)
        self._outgoing.append(OutgoingPacket(packet, outer_source, outer_destination))

    def echo_replied(self, source: IPv6Address, sequence: int, now: float) -> None:
        """See ``EchoListener.echo_replied``; only the last request counts."""
        if self._keepalive is None or source != self._spec.keepalive.target:
            self._discard("echo reply: not from the target")
        elif sequence == self._sequence:
            self._keepalive.answered(now)

    # Keepalive

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        if self._keepalive is None or not self._works() or not self._keepalive.ask(now):
            return
        assert self._remote is not None
        self._outgoing.append(OutgoingPacket(self._question(), self._remote, self._local))

    def _question(self) -> bytes:
        target = self._target()
        assert target is not None
        source = self._source(target)
        if self._spec.keepalive.target is None:
            return encode(NeighborSolicitation(target), source, target)
        self._sequence = self._sequence + 1 & 0xFFFF
        message = (
            bytes((Icmpv6Type.ECHO_REQUEST, 0, 0, 0))
            + self._identifier.to_bytes(2, "big")
            + self._sequence.to_bytes(2, "big")
            + ECHO_DATA
        )
        return icmpv6_packet(source, target, message, ECHO_HOP_LIMIT)

    def _target(self) -> IPv6Address | None:
        if self._spec.keepalive.target is not None:
            return self._spec.keepalive.target
        return None if self._remote is None else link_local(self._remote)

    def _source(self, target: IPv6Address) -> IPv6Address:
        """Our address of the target's scope, or else any of ours."""
        ours = [one.address for one in self._addresses()]
        return next((one for one in ours if one.is_link_local == target.is_link_local), ours[0])

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        return self._keepalive.next_at if self._keepalive is not None and self._works() else None

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        packets, self._outgoing = self._outgoing, []
        return packets

    # What the engine wants

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        spec = self._spec
        addresses = self._addresses()
        interface = InterfaceState(
            spec.tunnel.interface,
            tunnel_mtu(spec.tunnel, self._facts),
            addresses,
            (*self._on_link(), *(spec.routes if self._routes_are_good() else ())),
            forwarding=spec.forwarding,
        )
        named = configured_address(spec.remote) is None
        return Wanted(
            interface=interface,
            table=self._table(addresses),
            names=frozenset({spec.remote} if named else ()),
            name_refresh_interval=spec.name_refresh_interval,
            endpoints=frozenset(() if self._remote is None else {self._remote}),
            echo_identifier=(
                self._identifier
                if spec.keepalive.enabled and spec.keepalive.target is not None
                else None
            ),
        )

    def _addresses(self) -> tuple[InterfaceAddress, ...]:
        given = [InterfaceAddress(one.ip, one.network.prefixlen) for one in self._spec.addresses]
        if self._local is not None and not any(one.address.is_link_local for one in given):
            given.insert(0, InterfaceAddress(link_local(self._local)))
        return tuple(given)

    def _on_link(self) -> tuple[Route, ...]:
        prefixes = [one.network for one in self._spec.addresses]
        prefixes = list(dict.fromkeys((LINK_LOCAL_PREFIX, *prefixes)))
        return tuple(Route(prefix, None, ON_LINK_METRIC) for prefix in prefixes)

    def _table(self, addresses: tuple[InterfaceAddress, ...]) -> TunnelTable:
        """All that was routed into the interface goes to the far end, and only it is heard."""
        options, facts = self._spec.tunnel, self._facts
        works = self._works()
        local = frozenset(one.address for one in addresses)
        ends = frozenset({self._local} if works and self._local is not None else ())
        far = Fixed(self._remote) if works and self._remote is not None else None
        return TunnelTable(
            interface=options.interface,
            forwarding=(ForwardingRule(ALL_ADDRESSES, far, "far end"),),
            ingress=self._ingress() if works else (),
            encapsulation=Encapsulation(
                ttl=options.ttl,
                dscp=options.dscp,
                dynamic_mtu=options.dynamic_mtu,
                default_source=self._local,
            ),
            local_endpoints=ends,
            host_endpoints=facts.host_endpoints | ends,
            local_addresses=local,
            host_addresses=facts.host_addresses | local,
            endpoint_rules=self._endpoint_rules(),
            destination_rules=self._destination_rules(addresses),
            handed_up=HANDED_UP,
            multicast=True,
        )

    def _ingress(self) -> tuple[IngressRule, ...]:
        """The outer source is the far end's (section 4); which inner ones it has (section 3.6)."""
        assert self._remote is not None
        far = (Listed(frozenset({self._remote})),)
        spec = self._spec
        allowed = spec.allowed_sources or (ALL_ADDRESSES,)
        rules = [IngressRule(one, far, f"{one} from the far end") for one in allowed]
        rules += [IngressRule(one, (), f"{one} refused") for one in spec.refused_sources]
        if ALL_ADDRESSES not in allowed or spec.refused_sources:
            # A link without neighbor discovery and routing protocols is none.
            for one in (LINK_LOCAL_SOURCES, UNSPECIFIED):
                rules.append(IngressRule(one, far, f"{one} from the far end"))
        return tuple({rule.prefix: rule for rule in rules}.values())

    def _endpoint_rules(self) -> tuple[EndpointRule, ...]:
        if self._remote is None:
            return (EndpointRule(ALL_IPV4, False),)
        allowed = self._is_allowed(self._remote)
        return (EndpointRule(ALL_IPV4, False), EndpointRule(IPv4Network(self._remote), allowed))

    def _is_allowed(self, remote: IPv4Address) -> bool:
        allowed = self._spec.tunnel.allowed_endpoints
        return not allowed or any(remote in network for network in allowed)

    def _destination_rules(self, addresses: tuple[InterfaceAddress, ...]) -> tuple[NearRule, ...]:
        """What is for an address of the link that nobody has must not go back and forth.

        Both ends would send it to the other until its hop limit ends (RFC 6164 section 5.1).
        """
        rules: dict[IPv6Network, NearRule] = {}
        for one in self._spec.addresses:
            rules[one.network] = NearRule(one.network, False)
            # The subnet-router anycast address (RFC 4291 section 2.6.1).
            anycast = IPv6Network(one.network.network_address)
            rules.setdefault(anycast, NearRule(anycast, True))
        for address in addresses:
            ours = IPv6Network(address.address)
            rules[ours] = NearRule(ours, True)
        return tuple(rules[prefix] for prefix in sorted(rules))

    # Status

    def _works(self) -> bool:
        """Whether both ends are known and good."""
        return (
            self._local is not None
            and self._remote is not None
            and self._remote not in self._facts.host_endpoints
            and self._is_allowed(self._remote)
        )

    def _routes_are_good(self) -> bool:
        if not self._works() or self._gone:
            return False
        silent = self._keepalive is not None and self._keepalive.state == "silent"
        return not (silent and self._spec.keepalive.withdraws_routes)

    def _discard(self, why: str) -> None:
        self._discarded[why] = self._discarded.get(why, 0) + 1

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``: nobody has to be told."""
        self._gone = True

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._gone

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        spec, keepalive = self._spec, self._keepalive
        asked = None
        if keepalive is not None:
            asked = {
                "state": keepalive.state,
                "target": None if self._target() is None else str(self._target()),
                "method": "neighbor_solicitation" if spec.keepalive.target is None else "echo",
                "losses": keepalive.losses,
            }
        good = self._routes_are_good()
        return {
            "ready": self._works() and (keepalive is None or keepalive.state == "reachable"),
            "summary": self._summary(),
            "interface": spec.tunnel.interface,
            "underlay_addresses": [] if self._local is None else [str(self._local)],
            "local": None if self._local is None else str(self._local),
            "remote": None if self._remote is None else str(self._remote),
            "remote_name": None if configured_address(spec.remote) else spec.remote,
            "addresses": [
                {"address": str(one.address), "prefix_length": one.prefix_length}
                for one in self._addresses()
            ],
            "routes": [
                {"prefix": str(one.prefix), "gateway": None, "metric": one.metric}
                for one in (spec.routes if good else ())
            ],
            "withdrawn_routes": [str(one.prefix) for one in (() if good else spec.routes)],
            "keepalive": asked,
            "discarded": dict(sorted(self._discarded.items())),
        }

    def _summary(self) -> str:
        name = self._spec.remote
        remote = name if name == str(self._remote) else f"{name} ({self._remote})"
        if self._remote is None:
            return f"the far end is not known: {name} has no IPv4 address"
        if self._remote in self._facts.host_endpoints:
            return f"{remote} is this host itself: a tunnel has two ends"
        if not self._is_allowed(self._remote):
            return f"{remote} is not among allowed_endpoints"
        if self._local is None:
            wanted = self._spec.local or "address that the tunnel may use"
            return f"this host has no IPv4 {'address ' if self._spec.local else ''}{wanted}"
        ends = f"from {self._local} to {remote}"
        keepalive = self._keepalive
        if keepalive is None:
            return ends
        if keepalive.state == "silent":
            withdrawn = self._spec.keepalive.withdraws_routes and bool(self._spec.routes)
            what = "; its routes are withdrawn" if withdrawn else ""
            return f"{ends}: {self._target()} is silent{what}"
        if keepalive.state == "asking":
            return f"{ends}: {self._target()} has not answered yet"
        return f"{ends}, which answers"

    # Succession

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: how to go on before names are resolved again."""
        return {
            "name": self._spec.remote,
            "resolved": [str(one) for one in self._resolved],
            "local": None if self._local is None else str(self._local),
            "remote": None if self._remote is None else str(self._remote),
            "keepalive": None if self._keepalive is None else self._keepalive.state,
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            if snapshot["name"] != self._spec.remote:
                return
            self._resolved = tuple(map(IPv4Address, snapshot["resolved"]))
            if snapshot["local"] is not None:
                self._local = IPv4Address(snapshot["local"])
            if snapshot["remote"] is not None:
                self._remote = IPv4Address(snapshot["remote"])
        except (KeyError, TypeError, ValueError):
            self._discard("snapshot: malformed")
            return
        if self._keepalive is not None:
            self._keepalive.restore(snapshot.get("keepalive"))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo client engine (RFC 4380 section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from v6ferry.addresses.teredo import TEREDO_CONE_FLAG, TEREDO_PREFIX, TeredoAddress
from v6ferry.engines.interface import Wanted
from v6ferry.engines.teredo.dormancy import Dormancy
from v6ferry.engines.teredo.interval import RefreshInterval
from v6ferry.engines.teredo.outbox import addresses_of, is_global
from v6ferry.engines.teredo.peers import Peer
from v6ferry.engines.teredo.ping_test import PingingNode
from v6ferry.engines.teredo.qualification import (
    Known,
    Nat,
    Qualification,
    Secret,
    Server,
    known_before,
)
from v6ferry.engines.teredo.servers import Servers, names_of
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.engines.teredo.symmetric import PortChoice, port_choice
from v6ferry.engines.teredo.tables import client_interface, only, teredo_table
from v6ferry.engines.teredo.use import (
    ManagedNetwork,
    State,
    managed_names,
    name_refresh_interval,
    why_not_used,
)
from v6ferry.engines.tunnel import ALL_ADDRESSES, underlay_endpoints
from v6ferry.forwarding.rate_limit import RateLimit
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import (
    LINK_LOCAL_PREFIX,
    HostFacts,
)
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import TEREDO_PORT, Origin, TeredoDatagram, bubble, is_bubble

_RANDOM_FLAGS = 0x3CFF
"""The 12 bits of the flags that are random; C, R, U and G are not (RFC 5991 section 4)."""
_FIRST_PORT, _LAST_PORT = 49152, 65535
_ANSWERS = 5
"""Bubbles a second to one IPv4 address that has sent bubbles with a link-local source."""
_ANSWER_SLOTS = 256
_OF_THE_ADDRESS = frozenset(
    ("cone_bit", "refresh_interval", "longest_refresh_interval", "secret", "client_port")
)
"""Settings that have the server asked anew."""


class TeredoClient(PingingNode):
    """A Teredo client.

    Args:
        spec: what the user set.
        random: makes nonces, flags and the port.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: TeredoClientSpec, random: Random, now: float) -> None:
        super().__init__(
            random, now, globally_unique=spec.globally_unique, most_peers=spec.most_peers
        )
        self._spec = spec
        self._servers = Servers()
        self._managed = ManagedNetwork()
        self._dormancy = Dormancy(spec.dormant_after, self._random.getrandbits(64))
        self._flags = self._random.getrandbits(16) & _RANDOM_FLAGS
        self._own_port = self._random.randint(_FIRST_PORT, _LAST_PORT)
        self._answers = RateLimit(_ANSWERS, self._random.getrandbits(64), _ANSWER_SLOTS)
        self._asked: tuple[object, ...] = ()
        self._inherited: tuple[Server, Known] | None = None
        """What a predecessor knew, until it is used or out of date."""
        self._begin_anew()
        self._address: IPv6Address | None = None
        self._former_address: IPv6Address | None = None
        """The last one: peers know us by it if it comes back."""
        self._secondary_port: int | None = None
        self._known: tuple[object, ...] = ()
        """What ``_address`` was made of."""

    # What the engine is told

    def update_spec(self, spec: TeredoClientSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        before, self._spec = self._spec, spec
        self._dormancy.set_after(spec.dormant_after, now)
        self._globally_unique = spec.globally_unique
        self._peers.most = spec.most_peers
        if before.local_discovery != spec.local_discovery:
            self._discover(now)
        if any(getattr(before, one) != getattr(spec, one) for one in _OF_THE_ADDRESS):
            self._begin_anew()
            self._asked = ()
        self._ask(now)

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts
        self._wanted = None
        self._ask(now)

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; a server whose name is gone keeps its last address."""
        if addresses and name in self._spec.servers:
            self._servers.resolved(name, addresses)
        if name in managed_names(self._spec):
            self._managed.resolved(name, addresses)
        self._ask(now)

    def find_peer(self, packet: bytes, now: float) -> None:
        """See ``DatagramEngine.find_peer``; the first packet wakes a dormant client up."""
        if self._address is not None or not self._dormancy.is_wanted or self._idle():
            super().find_peer(packet, now)
            return
        source, destination = addresses_of(packet)
        if source != self._dormancy.address or not is_global(destination):
            self._discard("inner source or destination on the way out")
        elif self._dormancy.keep(packet, now):
            self._ask(now)

    def _admit(self, peer: Peer, endpoint: Endpoint, now: float) -> None:
        self._dormancy.use(now)
        super()._admit(peer, endpoint, now)

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""
        super().handle_timer(now)
        self._qualification.handle_timer(now)
        self._interval.handle_timer(now)
        if self._dormancy.falls_asleep(now):
            self._ask(now)
        for packet in self._dormancy.refused(now):
            self._discard("no address to send from")
            self._tell_unreachable(packet, self._dormancy.address)
            self._wanted = None
        self._follow(now)

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        times = (
            super().next_deadline(),
            self._qualification.next_deadline(),
            self._interval.next_deadline(),
            self._dormancy.next_deadline(),
        )
        return min((one for one in times if one is not None), default=None)

    def _receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        is_server = source.port == TEREDO_PORT and self._qualification.is_server(source.address)
        if not is_server:
            return super()._receive(datagram, source, now)
        if source.local_port and source.local_port == self._interval.port:
            why = self._interval.receive(datagram, source, now)
            self._follow(now)
            return why
        if source.local_port:
            return self._received_echo(datagram, source, now)
        if neighbor_discovery_type(datagram.packet) is not None:
            why = self._qualification.receive(datagram, source, now)
            self._follow(now)
            return why
        if not is_bubble(datagram.packet) or datagram.origin is None:
            return "neither advertisement nor bubble from the server"
        inner_source, destination = addresses_of(datagram.packet)
        origin = Endpoint(datagram.origin.address, datagram.origin.port)
        if destination == self._address and inner_source in LINK_LOCAL_PREFIX:
            return self._received_bubble_of_nobody(inner_source, origin, now)
        if destination != self._address or not is_global(inner_source):
            return "inner source or destination on the way in"
        return self._received_indirect_bubble(datagram, origin, now)

    def _received_bubble_of_nobody(
        self, source: IPv6Address, origin: Endpoint, now: float
    ) -> str | None:
        """Answer a bubble whose source says nothing, as those of miredo do: open the NAT."""
        if self._address is None or not self._may_be_far_end(origin):
            return "origin of a bubble"
        if not self._answers.allows(origin.address, now):
            return "more bubbles of a peer than are answered"
        self._send(TeredoDatagram(bubble(self._address, source)), origin)
        return None

    # Qualification

    def _begin_anew(self) -> None:
        spec, secret, first = self._spec, self._spec.secret, self._spec.refresh_interval
        self._qualification = Qualification(
            self._random, secret=secret, probes_cone=spec.cone_bit, interval=first
        )
        self._interval = RefreshInterval(
            self._random, first=first, longest=spec.longest_refresh_interval, secret=secret
        )

    def _ask(self, now: float) -> None:
        """Ask the servers anew if they are others, or if the network is another one."""
        self._wanted = None
        unused = self._idle() or self._dormancy.is_dormant
        servers = () if unused else self._servers.of(self._spec)
        ours = self._ours_towards(servers[0] if servers else None)
        asked = (servers, ours, self._port())
        if asked != self._asked:
            self._asked = asked
            host, found = self._facts.host_endpoints, self._qualification
            if servers and ours and self._inherited and self._inherited[0] in servers:
                server, known = self._inherited
                found.resume(server, servers, host, known, now)
            elif servers and ours:
                found.begin(servers, host, now)
            else:
                self._qualification.end()
        self._follow(now)

    def _follow(self, now: float) -> None:
        """Do what the qualification says, and have the address that it gives."""
        found = self._qualification
        for one in found.solicitations():
            self._send(one.datagram, one.endpoint)
        self._follow_interval()
        known = (found.is_settled, found.mapped, found.server, found.nat, self._spec)
        if known == self._known:
            return
        self._known = known
        address = self._formed_address()
        if address != self._address:
            inherits = self._address is None and self._inherited is not None
            self._address, self._wanted = address, None
            if inherits:
                self._inherited = None
            elif address is None:
                self._suspend_peers()
            elif address != self._former_address:
                self._forget_peers()
            self._former_address = address or self._former_address
            self._discover(now)
        if address is not None:
            for packet in self._dormancy.settled(address, now):
                super().find_peer(packet, now)
            self._wanted = None
        taken = (*self._reserved_ports(), *self._own_ports)
        self._interval.follow(found.server, found.nat, address, taken, now)
        self._follow_interval()

    def _follow_interval(self) -> None:
        """Have the secondary port that it needs, and do with what it has found out."""
        self._qualification.interval = self._interval.interval
        for one in self._interval.datagrams():
            self._send(one.datagram, one.endpoint)
        if self._interval.port != self._secondary_port:
            self._secondary_port, self._wanted = self._interval.port, None

    def _formed_address(self) -> IPv6Address | None:
        found = self._qualification
        if not found.is_settled or found.mapped is None or found.server is None:
            return None
        if self._spec.type == "natawareclient" and found.nat is Nat.NONE:
            return None
        flags = self._flags | (TEREDO_CONE_FLAG if found.nat is Nat.CONE else 0)
        mapped, server = found.mapped, found.server.primary
        return TeredoAddress(server, mapped.address, mapped.port, flags).encode()

    def _idle(self) -> str | None:
        return why_not_used(self._spec, self._facts, self._managed)

    def _port(self) -> int:
        return self._spec.client_port or self._own_port

    # What differs from relays

    def _address_for(self, peer: Peer) -> IPv6Address | None:
        return self._address

    def _may_send(self, source: IPv6Address, destination: IPv6Address) -> bool:
        return source == self._address and is_global(destination)

    def _may_receive(self, packet: bytes) -> bool:
        source, destination = addresses_of(packet)
        return destination == self._address and is_global(source) and source != destination

    def _sends_direct_bubbles(self) -> bool:
        return True

    def _has_one_port(self) -> bool:
        return self._qualification.nat is not Nat.SYMMETRIC

    def _port_choice(self) -> PortChoice | None:
        return self._choice() if self._qualification.nat is Nat.SYMMETRIC else None

    def _choice(self) -> PortChoice | None:
        """How the NAT chooses ports; None where there is none, or we do not know."""
        found = self._qualification
        if found.mapped is None or found.nat in (Nat.NONE, Nat.UNKNOWN):
            return None
        return port_choice(self._port(), found.mapped.port, found.second_port)

    def _asked_server(self) -> tuple[Server, Secret | None] | None:
        server = self._qualification.server
        return None if server is None else (server, self._spec.secret)

    def _discoverable(self) -> IPv6Address | None:
        is_behind_nat = self._qualification.nat is not Nat.NONE
        return self._address if self._spec.local_discovery and is_behind_nat else None

    def _reserved_ports(self) -> tuple[int, ...]:
        return (TEREDO_PORT, self._port(), *self._secondary_ports())

    def _secondary_ports(self) -> tuple[int, ...]:
        return () if self._secondary_port is None else (self._secondary_port,)

    def _alternates_for(self, peer: Peer) -> tuple[Origin, ...]:
        """RFC 6081 section 5.5: a NAT may not let us turn around to a peer behind it."""
        mapped, endpoints = self._qualification.mapped, self._endpoints()
        behind_the_same = (
            mapped is not None and peer.parts is not None and peer.parts.client == mapped.address
        )
        if not behind_the_same or self._qualification.nat is Nat.NONE:
            return ()
        return tuple(Origin(one, self._port()) for one in endpoints[:4])

    # What the engine wants

    def _endpoints(self) -> tuple[IPv4Address, ...]:
        """Our addresses, first the one that the server sees, or its NAT does."""
        return self._ours_towards(self._qualification.server)

    def _ours_towards(self, server: Server | None) -> tuple[IPv4Address, ...]:
        ours = underlay_endpoints(self._spec.tunnel, self._facts)
        towards = None if server is None else self._facts.sources.get(server.primary)
        return tuple(sorted(ours, key=lambda one: one != towards))

    def _make_wanted(self) -> Wanted:
        spec, idle = self._spec, self._idle()
        addresses: tuple[IPv6Address, ...] = () if self._address is None else (self._address,)
        if not idle and self._dormancy.is_wanted:
            ours, former = self._address or self._dormancy.address, self._dormancy.former
            addresses = (ours,) if former is None else (ours, former)
        return Wanted(
            interface=client_interface(spec.tunnel, self._facts, addresses, spec.route_metric),
            table=teredo_table(
                spec.tunnel,
                self._facts,
                () if idle else self._endpoints(),
                self._port(),
                addresses,
                (TEREDO_PREFIX, ALL_ADDRESSES) if addresses else (),
                only(addresses),
                (*self._own_ports, *self._secondary_ports()),
                self._group(),
            ),
            names=frozenset((*managed_names(spec), *(() if idle else names_of(spec)))),
            name_refresh_interval=name_refresh_interval(spec),
            endpoints=frozenset(one.primary for one in self._servers.of(self._spec)),
        )

    # Status, succession

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``; idle as the type wants it is ready."""
        found, idle = self._qualification, self._idle()
        mapped, choice, state = found.mapped, self._choice(), self._state(idle)
        unresolved = () if idle else self._servers.unresolved(self._spec)
        return {
            "ready": state in (State.DORMANT, State.QUALIFIED) or bool(idle),
            "state": state.value,
            "summary": self._summary(idle),
            "interface": self._spec.tunnel.interface,
            "type": self._spec.type,
            "active": self._address is not None,
            "addresses": [] if self._address is None else [{"address": str(self._address)}],
            "nat": found.nat.value,
            "port_choice": None if choice is None else choice.value,
            "server": None if found.server is None else str(found.server.primary),
            "mapped_address": None if mapped is None else str(mapped.address),
            "mapped_port": None if mapped is None else mapped.port,
            "client_port": self._port(),
            "refresh_interval": self._interval.interval,
            "refresh_interval_is_learned": self._interval.is_learned,
            "peers": len(self._peers),
            "discarded": dict(sorted(self._discarded.items())),
        } | ({"unresolved_names": unresolved} if unresolved else {})

    def _state(self, idle: str | None) -> State:
        found = self._qualification
        if self._address is not None:
            return State.QUALIFIED
        if idle or not self._endpoints() or found.problem or found.nat is Nat.NONE:
            return State.OFFLINE
        return State.DORMANT if self._dormancy.is_dormant else State.PROBE

    def _summary(self, idle: str | None) -> str:
        found = self._qualification
        if idle is not None:
            return idle
        if self._address is not None:
            server = found.server.primary if found.server else None
            choice = self._choice()
            ports = f", ports {choice.value}" if choice not in (None, PortChoice.UNKNOWN) else ""
            return f"{self._address} from the server {server}; NAT: {found.nat.value}{ports}"
        if not self._endpoints():
            return "no IPv4 address that the tunnel may use"
        if self._dormancy.is_dormant:
            return "dormant: asks its server when something is sent to IPv6 hosts (dormant_after)"
        unresolved = self._servers.unresolved(self._spec)
        if unresolved and not self._servers.of(self._spec):
            return f"the server {unresolved[0]} has no IPv4 address so far"
        if found.nat is Nat.NONE:
            return "idle: there is no NAT, and type is natawareclient"
        return found.problem or "the server has not answered so far"

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: what our address is made of, and the servers' addresses."""
        return {
            "flags": self._flags,
            "port": self._own_port,
            "servers": self._servers.snapshot(),
            "managed": self._managed.snapshot(),
            "source": str(self._dormancy.address),
            "peers": self._peers.snapshot(),
            "qualified": None if self._address is None else self._qualification.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            flags, port = int(snapshot["flags"]), int(snapshot["port"])
            self._servers.restore(snapshot["servers"])
            self._inherited = known_before(snapshot.get("qualified"))
            self._managed.restore(snapshot.get("managed", {}))
            self._dormancy.address = IPv6Address(snapshot.get("source", self._dormancy.address))
            if self._inherited is not None:
                self._dormancy.wake(now)
                self._restore_peers(snapshot["peers"], now)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._inherited = None
            self._discard("snapshot: malformed")
            return
        if _FIRST_PORT <= port <= _LAST_PORT:
            self._own_port = port
        self._flags = flags & _RANDOM_FLAGS

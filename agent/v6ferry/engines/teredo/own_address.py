# SPDX-License-Identifier: GPL-3.0-or-later
"""How a client comes by its own address, and keeps it (RFC 4380 sections 5.2.1, 5.2.2, 5.2.5)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from v6ferry.addresses.teredo import TEREDO_CONE_FLAG, TeredoAddress
from v6ferry.engines.teredo.interval import RefreshInterval
from v6ferry.engines.teredo.qualification import (
    Known,
    Nat,
    Qualification,
    Server,
    Solicitation,
    known_before,
)
from v6ferry.engines.teredo.servers import Servers
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.engines.teredo.symmetric import PortChoice, port_choice
from v6ferry.engines.tunnel import underlay_endpoints
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import HostFacts
from v6ferry.wire.teredo import TeredoDatagram

_RANDOM_FLAGS = 0x3CFF
"""The 12 bits of the flags that are random; C, R, U and G are not (RFC 5991 section 4)."""
_FIRST_PORT, _LAST_PORT = 49152, 65535
_OF_THE_ADDRESS = frozenset(
    ("cone_bit", "refresh_interval", "longest_refresh_interval", "secret", "client_port")
)
"""Settings that have the server asked anew."""


class OwnAddress:
    """Asks servers for what an address is made of.

    Args:
        spec: what the user set.
        random: makes nonces, flags and ports.
    """

    def __init__(self, spec: TeredoClientSpec, random: Random) -> None:
        self._spec = spec
        self._random = random
        self._facts = HostFacts()
        self._flags = self._random.getrandbits(16) & _RANDOM_FLAGS
        self._random_port = self._random.randint(_FIRST_PORT, _LAST_PORT)
        self.servers = Servers()
        self.address: IPv6Address | None = None
        """None while no server has given one."""
        self._asked: tuple[object, ...] = ()
        """Whom we have asked, and from where."""
        self._known: tuple[object, ...] = ()
        """What ``address`` was made of."""
        self._known_secondary_port: int | None = None
        self._inherited: tuple[Server, Known] | None = None
        """What a predecessor knew, until it is used or out of date."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        spec, secret, first = self._spec, self._spec.secret, self._spec.refresh_interval
        self._qualification = Qualification(
            self._random, secret=secret, probes_cone=spec.cone_bit, interval=first
        )
        self._interval = RefreshInterval(
            self._random, first=first, longest=spec.longest_refresh_interval, secret=secret
        )

    # What it is told

    def update_spec(self, spec: TeredoClientSpec) -> None:
        """Have other settings; ``ask`` acts on them."""
        before, self._spec = self._spec, spec
        if any(getattr(before, one) != getattr(spec, one) for one in _OF_THE_ADDRESS):
            self._begin_anew()
            self._asked = ()

    def update_facts(self, facts: HostFacts) -> None:
        """The host is like this now; ``ask`` acts on it."""
        self._facts = facts

    def ask(self, is_used: bool, now: float) -> None:
        """Ask the servers anew if they are others, or if the network is another one.

        Args:
            is_used: whether the client is to have an address.
            now: seconds.
        """
        servers = self.servers.of(self._spec) if is_used else ()
        ours = self._towards(servers[0] if servers else None)
        asked = (servers, ours, self.port)
        if asked == self._asked:
            return
        self._asked = asked
        host, found = self._facts.host_endpoints, self._qualification
        if not (servers and ours):
            found.end()
        elif self._inherited is not None and self._inherited[0] in servers:
            server, known = self._inherited
            found.resume(server, servers, host, known, now)
        else:
            found.begin(servers, host, now)

    def is_server(self, source: Endpoint) -> bool:
        """Whether a datagram may be one of a server of ours, to judge by its IPv4 source."""
        return self._qualification.is_server(source.address)

    def receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        """A server has answered; return why it is discarded, if it is."""
        if source.local_port:
            return self._interval.receive(datagram, source, now)
        return self._qualification.receive(datagram, source, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._qualification.handle_timer(now)
        self._interval.handle_timer(now)

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` has something to do."""
        times = (self._qualification.next_deadline(), self._interval.next_deadline())
        return min((one for one in times if one is not None), default=None)

    # What follows

    def settle(self, taken: Container[int], now: float) -> bool:
        """Have the address that follows from all that; after whatever it has been told.

        Args:
            taken: ports of ours that have another use.
            now: seconds.

        Returns:
            Whether the address, what it is made of, or the secondary port is another one.
        """
        found, interval = self._qualification, self._interval
        known = (found.is_settled, found.mapped, found.server, found.nat, self._spec)
        is_news = known != self._known
        if is_news:
            self._known, self.address = known, self._formed_address()
            interval.follow(found.server, found.nat, self.address, taken, now)
        found.interval = interval.interval
        is_news = is_news or interval.port != self._known_secondary_port
        self._known_secondary_port = interval.port
        return is_news

    def _formed_address(self) -> IPv6Address | None:
        found = self._qualification
        if not found.is_settled or found.mapped is None or found.server is None:
            return None
        if self._spec.type == "natawareclient" and found.nat is Nat.NONE:
            return None
        flags = self._flags | (TEREDO_CONE_FLAG if found.nat is Nat.CONE else 0)
        mapped, server = found.mapped, found.server.primary
        return TeredoAddress(server, mapped.address, mapped.port, flags).encode()

    def solicitations(self) -> list[Solicitation]:
        """What to send to servers now; each is returned once."""
        return self._qualification.solicitations() + self._interval.datagrams()

    # What is known

    @property
    def nat(self) -> Nat:
        """What is before us."""
        return self._qualification.nat

    @property
    def mapped(self) -> Endpoint | None:
        """Where the server sees us."""
        return self._qualification.mapped

    @property
    def server(self) -> Server | None:
        """Ours; None while none has answered."""
        return self._qualification.server

    @property
    def problem(self) -> str | None:
        """Why a server's answer cannot be used."""
        return self._qualification.problem

    @property
    def port(self) -> int:
        """Our UDP port."""
        return self._spec.client_port or self._random_port

    @property
    def secondary_ports(self) -> tuple[int, ...]:
        """The one by which the refresh interval is found out (section 5.2.7), while it is used."""
        return () if self._interval.port is None else (self._interval.port,)

    def port_choice(self) -> PortChoice | None:
        """How the NAT chooses ports; None where there is none, or we do not know."""
        found = self._qualification
        if found.mapped is None or found.nat in (Nat.NONE, Nat.UNKNOWN):
            return None
        return port_choice(self.port, found.mapped.port, found.second_port)

    def endpoints(self) -> tuple[IPv4Address, ...]:
        """Our IPv4 addresses, first the one that the server sees, or its NAT does."""
        return self._towards(self.server)

    def _towards(self, server: Server | None) -> tuple[IPv4Address, ...]:
        ours = underlay_endpoints(self._spec.tunnel, self._facts)
        towards = None if server is None else self._facts.sources.get(server.primary)
        return tuple(sorted(ours, key=lambda one: one != towards))

    def status(self) -> dict[str, Any]:
        """What is known, JSON-ready."""
        mapped, server, choice = self.mapped, self.server, self.port_choice()
        return {
            "nat": self.nat.value,
            "port_choice": None if choice is None else choice.value,
            "server": None if server is None else str(server.primary),
            "mapped_address": None if mapped is None else str(mapped.address),
            "mapped_port": None if mapped is None else mapped.port,
            "client_port": self.port,
            "refresh_interval": self._interval.interval,
            "refresh_interval_is_learned": self._interval.is_learned,
        }

    # Succession

    @property
    def is_inherited(self) -> bool:
        """Whether a predecessor had an address, and we have not had one since."""
        return self._inherited is not None

    def drop_inheritance(self) -> None:
        """Ask the servers as if nobody had before us; an address that we have stays."""
        self._inherited = None

    def snapshot(self) -> dict[str, Any]:
        """For ``restore``, JSON-ready."""
        return {
            "flags": self._flags,
            "port": self._random_port,
            "servers": self.servers.snapshot(),
            "qualified": None if self.address is None else self._qualification.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Know what a predecessor knew; ``ask`` acts on it.

        Raises:
            KeyError: this is no snapshot.
            ValueError: this is no snapshot.
            TypeError: this is no snapshot.
            AttributeError: this is no snapshot.
        """
        flags, port = int(snapshot["flags"]), int(snapshot["port"])
        inherited = known_before(snapshot.get("qualified"))
        self.servers.restore(snapshot["servers"])
        self._inherited = inherited
        self._flags = flags & _RANDOM_FLAGS
        if _FIRST_PORT <= port <= _LAST_PORT:
            self._random_port = port

# SPDX-License-Identifier: GPL-3.0-or-later
"""How a client gets its address and learns of its NAT (RFC 4380 sections 5.2.1, 5.2.2, 5.2.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.neighbor_discovery import RouterAdvertisement, RouterSolicitation, decode, encode
from v6ferry.wire.parser import WireError
from v6ferry.wire.teredo import (
    NONCE_LENGTH,
    TEREDO_PORT,
    Authentication,
    Confirmation,
    Origin,
    TeredoDatagram,
    authentication_value,
    is_authentic,
)

TIMEOUT = 4.0
"""Seconds until a solicitation counts as lost (section 5.2: T)."""
TRIES = 3
"""Solicitations until the server counts as silent (section 5.2: N)."""
FIRST_PAUSE, LAST_PAUSE = 5.0, 300.0
"""Seconds of pause after all servers were silent, doubled from the first to the last."""
CONE_SETTLING = 0.1
"""Seconds beyond another round trip in which the answer that only a cone NAT lets in may come."""
EARLIEST_REFRESH = 0.75
"""Of the refresh interval: many clients must not ask in step (section 5.2.5)."""

ALL_ROUTERS = IPv6Address("ff02::2")
LINK_LOCAL = IPv6Address("fe80::5445:5245:444f")
"""Of solicitations; its last octets spell TEREDO (section 5.2.1)."""
CONE_LINK_LOCAL = IPv6Address("fe80::8000:5445:5245:444f")
"""The same with the cone bit, which asks for an answer from the other address of the server."""


class Nat(str, Enum):
    """What is between a client and its server, as far as is known."""

    UNKNOWN = "unknown"
    NONE = "none"
    CONE = "cone"
    RESTRICTED = "restricted"
    SYMMETRIC = "symmetric"


Known = tuple[Endpoint, Nat, int | None]
"""Where the server saw us, what NAT there was, and the port that its other address saw."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Teredo server: two addresses of one machine."""

    primary: IPv4Address
    secondary: IPv4Address


@dataclass(frozen=True, slots=True)
class Secret:
    """What a client shares with its server (section 5.2.2)."""

    identifier: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Solicitation:
    """A solicitation to send."""

    datagram: TeredoDatagram
    endpoint: Endpoint


@dataclass(slots=True)
class _Probe:
    """A question to the server that waits for its answer."""

    ask: IPv4Address
    answer_from: IPv4Address
    source: IPv6Address
    nonce: bytes = b""
    sent: float = 0.0
    tries: int = 0


class Qualification:
    """Asks servers, and again and again, what the client's mapped address is.

    Args:
        random: makes nonces, and spreads refreshes.
        secret: shared with the servers; None without.
        probes_cone: whether to find out if anybody gets through the NAT. RFC 5991 section 3 has
            clients do without, and not set the cone bit.
        interval: seconds between refreshes, at most.
    """

    def __init__(
        self, random: Random, *, secret: Secret | None, probes_cone: bool, interval: float
    ) -> None:
        self._random = random
        self._secret = secret
        self._probes_cone = probes_cone
        self.interval = interval
        self._servers: tuple[Server, ...] = ()
        self._number = 0
        self._probes: dict[str, _Probe] = {}
        self._solicitations: list[Solicitation] = []
        self._refresh_at: float | None = None
        self._settled_at: float | None = None
        self._resume_at: float | None = None
        self._pause = FIRST_PAUSE
        self._ours: frozenset[IPv4Address] = frozenset()
        self._usable = b""
        """The advertisement of our server that was usable last."""
        self.server: Server | None = None
        """The one that is asked; None while there is none."""
        self.mapped: Endpoint | None = None
        """Where the server sees us; None until it is known."""
        self.nat = Nat.UNKNOWN
        self.second_port: int | None = None
        """Where the other address of the server sees us; None until it is known."""
        self.problem: str | None = None
        """Why there is no address, in words for people."""

    # What it is told

    def begin(self, servers: tuple[Server, ...], ours: frozenset[IPv4Address], now: float) -> None:
        """Ask these servers, the first one first, from a host that has the addresses ``ours``."""
        self._servers, self._number, self._ours = servers, 0, ours
        self._pause = FIRST_PAUSE
        self._ask_server(now)

    def resume(
        self,
        server: Server,
        servers: tuple[Server, ...],
        ours: frozenset[IPv4Address],
        known: Known,
        now: float,
    ) -> None:
        """Go on with what a predecessor knew, and ask whether it is still so."""
        self._servers, self._ours = servers, ours
        self._forget()
        self._number = servers.index(server)
        self.server = server
        self.mapped, self.nat, self.second_port = known
        self._ask_primary(now)

    def end(self) -> None:
        """Ask nobody any more."""
        self._servers = ()
        self._forget()
        self.server, self.problem = None, None

    def receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        """A datagram has come from a server's port; return why it is discarded, if it is."""
        authentication = datagram.authentication
        if authentication is None:
            return "advertisement without the nonce"
        found = [kind for kind, one in self._probes.items() if one.nonce == authentication.nonce]
        if not found:
            return "advertisement with another nonce"
        kind, probe = found[0], self._probes[found[0]]
        if source != Endpoint(probe.answer_from, TEREDO_PORT):
            return "advertisement from another address of the server"
        why = refusal(datagram, self._secret)
        if why is not None:
            if authentication.confirmation != Confirmation.ACCEPTED:
                self.problem = (
                    f"the server {probe.ask} does not accept our client identifier or key any more"
                )
            return why
        if datagram.origin is None:
            return "advertisement without an origin indication"
        # Those of one server are alike, and a refresh is not to cost more than it has to.
        if datagram.packet != self._usable:
            asked = probe.ask if kind != "cone" else probe.answer_from
            why = unusable(datagram.packet, asked, self._servers)
            if why is not None:
                return why
            self._usable = datagram.packet
        del self._probes[kind]
        self._answered(kind, datagram.origin, now - probe.sent, now)
        return None

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for kind, probe in list(self._probes.items()):
            if probe.sent + TIMEOUT > now:
                continue
            if probe.tries < TRIES:
                self._solicit(probe, now)
                continue
            del self._probes[kind]
            if kind == "primary":
                self._silent(now)
            elif kind == "secondary" and self.nat is Nat.UNKNOWN:
                self.nat = Nat.RESTRICTED
        if self._settled_at is not None and now >= self._settled_at:
            self._settled_at = None
            self._probes.pop("cone", None)
            self._ask_secondary(now)
        if self._resume_at is not None and now >= self._resume_at:
            self._resume_at = None
            self._ask_server(now)
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self._ask_primary(now)

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` has something to do."""
        times = [probe.sent + TIMEOUT for probe in self._probes.values()]
        times += [
            one for one in (self._refresh_at, self._settled_at, self._resume_at) if one is not None
        ]
        return min(times, default=None)

    def solicitations(self) -> list[Solicitation]:
        """What to send now; each is returned once."""
        taken, self._solicitations = self._solicitations, []
        return taken

    def snapshot(self) -> dict[str, Any] | None:
        """What is known, for ``known_before``; None if nothing is."""
        if self.mapped is None or self.server is None:
            return None
        return {
            "server": [str(self.server.primary), str(self.server.secondary)],
            "mapped": [str(self.mapped.address), self.mapped.port],
            "nat": self.nat.value,
            "second_port": self.second_port,
        }

    @property
    def is_settled(self) -> bool:
        """Whether the address is known and will not be another one in a moment."""
        return self.mapped is not None and self._settled_at is None

    def is_server(self, address: IPv4Address) -> bool:
        """Whether an address is one of the server's."""
        server = self.server
        return server is not None and address in (server.primary, server.secondary)

    # Asking

    def _forget(self) -> None:
        self._probes.clear()
        self._solicitations.clear()
        self._refresh_at = self._settled_at = self._resume_at = None
        self.mapped, self.nat, self.second_port = None, Nat.UNKNOWN, None
        self._usable = b""

    def _ask_server(self, now: float) -> None:
        self._forget()
        if not self._servers:
            self.server = None
            return
        self.server = self._servers[self._number]
        if self._probes_cone:
            # Both at once: only a cone NAT lets in what comes from an address that has never been
            # spoken to, and nobody has to wait for three timeouts to know that it did not come.
            cone = _Probe(self.server.primary, self.server.secondary, CONE_LINK_LOCAL)
            self._probes["cone"] = cone
            self._solicit(cone, now)
        self._ask_primary(now)

    def _ask_primary(self, now: float) -> None:
        if self.server is not None:
            probe = _Probe(self.server.primary, self.server.primary, LINK_LOCAL)
            self._probes["primary"] = probe
            self._solicit(probe, now)

    def _ask_secondary(self, now: float) -> None:
        """A NAT that maps us otherwise to this address is symmetric (section 5.2.1)."""
        if self.server is not None and self.nat is Nat.UNKNOWN:
            probe = _Probe(self.server.secondary, self.server.secondary, LINK_LOCAL)
            self._probes["secondary"] = probe
            self._solicit(probe, now)

    def _solicit(self, probe: _Probe, now: float) -> None:
        probe.nonce = self._random.randbytes(NONCE_LENGTH)
        probe.sent = now
        probe.tries += 1
        datagram = make_solicitation(probe.nonce, probe.source, self._secret)
        self._solicitations.append(Solicitation(datagram, Endpoint(probe.ask, TEREDO_PORT)))

    # What came of it

    def _answered(self, kind: str, origin: Origin, round_trip: float, now: float) -> None:
        seen = Endpoint(origin.address, origin.port)
        if kind == "secondary":
            self.second_port = seen.port
            self.nat = Nat.RESTRICTED if seen == self.mapped else Nat.SYMMETRIC
            return
        if kind == "cone":
            self.nat = Nat.CONE
            if self._settled_at is not None:
                self._settled_at = None
            return
        self.problem, self._pause = None, FIRST_PAUSE
        spread = EARLIEST_REFRESH + (1 - EARLIEST_REFRESH) * self._random.random()
        # The NAT counts from what went out, not from the answer to it.
        self._refresh_at = now - round_trip + self.interval * spread
        if seen == self.mapped:
            return
        moved, self.mapped = self.mapped is not None, seen
        if moved:
            self.nat, self.second_port = Nat.UNKNOWN, None
        if seen.address in self._ours:
            self.nat = Nat.NONE
        elif "cone" in self._probes and self.nat is Nat.UNKNOWN:
            self._settled_at = now + round_trip + CONE_SETTLING
        else:
            self._ask_secondary(now)

    def _silent(self, now: float) -> None:
        silent = self.server
        self._number = (self._number + 1) % len(self._servers)
        self.problem = None if silent is None else f"the server {silent.primary} does not answer"
        if self._number:
            self._ask_server(now)
            return
        self._forget()
        self._resume_at = now + self._pause
        self._pause = min(self._pause * 2, LAST_PAUSE)


def known_before(snapshot: Any) -> tuple[Server, Known] | None:
    """Read what a predecessor knew, and of which server.

    Raises:
        ValueError: this is no snapshot.
        TypeError: this is no snapshot.
        KeyError: this is no snapshot.
    """
    if snapshot is None:
        return None
    primary, secondary = map(IPv4Address, snapshot["server"])
    address, port = snapshot["mapped"]
    second = snapshot.get("second_port")
    mapped = Endpoint(IPv4Address(address), int(port))
    known = (mapped, Nat(snapshot["nat"]), None if second is None else int(second))
    return Server(primary, secondary), known


def make_solicitation(nonce: bytes, source: IPv6Address, secret: Secret | None) -> TeredoDatagram:
    """Return a router solicitation to a server (sections 5.2.1 and 5.2.2).

    Args:
        nonce: 8 random octets.
        source: with the cone bit, or without.
        secret: shared with the server; None without.
    """
    packet = encode(RouterSolicitation(), source, ALL_ROUTERS)
    authentication = Authentication(nonce)
    if secret is not None:
        value = authentication_value(secret.key, nonce, 0, None, packet)
        authentication = replace(authentication, client_identifier=secret.identifier, value=value)
    return TeredoDatagram(packet, authentication=authentication)


def refusal(datagram: TeredoDatagram, secret: Secret | None) -> str | None:
    """Why an answer with our nonce refuses us, or is not the server's; None if neither."""
    authentication = datagram.authentication
    if authentication is None or authentication.confirmation != Confirmation.ACCEPTED:
        return "advertisement that refuses our key"
    if secret is not None and not is_authentic(secret.key, datagram):
        return "advertisement with a wrong authentication value"
    return None


def unusable(packet: bytes, asked: IPv4Address, servers: tuple[Server, ...]) -> str | None:
    """Why the packet of an answer to a solicitation says nothing (section 5.2.1).

    Args:
        packet: an IPv6 packet.
        asked: the server's address that is to have answered.
        servers: ours.
    """
    try:
        _header, message = decode(packet)
    except WireError as error:
        return f"advertisement with a bad {error.field}"
    if not isinstance(message, RouterAdvertisement):
        return "no advertisement from the server's port"
    ours = {
        IPv6Network((0x2001_0000 << 96 | int(address) << 64, 64))
        for server in servers
        if asked in (server.primary, server.secondary)
        for address in (server.primary, server.secondary)
    }
    if not any(one.prefix in ours for one in message.prefixes):
        return "advertisement without the server's prefix"
    return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between an engine and whoever drives it.

The driver's loop is always the same: tell the engine something (facts, a packet, a resolved name,
that time has passed), then send what ``packets_to_send`` returns, bring the host to ``wanted``
and call ``handle_timer`` at ``next_deadline``. Times are seconds on one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol, runtime_checkable

from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.forwarding.tunnel import PeerChanges
from v6ferry.system.state import (
    DnsConfiguration,
    HostFacts,
    InterfaceState,
    Ipv4Sharing,
    LinkState,
)


@dataclass(frozen=True, slots=True)
class OutgoingPacket:
    """A packet of the engine's own, past the forwarding table."""

    packet: bytes
    endpoint: IPv4Address
    source: IPv4Address | None = None
    """Outer source; None leaves it to the kernel's routing."""


@dataclass(frozen=True, slots=True)
class LinkPacket:
    """An ICMPv6 packet of the engine's own on one of the host's own interfaces."""

    interface: str
    packet: bytes
    """With its IPv6 header."""
    destination: IPv6Address
    """A link-local or multicast one."""


@dataclass(frozen=True, slots=True)
class OutgoingDatagram:
    """A UDP datagram of the engine's own, from the port of its table."""

    payload: bytes
    endpoint: Endpoint
    source: IPv4Address | None = None
    """Outer source; None leaves it to the kernel's routing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an engine wants of its host. Compare two to know whether anything has changed."""

    interface: InterfaceState
    table: TunnelTable
    names: frozenset[str] = frozenset()
    """Names to keep resolved; answers come back through ``name_resolved``."""
    name_refresh_interval: float = 3600.0
    """Seconds after which a name is to be looked up again."""
    endpoints: frozenset[IPv4Address] = frozenset()
    """Endpoints whose preferred source address should be among the facts."""
    dns: DnsConfiguration = field(default_factory=DnsConfiguration)
    links: tuple[LinkState, ...] = ()
    """The host's own interfaces that the engine serves; it is a ``LinkEngine`` then."""
    sharing: Ipv4Sharing = field(default_factory=Ipv4Sharing)
    echo_identifier: int | None = None
    """Of the engine's own ICMPv6 echo requests; an ``EchoListener`` hears the replies to them."""


class Engine(Protocol):
    """One technology's state machine."""

    def update_spec(self, spec: Any, now: float) -> None:
        """Go on under another specification, keeping all that still holds."""

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """The host's addresses or routes have changed."""

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """A wanted name has these addresses now; an empty tuple says it has none."""

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """A neighbor discovery packet came in that the ingress table lets pass."""

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """How many packets each forwarding rule has sent since the table was made."""

    def handle_timer(self, now: float) -> None:
        """Do all that is due at ``now``."""

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` has to be called next, if at all."""

    def packets_to_send(self) -> list[OutgoingPacket]:
        """Packets to send now; each is returned once."""

    def wanted(self, now: float) -> Wanted:
        """What the host should look like; depends on nothing but what the engine was told."""

    def begin_withdrawal(self, now: float) -> None:
        """The resource is being removed: take leave of the neighbours."""

    def withdrawn(self) -> bool:
        """Whether the leave-taking is over."""

    def status(self, now: float) -> dict[str, Any]:
        """What a user wants to know, JSON-ready; always has ``ready`` and ``summary``."""

    def snapshot(self) -> dict[str, Any]:
        """What a successor in the same boot needs to go on without a gap, JSON-ready."""

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """Take over from a predecessor's snapshot; what does not parse is ignored."""


@runtime_checkable
class LinkEngine(Engine, Protocol):
    """An engine that is also a router on interfaces of the host's own (``Wanted.links``)."""

    def receive_on_link(self, interface: str, packet: bytes, now: float) -> None:
        """A router solicitation came in on one of those interfaces."""

    def link_packets_to_send(self) -> list[LinkPacket]:
        """Packets to send on those interfaces now; each is returned once."""


@runtime_checkable
class EchoListener(Protocol):
    """An engine that sends echo requests of its own (RFC 4443 section 4.1)."""

    def echo_replied(self, source: IPv6Address, sequence: int, now: float) -> None:
        """A reply with ``Wanted.echo_identifier`` has come in through the tunnel interface."""


@runtime_checkable
class DatagramEngine(Engine, Protocol):
    """An engine whose table is ``on_demand``: it finds peers in exchanges of its own (Teredo)."""

    def receive_datagram(
        self, payload: bytes, source: Endpoint, destination: IPv4Address, now: float
    ) -> None:
        """A UDP datagram came in that is no plain IPv6 packet, or that no rule accepts."""

    def find_peer(self, packet: bytes, now: float) -> None:
        """An IPv6 packet is to be sent to an address that the peer table has not."""

    def datagrams_to_send(self) -> list[OutgoingDatagram]:
        """Datagrams to send now; each is returned once."""

    def packets_to_deliver(self) -> list[bytes]:
        """IPv6 packets that have come in through the tunnel interface; each is returned once."""

    def peer_changes(self) -> PeerChanges:
        """What is new in the peer table; each change is returned once."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel interface as a plane has it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from v6ferry.forwarding.counters import Counters, DropReason
from v6ferry.forwarding.icmp_errors import ErrorLimiter
from v6ferry.forwarding.path import Path
from v6ferry.forwarding.sharing import Shared, in_force
from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.system.sockets import Ancillary, OuterSocket, ancillary
from v6ferry.system.tun import Tun

PeerChanges = Mapping[IPv6Address, Endpoint | None]
"""Endpoints that inner addresses have from now on; None takes them out of the peer table."""


@dataclass(frozen=True, slots=True)
class ReceivedControl:
    """What came from the underlay for the engine.

    In protocol 41 and in UDP that is a neighbor discovery packet that passed the ingress table; of
    a table that is ``on_demand`` the whole payload of a datagram, whatever it is.
    """

    packet: bytes
    outer_source: IPv4Address
    outer_destination: IPv4Address
    port: int = 0
    """The UDP port that it came from; 0 in protocol 41."""
    local_port: int = 0
    """The one that it came to; 0 for the usual one of the table."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A packet on its way out whose destination the peer table has not (``on_demand``)."""

    packet: bytes


Control = Callable[[ReceivedControl | Unresolved], None]
"""Hears what is handed up to an engine."""


class Tunnel:
    """A TUN device, its table and its counters.

    Args:
        tun: the device.
        table: what to do with packets.
        outer: sends them, from the usual port.
        control: hears what is handed up.
    """

    def __init__(
        self,
        tun: Tun,
        table: TunnelTable,
        outer: OuterSocket,
        control: Control,
    ) -> None:
        self.tun = tun
        self.ask(table)
        self.outer = outer
        self.more_outer: dict[int, OuterSocket] = {}
        """Those that send from other ports of the table, by port."""
        self.control = control
        self.peers: dict[IPv6Address, Endpoint] = {}
        self.counters = Counters()
        self.paths: dict[bytes, Path] = {}
        self.soft_errors: dict[IPv4Address, float] = {}
        self._limiter = ErrorLimiter()
        self._messages: dict[tuple[IPv4Address | None, int], Ancillary] = {}

    def ask(self, table: TunnelTable) -> None:
        """Have another table."""
        self.asked = table
        """As the engine has it."""
        self.shared = Shared(table.automatic)
        """What is in force for all tunnels of the host."""
        self.part = Shared(table.automatic, table.site_prefixes)
        """What this one has to say of it."""
        self.table = table
        """As it is in force: with what is shared."""

    def share(self, shared: Shared) -> bool:
        """Have what all tunnels of the host share; return whether that changes the table."""
        if self.shared == shared:
            return False
        self.shared = shared
        self.table = in_force(self.asked, shared)
        self.paths.clear()
        return True

    def send(self, payload: bytes, endpoint: Endpoint, source: IPv4Address | None) -> None:
        """Send something of the engine's own, past the table.

        Args:
            payload: an IPv6 packet, or in UDP anything.
            endpoint: where to.
            source: the outer one; None leaves it to the kernel's routing.
        """
        ttl = self.table.encapsulation.ttl
        messages = self._messages.get((source, ttl))
        if messages is None:
            messages = self._messages[source, ttl] = ancillary(source, ttl, 0)
        outer = self.outer_at(endpoint.local_port)
        try:
            if outer is None:
                raise OSError
            address = socket.inet_ntoa(endpoint.address.packed)  # str() takes twice as long
            outer.send(payload, messages, (address, endpoint.port), False)
        except OSError:
            self.counters.drop(DropReason.SEND_REFUSED)
            return
        self.counters.packets_out += 1
        self.counters.bytes_out += len(payload)

    def outer_at(self, local_port: int) -> OuterSocket | None:
        """What sends from a port of ours; None if that could not be opened."""
        return self.more_outer.get(local_port) if local_port else self.outer

    def deliver(self, packet: bytes) -> None:
        """Give the kernel a packet that the engine has accepted."""
        try:
            self.tun.write(packet)
        except OSError:
            self.counters.drop(DropReason.TUNNEL_DOWN)
            return
        self.counters.packets_in += 1
        self.counters.bytes_in += len(packet)

    def answer(self, reply: bytes | None, now: float) -> None:
        """Give an ICMPv6 error to the kernel, which routes it to the sender of an inner packet.

        Args:
            reply: the error; None if there is none to be sent.
            now: monotonic seconds.
        """
        if reply is None or not self._limiter.allows(now):
            return
        try:
            self.tun.write(reply)
        except OSError:
            self.counters.drop(DropReason.TUNNEL_DOWN)
            return
        self.counters.icmp_errors_out += 1

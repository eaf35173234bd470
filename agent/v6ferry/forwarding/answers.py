# SPDX-License-Identifier: GPL-3.0-or-later
"""Datagrams that are answered as a table says, without the engine (``table.Answer``)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import outer_refused
from v6ferry.forwarding.rate_limit import RateLimit
from v6ferry.forwarding.table import ANSWERED
from v6ferry.forwarding.tunnel import Tunnel
from v6ferry.system.sockets import Ancillary, Datagram, OuterSocket, ancillary
from v6ferry.wire.teredo import AUTHENTICATION_LENGTH, Confirmation

_PLAIN = b"\0\1\0\0"
"""The authentication encapsulation of those who have no key begins so (RFC 4380 section 5.1.1)."""
_REMEMBERED_SOURCES = 65536
_INVERTED = 0xFFFF_FFFF


class Answers:
    """Answers what engines have answered before; the same datagram but for its nonce.

    Args:
        tunnels: by interface; it may change.
        clock: seconds, monotonic.
        secret: 64 random bits that say which addresses share a limit.
    """

    def __init__(
        self, tunnels: Mapping[str, Tunnel], clock: Callable[[], float], secret: int
    ) -> None:
        self._tunnels = tunnels
        self._clock = clock
        self._secret = secret
        self._limits: dict[str, RateLimit] = {}
        self._prepared: dict[tuple[bytes, bytes, int], _Prepared] = {}
        """By what follows the authentication encapsulation, our address and our port."""
        self._refused: dict[tuple[str, bytes], bool] = {}

    def tables_changed(self) -> None:
        """Tunnels or their tables are others."""
        answering = [one for one in self._tunnels.values() if one.table.answers]
        self._limits = {
            one.tun.name: self._limit(one.tun.name, one.table.answer_limit) for one in answering
        }
        self._refused.clear()
        self._prepared = {
            (
                answer.request,
                answer.destination.packed,
                tunnel.table.encapsulation.port,
            ): _Prepared(
                tunnel,
                answer.reply,
                ancillary(answer.source, tunnel.table.encapsulation.ttl, 0),
                self._limits[tunnel.tun.name],
            )
            for tunnel in answering
            for answer in tunnel.table.answers
        }

    def _limit(self, interface: str, rate: int) -> RateLimit:
        known = self._limits.get(interface)
        return known if known and known.rate == rate else RateLimit(rate, self._secret)

    def take(self, outer: OuterSocket, datagram: Datagram, port: int) -> bool:
        """Answer a datagram, if it has an answer; return whether that is all there is to do.

        Args:
            outer: where it came in, and the answer goes out.
            datagram: whatever came.
            port: ours.
        """
        payload = datagram.packet
        if not self._prepared or payload[:4] != _PLAIN:
            return False
        found = self._prepared.get((payload[AUTHENTICATION_LENGTH:], datagram.destination, port))
        if found is None or payload[AUTHENTICATION_LENGTH - 1] != Confirmation.ACCEPTED:
            return False
        source = datagram.source
        if not datagram.port or self._is_refused(found.tunnel, source, datagram.destination):
            return False
        counters = found.tunnel.counters
        if found.limit.rate and not found.limit.allows(IPv4Address(source), self._clock()):
            counters.drop(DropReason.ENDPOINT_REFUSED)
            return True
        address = int.from_bytes(source, "big")
        origin = struct.pack("!HHI", 0, datagram.port ^ 0xFFFF, address ^ _INVERTED)
        answer = b"".join((payload[:AUTHENTICATION_LENGTH], origin, found.reply))
        try:
            outer.send(answer, found.messages, (socket.inet_ntoa(source), datagram.port), False)
        except OSError:
            counters.drop(DropReason.SEND_REFUSED)
            return True
        counters.packets_in += 1
        counters.bytes_in += len(payload) - AUTHENTICATION_LENGTH
        counters.packets_out += 1
        counters.bytes_out += len(found.reply)
        counters.rules[ANSWERED] += 1
        return True

    def _is_refused(self, tunnel: Tunnel, source: bytes, destination: bytes) -> bool:
        """Whether the engine is to say why it does not speak to somebody."""
        known = self._refused.get((tunnel.tun.name, source))
        if known is None:
            if len(self._refused) >= _REMEMBERED_SOURCES:
                self._refused.clear()
            ends = IPv4Address(source), IPv4Address(destination)
            known = outer_refused(tunnel.table, *ends) is not None
            self._refused[tunnel.tun.name, source] = known
        return known


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An answer of a tunnel."""

    tunnel: Tunnel
    reply: bytes
    messages: Ancillary
    limit: RateLimit

# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMPv6 errors that a tunnel owes to the senders of inner packets (RFC 4213 section 3.2, 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import NO_PEERS, Encapsulate, PeerTable, decide_encapsulation
from v6ferry.forwarding.table import TunnelTable
from v6ferry.wire.icmpv4 import Icmpv4Error
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_error, may_answer_with_error
from v6ferry.wire.ipv4 import IPV4_HEADER_LENGTH, PROTOCOL_UDP
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, IPV6_MINIMUM_MTU
from v6ferry.wire.parser import WireError

UNFRAGMENTED_MTU = IPV6_MINIMUM_MTU + IPV4_HEADER_LENGTH
"""The least MTU of an underlay that carries every IPv6 packet of the minimum MTU whole, in
protocol 41."""

NO_ENDPOINT = frozenset(
    {
        DropReason.DESTINATION_NOT_EMBEDDED,
        DropReason.ENDPOINT_NOT_UNICAST,
        DropReason.ENDPOINT_REFUSED,
        DropReason.NO_PEER,
        DropReason.REFUSED_BY_RULE,
    }
)
"""The destination resolves to no link address: its sender is told (RFC 4443 section 3.1)."""

_NO_ROUTE = 0
_ADDRESS_UNREACHABLE = 3
_PORT_UNREACHABLE = (3, 3)
_FRAGMENTATION_NEEDED = (3, 4)


def tunnel_path_mtu(ipv4_path_mtu: int, overhead: int = IPV4_HEADER_LENGTH) -> int:
    """The largest inner packet in bytes for a path, never below IPv6's minimum (section 3.2.2).

    Args:
        ipv4_path_mtu: octets of the largest outer packet.
        overhead: octets of the outer headers.
    """
    return max(ipv4_path_mtu - overhead, IPV6_MINIMUM_MTU)


def packet_too_big(table: TunnelTable, packet: bytes, mtu: int) -> bytes | None:
    """ICMPv6 Packet Too Big for an inner packet, or None where none may be sent."""
    return _error(table, Icmpv6Type.PACKET_TOO_BIG, 0, mtu, packet)


def no_route(table: TunnelTable, packet: bytes) -> bytes | None:
    """ICMPv6 Destination Unreachable, no route: the underlay has no way to the endpoint."""
    return _error(table, Icmpv6Type.DESTINATION_UNREACHABLE, _NO_ROUTE, 0, packet)


def address_unreachable(table: TunnelTable, packet: bytes) -> bytes | None:
    """ICMPv6 Destination Unreachable, address unreachable: the underlay could not deliver."""
    return _error(table, Icmpv6Type.DESTINATION_UNREACHABLE, _ADDRESS_UNREACHABLE, 0, packet)


@dataclass(frozen=True, slots=True)
class Translation:
    """What an ICMPv4 error about one of our outer packets leads to."""

    endpoint: IPv4Address
    fragmentation_needed: bool
    reply: bytes | None
    """The ICMPv6 error for the inner sender. None where the quotation is too short to know it:
    the next packet to the endpoint should be answered instead (RFC 4213 section 3.4)."""
    ignored: bool = False
    """Whether the error says nothing about the path: nobody should hear of it."""


def translate(
    table: TunnelTable,
    error: Icmpv4Error,
    ipv4_path_mtu: int | None,
    peers: PeerTable = NO_PEERS,
) -> Translation:
    """Turn an ICMPv4 error into what the inner sender should hear.

    Args:
        table: the table of the tunnel that sent the quoted packet.
        error: the error as received.
        ipv4_path_mtu: what the kernel now holds as path MTU to the endpoint, in bytes.
        peers: of that tunnel.

    Raises:
        WireError: the quotation is not a packet that this tunnel can have sent, so somebody
            guesses; the error must be ignored.
    """
    outer = error.quoted_header
    if outer.source not in table.local_endpoints:
        raise WireError("quoted source", f"{outer.source} is not an endpoint of this tunnel")
    encapsulation, overhead = table.encapsulation, table.encapsulation.overhead
    inner = error.quoted[outer.header_length :]
    if _source_port(outer.protocol, inner) not in encapsulation.ports:
        raise WireError("quoted port", f"this tunnel sends from port {encapsulation.port}")
    fragmentation_needed = (error.type, error.code) == _FRAGMENTATION_NEEDED
    if not encapsulation.port and (error.type, error.code) == _PORT_UNREACHABLE:
        # Protocol 41 has no ports. Linux sends this for packets that one of its own tunnels does
        # not know, even where another program has taken them.
        return Translation(outer.destination, False, None, ignored=True)
    inner = inner[overhead - IPV4_HEADER_LENGTH :]
    if len(inner) < IPV6_HEADER_LENGTH:
        return Translation(outer.destination, fragmentation_needed, None)
    source, destination = IPv6Address(inner[8:24]), IPv6Address(inner[24:40])
    decision = decide_encapsulation(table, source, destination, peers)
    if not isinstance(decision, Encapsulate) or decision.endpoint != outer.destination:
        raise WireError("quoted packet", f"this tunnel does not send it to {outer.destination}")
    if not fragmentation_needed:
        return Translation(outer.destination, False, address_unreachable(table, inner))
    mtu = tunnel_path_mtu(ipv4_path_mtu or error.mtu, overhead)
    # The inner packet says how long it was; where it fits now, the news has already been acted on.
    length = IPV6_HEADER_LENGTH + int.from_bytes(inner[4:6], "big")
    reply = packet_too_big(table, inner, mtu) if length > mtu else None
    return Translation(outer.destination, True, reply)


def _source_port(protocol: int, quoted: bytes) -> int:
    """The UDP port that a quoted packet was sent from; 0 in protocol 41."""
    return int.from_bytes(quoted[:2], "big") if protocol == PROTOCOL_UDP else 0


class ErrorLimiter:
    """A token bucket for ICMPv6 errors (RFC 4443 section 2.4 (f))."""

    def __init__(self, per_second: float = 100.0, burst: int = 50) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more error may go out at ``now`` (seconds); takes a token if so."""
        elapsed = max(0.0, now - self._last)
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_second)
        self._last = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _error(table: TunnelTable, kind: int, code: int, value: int, packet: bytes) -> bytes | None:
    """Build the error, unless RFC 4443 section 2.4 (e) forbids it."""
    if not may_answer_with_error(packet, kind, code):
        return None
    source = _error_source(table, IPv6Address(packet[8:24]))
    return None if source is None else icmpv6_error(kind, code, value, source, packet)


def _error_source(table: TunnelTable, destination: IPv6Address) -> IPv6Address | None:
    """Our address of the same scope as the one that hears the error, else any of ours."""
    same_scope = [
        one
        for one in sorted(table.local_addresses)
        if one.is_link_local == destination.is_link_local
    ]
    return next(iter(same_scope or sorted(table.local_addresses)), None)

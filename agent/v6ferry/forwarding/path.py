# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one flow through the underlay: what was decided, and how its packets are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import Encapsulate, PeerTable, decide_encapsulation
from v6ferry.forwarding.ecn import encapsulated
from v6ferry.forwarding.icmp_errors import tunnel_path_mtu
from v6ferry.forwarding.table import Encapsulation, TunnelTable
from v6ferry.system.sockets import Ancillary, ancillary, path_mtu
from v6ferry.wire.ipv4 import IPV4_MAXIMUM_LENGTH
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU

_LIFETIME = 10.0
"""Seconds after which the kernel is asked again for the path MTU."""


@dataclass(slots=True)
class Path:
    """What is remembered of one inner source and destination on the way out."""

    encapsulation: Encapsulation
    expires: float
    """Monotonic seconds."""
    rule: str | None
    drop: DropReason | None = None
    """Why packets go nowhere; the fields that follow are those of packets that go somewhere."""
    endpoint: IPv4Address | None = None
    source: IPv4Address | None = None
    address: tuple[str, int] = ("", 0)
    local_port: int = 0
    """Ours; 0 for the usual one."""
    mtu: int = IPV4_MAXIMUM_LENGTH
    """Octets of the largest inner packet."""
    dont_fragment: bool = False
    _messages: dict[int, Ancillary] = field(default_factory=dict)

    def messages(self, traffic_class: int) -> Ancillary:
        """Return what is sent along with inner packets of a traffic class."""
        messages = self._messages.get(traffic_class)
        if messages is None:
            encapsulation = self.encapsulation
            dscp = traffic_class >> 2 if encapsulation.dscp is None else encapsulation.dscp
            tos = dscp << 2 | encapsulated(traffic_class & 3)
            messages = ancillary(self.source, encapsulation.ttl, tos)
            self._messages[traffic_class] = messages
        return messages


def find_path(
    table: TunnelTable,
    source: IPv6Address,
    destination: IPv6Address,
    peers: PeerTable,
    now: float,
) -> Path:
    """Decide how packets between two addresses leave a tunnel.

    Args:
        table: that of the tunnel.
        source: of the inner packets.
        destination: of the inner packets.
        peers: those of the tunnel.
        now: monotonic seconds.
    """
    decision = decide_encapsulation(table, source, destination, peers)
    expires = now + _LIFETIME
    if not isinstance(decision, Encapsulate):
        return Path(table.encapsulation, expires, decision.rule, drop=decision.reason)
    path = Path(
        table.encapsulation,
        expires,
        decision.rule,
        endpoint=decision.endpoint,
        source=decision.source,
        address=(str(decision.endpoint), decision.port),
        local_port=decision.local_port,
    )
    if table.encapsulation.dynamic_mtu:
        underlay_mtu = path_mtu(decision.endpoint, decision.source)
        if underlay_mtu is not None:
            overhead = table.encapsulation.overhead
            path.mtu = tunnel_path_mtu(underlay_mtu, overhead)
            path.dont_fragment = underlay_mtu > IPV6_MINIMUM_MTU + overhead
    return path

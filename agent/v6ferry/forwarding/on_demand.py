# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes to an engine that finds peers as they are needed, and not to the kernel."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address

from v6ferry.forwarding.acceptance import Acceptance
from v6ferry.forwarding.tunnel import ReceivedControl, Tunnel
from v6ferry.system.sockets import Datagram
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import is_bubble


class OnDemand:
    """Sorts datagrams.

    Args:
        tunnels: by interface; it may change.
        acceptance: knows which packets their tables accept.
    """

    def __init__(self, tunnels: Mapping[str, Tunnel], acceptance: Acceptance) -> None:
        self._tunnels = tunnels
        self._acceptance = acceptance
        self._by_end: dict[tuple[bytes, int], tuple[Tunnel, IPv4Address, int]] = {}
        """Tunnel, address and ``ReceivedControl.local_port``, by where datagrams come to."""

    def tables_changed(self) -> None:
        """Tunnels or their tables are others."""
        self._by_end = {
            (address.packed, port): (tunnel, address, tunnel.table.encapsulation.local_port(port))
            for tunnel in self._tunnels.values()
            if tunnel.table.on_demand
            for address in tunnel.table.local_endpoints
            for port in tunnel.table.encapsulation.ports
        } | {
            (group.address.packed, group.port): (tunnel, group.address, 0)
            for tunnel in self._tunnels.values()
            if (group := tunnel.table.group) is not None
        }

    def takes(self, datagram: Datagram, port: int) -> bool:
        """Hand a datagram to the engine of the tunnel that it came to, if it is to have it.

        Args:
            datagram: whatever came.
            port: ours.
        """
        found = self._by_end.get((datagram.destination, port))
        if found is None:
            return False
        tunnel, destination, local_port = found
        payload = datagram.packet
        ends = datagram.source + datagram.destination + struct.pack("!HH", datagram.port, port)
        if _is_plain(payload) and self._acceptance.accepts(tunnel, ends, payload):
            return False
        tunnel.counters.handed_up["engine"] += 1
        source = IPv4Address(datagram.source)
        tunnel.control(ReceivedControl(payload, source, destination, datagram.port, local_port))
        return True


def _is_plain(payload: bytes) -> bool:
    """Whether a payload is an IPv6 packet that is to be carried, and nothing besides."""
    return (
        len(payload) > IPV6_HEADER_LENGTH
        and payload[0] >> 4 == 6
        and IPV6_HEADER_LENGTH + (payload[4] << 8 | payload[5]) == len(payload)
        and not is_bubble(payload)
        and neighbor_discovery_type(payload) is None
    )

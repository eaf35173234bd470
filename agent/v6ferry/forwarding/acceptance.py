# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel takes a packet from the underlay, remembered for those that follow it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from v6ferry.forwarding.candidates import Candidates, Ends
from v6ferry.forwarding.counters import Counters, DropReason
from v6ferry.forwarding.decide import Accept, Drop, decide_decapsulation
from v6ferry.forwarding.tunnel import Tunnel

_REMEMBERED_FLOWS = 65536


class Acceptance:
    """Asks the tables of tunnels.

    Args:
        tunnels: by interface, in the order in which they are asked; it may change.
        unclaimed: counts what is for none of them.
    """

    def __init__(self, tunnels: Mapping[str, Tunnel], unclaimed: Counters) -> None:
        self._tunnels = tunnels
        self._unclaimed = unclaimed
        self._accepted: dict[bytes, tuple[Tunnel, Accept]] = {}
        self._candidates = Candidates()

    @property
    def candidates(self) -> Mapping[Ends, tuple[str, ...]]:
        """Tunnel interfaces by the endpoints of packets."""
        return self._candidates.found

    def table_changed(self, interface: str) -> None:
        """Decide anew from now on: there is a tunnel, or it has another table, or it is gone."""
        self._accepted.clear()
        tunnel = self._tunnels.get(interface)
        if tunnel is None:
            self._candidates.remove(interface)
        else:
            self._candidates.change(interface, tunnel.table)

    def peers_changed(self) -> None:
        """Decide anew from now on: peer tables have changed."""
        self._accepted.clear()

    def accepts(self, tunnel: Tunnel, ends: bytes, packet: bytes) -> bool:
        """Whether the table of a tunnel accepts a packet; a refusal is not counted."""
        remembered = self._accepted.get(ends + packet[8:40])
        if remembered is not None:
            return remembered[0] is tunnel
        return isinstance(_decide(tunnel, ends, packet), Accept)

    def tunnel_for(self, ends: bytes, packet: bytes) -> tuple[Tunnel, Accept] | None:
        """Return the first tunnel whose table accepts a packet; a refusal is counted.

        Refusals are not remembered: a sender who forges sources must not fill our memory.

        Args:
            ends: outer source and destination; in UDP also the ports, theirs and ours.
            packet: an IPv6 packet.
        """
        flow = ends + packet[8:40]
        remembered = self._accepted.get(flow)
        if remembered is not None:
            return remembered
        outer_source, outer_destination = IPv4Address(ends[0:4]), IPv4Address(ends[4:8])
        our_port = int.from_bytes(ends[10:12], "big")
        names = self.candidates.get((outer_destination, outer_source, our_port))
        if names is None:
            names = self.candidates.get((outer_destination, None, our_port), ())
        refused: tuple[Tunnel, DropReason] | None = None
        for tunnel in map(self._tunnels.__getitem__, names):
            decision = _decide(tunnel, ends, packet)
            if isinstance(decision, Accept):
                if len(self._accepted) >= _REMEMBERED_FLOWS:
                    self._accepted.clear()
                self._accepted[flow] = (tunnel, decision)
                return tunnel, decision
            # The first one that refuses it knows best why.
            refused = refused or (tunnel, decision.reason)
        if refused is None:
            self._unclaimed.drop(DropReason.NO_TUNNEL)
        else:
            refused[0].counters.drop(refused[1])
        return None


def _decide(tunnel: Tunnel, ends: bytes, packet: bytes) -> Accept | Drop:
    return decide_decapsulation(
        tunnel.table,
        IPv4Address(ends[0:4]),
        IPv4Address(ends[4:8]),
        IPv6Address(packet[8:24]),
        IPv6Address(packet[24:40]),
        port=int.from_bytes(ends[8:10], "big"),
        local_port=tunnel.table.encapsulation.local_port(int.from_bytes(ends[10:12], "big")),
        peers=tunnel.peers,
    )

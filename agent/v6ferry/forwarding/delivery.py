# SPDX-License-Identifier: GPL-3.0-or-later
"""From the userspace plane to the kernel: what came out of tunnels, in as few writes as it gets."""

from __future__ import annotations

from dataclasses import dataclass

from v6ferry.forwarding.counters import Counters, DropReason
from v6ferry.forwarding.decide import Accept
from v6ferry.forwarding.offload import Segments, unfinished
from v6ferry.system.tun import Offload, Tun


class Delivery:
    """Keeps a packet back for what may follow it; whoever adds packets flushes after the last."""

    def __init__(self) -> None:
        self._arrived: _Arrived | None = None

    def add(self, tun: Tun, counters: Counters, accept: Accept, packet: bytes) -> None:
        """Deliver ``packet`` through ``tun``, now or by the next ``flush``, in the order of adding.

        Args:
            tun: The device of the tunnel that accepted the packet.
            counters: Those of the tunnel.
            accept: Why the tunnel accepted it.
            packet: An IPv6 packet, as long as its header says.
        """
        arrived = self._arrived
        if arrived is not None:
            if arrived.accept is accept and arrived.tun is tun and arrived.segments.take(packet):
                return
            self.flush()
        self._arrived = _Arrived(tun, counters, accept, Segments(packet))

    def flush(self) -> None:
        """Deliver what was kept back."""
        arrived, self._arrived = self._arrived, None
        if arrived is None:
            return
        segments = arrived.segments
        joined = segments.joined()
        if joined is not None:
            pieces, offload = joined
            arrived.write(pieces, offload, len(segments.packets), segments.octets)
            return
        for packet in segments.packets:
            arrived.write([packet], unfinished(packet), 1, len(packet))


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A packet and what followed it, and whose they are."""

    tun: Tun
    counters: Counters
    accept: Accept
    segments: Segments

    def write(
        self, pieces: list[bytes], offload: Offload | None, packets: int, octets: int
    ) -> None:
        """Give the kernel one packet, which stands for ``packets``, and count."""
        try:
            self.tun.write(*pieces, offload=offload)
        except OSError:
            self.counters.drop(DropReason.TUNNEL_DOWN, packets)
            return
        self.counters.packets_in += packets
        self.counters.bytes_in += octets
        self.counters.rules[self.accept.rule] += packets

# SPDX-License-Identifier: GPL-3.0-or-later
"""A router that takes its time: a program for a lab's host that forwards nothing itself.

``delay.py SECONDS`` says ``ready``, and sends each IPv4 packet that is for others on after so long.
"""

from __future__ import annotations

import heapq
import select
import socket
import sys
import time
from itertools import count

_ETH_P_IP = 0x0800
_PACKET_HOST = 0
_LOOPBACK = "lo"


def main(delay: float) -> None:
    """Forward until killed."""
    own = set(sys.argv[2:])
    incoming = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
    outgoing = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    waiting: list[tuple[float, int, bytes, str]] = []
    serial = count()
    print("ready", file=sys.stderr, flush=True)
    while True:
        wait = max(waiting[0][0] - time.monotonic(), 0) if waiting else None
        if select.select([incoming], [], [], wait)[0]:
            packet, (interface, _protocol, kind, *_rest) = incoming.recvfrom(65535)
            target = socket.inet_ntoa(packet[16:20])
            if kind == _PACKET_HOST and interface != _LOOPBACK and target not in own:
                due = time.monotonic() + delay
                heapq.heappush(waiting, (due, next(serial), packet, target))
        while waiting and waiting[0][0] <= time.monotonic():
            _due, _serial, packet, target = heapq.heappop(waiting)
            outgoing.sendto(packet, (target, 0))


if __name__ == "__main__":
    main(float(sys.argv[1]))

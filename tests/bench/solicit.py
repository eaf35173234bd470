# SPDX-License-Identifier: GPL-3.0-or-later
"""Router solicitations to a Teredo server, as fast as it answers: a program for a lab's host.

``solicit.py SERVER SECONDS`` prints how many answers came.
"""

from __future__ import annotations

import socket
import sys
import time

from v6ferry.engines.teredo.qualification import ALL_ROUTERS, LINK_LOCAL
from v6ferry.wire.neighbor_discovery import RouterSolicitation, encode
from v6ferry.wire.teredo import TEREDO_PORT, Authentication, TeredoDatagram

_AHEAD = 64
"""Solicitations under way: so the server always has some to answer, and drops none."""


def main(server: str, seconds: float) -> None:
    """Keep the server busy."""
    packet = encode(RouterSolicitation(), LINK_LOCAL, ALL_ROUTERS)
    payload = TeredoDatagram(packet, authentication=Authentication(bytes(8))).build()
    answers, end = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((server, TEREDO_PORT))
        one.settimeout(0.2)
        for _number in range(_AHEAD):
            one.send(payload)
        while time.monotonic() < end:
            try:
                one.recv(2048)
            except TimeoutError:
                for _number in range(_AHEAD):
                    one.send(payload)
                continue
            answers += 1
            one.send(payload)
    print(answers)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

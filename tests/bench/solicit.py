# SPDX-License-Identifier: GPL-3.0-or-later
"""Router solicitations to a Teredo server, as fast as they go: a program for a lab's host.

``solicit.py SERVER SECONDS`` prints how many there were.
"""

from __future__ import annotations

import ctypes
import socket
import sys
import time

from flood import messages_of  # it lies beside this program
from v6ferry.engines.teredo.qualification import ALL_ROUTERS, LINK_LOCAL
from v6ferry.wire.neighbor_discovery import RouterSolicitation, encode
from v6ferry.wire.teredo import TEREDO_PORT, Authentication, TeredoDatagram

_SO_NO_CHECK = 11  # of asm-generic/socket.h
_BATCH = 256  # datagrams a system call


def main(server: str, seconds: float) -> None:
    """Keep the server busy."""
    packet = encode(RouterSolicitation(), LINK_LOCAL, ALL_ROUTERS)
    payload = TeredoDatagram(packet, authentication=Authentication(bytes(8))).build()
    messages, _buffers = messages_of([payload] * _BATCH)
    libc = ctypes.CDLL(None, use_errno=True)
    sent, end = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        # Where two hosts are joined without a network card nobody finishes checksums, and the fast
        # path leaves datagrams with unfinished ones to the agent.
        out.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
        out.connect((server, TEREDO_PORT))
        while time.monotonic() < end:
            sent += max(libc.sendmmsg(out.fileno(), messages, _BATCH, 0), 0)
    print(sent)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

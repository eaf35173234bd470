# SPDX-License-Identifier: GPL-3.0-or-later
"""Datagrams that the sender has segmented for it (UDP_SEGMENT, udp(7)), as QUIC stacks do.

Run as a program it is one end, in whatever namespace it was started::

    datagrams.py send ADDRESS PORT SENDS SIZE
    datagrams.py receive PORT DATAGRAMS SIZE

Every datagram has its number and the CRC of what it carries. The receiver prints one line of JSON:
how many there were, and how many of them were in order and as they had been sent.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
import zlib

A_SEND = 40
"""Datagrams."""
QUIET = 1.0
"""Seconds without one after which no more will come."""

_UDP_SEGMENT = 103
_SO_RCVBUFFORCE = 33
_HEADER = struct.Struct("!II")  # number, CRC


def datagram(number: int, size: int) -> bytes:
    """Return a datagram's content."""
    content = random.Random(number).randbytes(size - _HEADER.size)
    return _HEADER.pack(number, zlib.crc32(content)) + content


def send(address: str, port: int, sends: int, size: int) -> None:
    """Send as one super-packet each time."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, size)
        sender.connect(socket.getaddrinfo(address, port)[0][4])
        for first in range(0, sends * A_SEND, A_SEND):
            batch = [datagram(number, size) for number in range(first, first + A_SEND)]
            batch[-1] = batch[-1][:-1]  # the last one of a super-packet may be shorter
            sender.send(b"".join(batch))
            time.sleep(0.001)  # the queues of namespaces are short


def receive(port: int, expected: int, size: int) -> dict[str, int]:
    """Receive until all have come, or no more come."""
    count = right = 0
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        receiver.bind(("::", port))
        print("listening", flush=True)
        receiver.settimeout(10)
        try:
            while count < expected:
                data = receiver.recv(65536)
                receiver.settimeout(QUIET)
                wanted = datagram(count, size)
                right += data == (wanted[:-1] if count % A_SEND == A_SEND - 1 else wanted)
                count += 1
        except TimeoutError:
            pass
    return {"datagrams": count, "right": right}


def main() -> None:
    end, *arguments = sys.argv[1:]
    if end == "send":
        send(arguments[0], *map(int, arguments[1:]))
    else:
        print(json.dumps(receive(*map(int, arguments))))


if __name__ == "__main__":
    main()

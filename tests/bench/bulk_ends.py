# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends of bulk streams that cost next to nothing, so that what is between them is measured.

::

    python bulk_ends.py receive ADDRESS PORT
    python bulk_ends.py send ADDRESS PORT SECONDS STREAMS

The sender has the kernel send the same pages of a file in memory over and over (sendfile(2)); the
receiver has it throw away what comes without copying it (``MSG_TRUNC``, tcp(7)), and tells at the
end of each stream how many bytes there were. The sender prints what came, in bytes, and in how many
seconds.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time

PIECE = 1 << 20
"""Bytes that are asked to be sent or thrown away at once."""
_COUNT = struct.Struct("!Q")


def receive(address: str, port: int) -> None:
    """Serve for ever."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.create_server((address, port), family=family, backlog=64)
    listening.setblocking(False)
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    streams: dict[int, socket.socket] = {}
    counts: dict[int, int] = {}
    buffer = bytearray(PIECE)
    print("listening", file=sys.stderr, flush=True)
    while True:
        for descriptor, _event in poll.poll():
            if descriptor == listening.fileno():
                stream = listening.accept()[0]
                stream.setblocking(False)
                streams[stream.fileno()] = stream
                counts[stream.fileno()] = 0
                poll.register(stream, select.EPOLLIN)
                continue
            stream = streams[descriptor]
            try:
                size = stream.recv_into(buffer, PIECE, socket.MSG_TRUNC)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            counts[descriptor] += size
            if not size:
                with contextlib.suppress(OSError):  # the sender may have gone
                    stream.send(_COUNT.pack(counts.pop(descriptor)))
                del streams[descriptor]
                stream.close()


def send(address: str, port: int, seconds: float, number: int) -> None:
    """Send through some streams at once, and print what the receiver has got."""
    content = os.memfd_create("content")
    os.write(content, os.urandom(PIECE))
    streams = {}
    for _turn in range(number):
        stream = socket.create_connection((address, port), timeout=10)
        stream.setblocking(False)
        streams[stream.fileno()] = stream
    poll = select.epoll()
    for descriptor in streams:
        poll.register(descriptor, select.EPOLLOUT)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for descriptor, _event in poll.poll(0.1):
            try:
                os.sendfile(descriptor, content, 0, PIECE)
            except BlockingIOError:
                continue
    total = 0
    for stream in streams.values():
        stream.setblocking(True)
        stream.settimeout(30)
        stream.shutdown(socket.SHUT_WR)
    for stream in streams.values():
        total += _COUNT.unpack(stream.recv(_COUNT.size, socket.MSG_WAITALL))[0]
    print(total, time.monotonic() - began)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2], int(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))

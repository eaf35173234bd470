# SPDX-License-Identifier: GPL-3.0-or-later
"""Small packets through a tunnel interface, as fast as they go: a program for a lab's host.

They are given to the interface ready made, past the host's own UDP and routing: so as little as
can be is measured beside the tunnel.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import time
from statistics import median

PAYLOAD = 64
"""Octets of UDP payload."""
_BATCH = 512  # packets a system call
_ETH_P_IPV6 = 0x86DD
_HOP_LIMIT = 64


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


def messages_of(packets: list[bytes]) -> tuple[ctypes.Array[_Message], list[object]]:
    """Return packets as sendmmsg(2) takes them, and what has to live as long."""
    buffers = [ctypes.create_string_buffer(packet, len(packet)) for packet in packets]
    vectors = [_Vector(ctypes.addressof(one), len(one)) for one in buffers]
    messages = (_Message * len(vectors))(
        *(_Message(_Header(vectors=ctypes.pointer(one), vector_count=1)) for one in vectors)
    )
    return messages, [buffers, vectors]


def main(interface: str, seconds: float, ends: list[str]) -> None:
    """Send for some time between each of the ends in turn; print how many packets, and a second.

    The latter by the median batch: others who want the processor for a while do not count.
    """
    os.sched_setaffinity(0, {0})
    packets = [_packet(*one.split(",")) for one in ends]
    while len(packets) < _BATCH:
        packets += packets
    messages, _buffers = messages_of(packets)
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as out:
        out.bind((interface, _ETH_P_IPV6))
        times, tried = [], 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for first in range(0, len(messages) - _BATCH + 1, _BATCH):
                batch = ctypes.byref(messages, first * ctypes.sizeof(_Message))
                began = time.perf_counter()
                taken = libc.sendmmsg(out.fileno(), batch, _BATCH, 0)
                # It ends with the first packet that finds no room.
                packets_tried = min(max(taken, 0) + 1, _BATCH)
                times.append((time.perf_counter() - began) / packets_tried)
                tried += packets_tried
    print(tried, 1 / median(times))


def _packet(source: str, destination: str) -> bytes:
    length = 8 + PAYLOAD
    header = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, _HOP_LIMIT)
    ends = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in (source, destination))
    return header + ends + struct.pack("!HHHH", 9, 9, length, 0) + bytes(PAYLOAD)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.stdin.read().split())

# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an echo takes: a program that runs in a host of a lab, and prints microseconds.

As ping does it, but with the median of many, and finer than ping prints. The other host's kernel
answers, so no program has to wake up there: what is measured is the way there and back.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from statistics import median

ECHOES = 20000
FIRST_ECHOES = 1000
"""Not counted: caches are cold."""
TIMEOUT = 2  # seconds
_PAYLOAD = bytes(56)
_IDENTIFIER = os.getpid() & 0xFFFF
_NUMBERS = 1 << 16

# linux/icmp.h, linux/icmpv6.h: what a raw socket does not want to hear, a bit for each type.
_SOL_RAW, _ICMP_FILTER = 255, 1
_ICMPV6_FILTER = 1
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_ICMPV6_ECHO_REQUEST, _ICMPV6_ECHO_REPLY = 128, 129


def main(target: str) -> None:
    """Print the median time of an echo to ``target`` and back."""
    os.sched_setaffinity(0, {0})
    family, _type, _protocol, _name, address = socket.getaddrinfo(target, None)[0]
    with _socket(family) as echo:
        echo.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", TIMEOUT, 0))
        echo.connect(address)
        times = [_round_trip(echo, family, number) for number in range(FIRST_ECHOES + ECHOES)]
    print(median(times[FIRST_ECHOES:]) / 1000)


def _socket(family: int) -> socket.socket:
    """A raw socket that hears echo replies alone."""
    if family == socket.AF_INET6:
        echo = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        blocked = [0xFFFF_FFFF] * 8
        blocked[_ICMPV6_ECHO_REPLY >> 5] &= ~(1 << (_ICMPV6_ECHO_REPLY & 31))
        echo.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *blocked))
        return echo
    echo = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    blocked_types = 0xFFFF_FFFF & ~(1 << _ECHO_REPLY)
    echo.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked_types))
    return echo


def _round_trip(echo: socket.socket, family: int, number: int) -> int:
    """Nanoseconds of one echo."""
    number %= _NUMBERS
    wanted = struct.pack("!HH", _IDENTIFIER, number)
    request = _request(family, wanted)
    began = time.perf_counter_ns()
    echo.send(request)
    while wanted not in echo.recv(1500):
        pass  # it belongs to another echo
    return time.perf_counter_ns() - began


def _request(family: int, identity: bytes) -> bytes:
    """An echo request; the kernel adds the checksum of ICMPv6."""
    if family == socket.AF_INET6:
        return bytes((_ICMPV6_ECHO_REQUEST, 0, 0, 0)) + identity + _PAYLOAD
    identifier, number = struct.unpack("!HH", identity)
    total = (_ECHO_REQUEST << 8) + identifier + number
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBH", _ECHO_REQUEST, 0, ~total & 0xFFFF) + identity + _PAYLOAD


if __name__ == "__main__":
    main(sys.argv[1])

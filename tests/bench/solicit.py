# SPDX-License-Identifier: GPL-3.0-or-later
"""Router solicitations to a Teredo server, as fast as they go: a program for a lab's host.

``solicit.py SOURCE SERVER INTERFACE LINK_LAYER_ADDRESS SECONDS`` prints how many there were, and
how many seconds of processor time they have taken. They are given to the interface as whole frames,
past the host's own UDP and routing, so that sending costs little. Between namespaces that time has
in it what the kernel does with a frame at the other end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path

from flood import messages_of  # it lies beside this program
from v6ferry.engines.teredo.qualification import ALL_ROUTERS, LINK_LOCAL
from v6ferry.wire.ipv4 import Ipv4Header
from v6ferry.wire.neighbor_discovery import RouterSolicitation, encode
from v6ferry.wire.teredo import TEREDO_PORT, Authentication, TeredoDatagram

_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20  # of linux/if_packet.h
_ETH_P_IP = 0x0800
_BATCH = 256  # frames a system call
_PORT = 40000


def main(source: str, server: str, interface: str, there: str, seconds: float) -> None:
    """Keep the server busy."""
    os.sched_setaffinity(0, {0})
    here = Path(f"/sys/class/net/{interface}/address").read_text().strip()
    frame = _ethernet(there, here) + _datagram(source, server)
    messages, _buffers = messages_of([frame] * _BATCH)
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        out.bind((interface, _ETH_P_IP))
        helper = _softirq_thread()
        sent, end, began = 0, time.monotonic() + seconds, _processor_time(helper)
        while time.monotonic() < end:
            sent += max(libc.sendmmsg(out.fileno(), messages, _BATCH, 0), 0)
        print(sent, _processor_time(helper) - began)


def _softirq_thread() -> Path:
    """The kernel's thread that does what it has put off on the first processor."""
    for file in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if file.read_text() == "ksoftirqd/0\n":
                return file.with_name("schedstat")
    raise SystemExit("there is no ksoftirqd/0")


def _processor_time(helper: Path) -> float:
    """Seconds that this program has had, and that thread."""
    return time.process_time() + int(helper.read_text().split()[0]) / 1e9


def _ethernet(there: str, here: str) -> bytes:
    addresses = bytes.fromhex((there + here).replace(":", ""))
    return addresses + struct.pack("!H", _ETH_P_IP)


def _datagram(source: str, server: str) -> bytes:
    packet = encode(RouterSolicitation(), LINK_LOCAL, ALL_ROUTERS)
    payload = TeredoDatagram(packet, authentication=Authentication(bytes(8))).build()
    # Where two hosts are joined without a network card nobody verifies checksums, and the fast path
    # leaves datagrams with such ones to the agent.
    udp = struct.pack("!HHHH", _PORT, TEREDO_PORT, 8 + len(payload), 0)
    ends = {"source": IPv4Address(source), "destination": IPv4Address(server)}
    header = Ipv4Header(protocol=socket.IPPROTO_UDP, **ends)
    ip = header.build(len(udp) + len(payload))
    return ip + udp + payload


if __name__ == "__main__":
    main(*sys.argv[1:5], float(sys.argv[5]))

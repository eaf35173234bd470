# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket for router advertisements and solicitations on the host's own interfaces."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Mapping
from ipaddress import IPv6Address

from v6ferry.system.errors import SystemFault
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_packet
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, Ipv6Header

ALL_ROUTERS = IPv6Address("ff02::2")

_ICMP6_FILTER = 1  # linux/icmpv6.h
_PACKET_INFO = struct.Struct("=16sI")  # struct in6_pktinfo
_ANCILLARY_BYTES = socket.CMSG_SPACE(_PACKET_INFO.size) + socket.CMSG_SPACE(4)
_HOP_LIMIT = 255
_LARGEST_PACKET = 65535


class LinkSocket:
    """Hears router solicitations on the interfaces that were joined, and sends advertisements.

    Raises:
        SystemFault: the process may not open raw sockets, or the kernel has no IPv6.
    """

    def __init__(self) -> None:
        self._socket = _open()
        self._joined: dict[str, int] = {}
        """Interfaces by name, with the index at which they were joined."""

    def fileno(self) -> int:
        """Return the descriptor, so that event loops take the object itself."""
        return self._socket.fileno()

    def listen(self, interfaces: Mapping[str, int]) -> None:
        """Hear what is sent to all routers on exactly these interfaces, given by name and index."""
        for name, index in list(self._joined.items()):
            if interfaces.get(name) != index:
                del self._joined[name]
                with contextlib.suppress(OSError):  # it went with its interface
                    self._membership(socket.IPV6_LEAVE_GROUP, index)
        for name, index in interfaces.items():
            if name not in self._joined:
                try:
                    self._membership(socket.IPV6_JOIN_GROUP, index)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        continue  # it has gone, or has no IPv6: the next look at the host tells
                self._joined[name] = index

    def _membership(self, option: int, index: int) -> None:
        request = struct.pack("=16sI", ALL_ROUTERS.packed, index)
        self._socket.setsockopt(socket.IPPROTO_IPV6, option, request)

    def receive(self) -> tuple[str, bytes]:
        """Return the next packet, with its IPv6 header, and the interface that it came in on.

        Raises:
            BlockingIOError: there is none.
            OSError: an error of an earlier send has waited.
        """
        while True:
            message, ancillary, _flags, address = self._socket.recvmsg(
                _LARGEST_PACKET, _ANCILLARY_BYTES
            )
            index, hop_limit, destination = 0, 0, bytes(16)
            for level, kind, data in ancillary:
                if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                    destination, index = _PACKET_INFO.unpack(data[: _PACKET_INFO.size])
                elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                    (hop_limit,) = struct.unpack("=i", data[:4])
            name = next((name for name, one in self._joined.items() if one == index), None)
            if name is None or len(message) < 4:
                continue
            source = IPv6Address(address[0].partition("%")[0])
            # The kernel has looked at the checksum already; the engine gets what was sent.
            return name, icmpv6_packet(source, IPv6Address(destination), message, hop_limit)

    def send(self, index: int, packet: bytes, destination: IPv6Address) -> None:
        """Send an ICMPv6 packet from its own source on an interface; hop limit 255.

        Raises:
            OSError: the kernel refuses it.
        """
        source = Ipv6Header.parse(packet).source
        information = _PACKET_INFO.pack(source.packed, index)
        self._socket.sendmsg(
            (packet[IPV6_HEADER_LENGTH:],),
            [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, information)],
            0,
            (str(destination), 0, 0, index),
        )

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _open() -> socket.socket:
    try:
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise SystemFault(
                "raw ICMPv6 socket: not permitted; run v6ferry as root or give it CAP_NET_RAW"
            ) from error
        raise SystemFault(f"raw ICMPv6 socket: {error.strerror}") from error
    raw.setblocking(False)
    # One bit a type; set means blocked.
    blocked = [0xFFFFFFFF] * 8
    solicitation = int(Icmpv6Type.ROUTER_SOLICITATION)
    blocked[solicitation // 32] &= ~(1 << solicitation % 32) & 0xFFFFFFFF
    raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
    for option, value in (
        (socket.IPV6_RECVPKTINFO, 1),
        (socket.IPV6_RECVHOPLIMIT, 1),
        (socket.IPV6_UNICAST_HOPS, _HOP_LIMIT),
        (socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT),
        # A router that also hears advertisements must not hear its own.
        (socket.IPV6_MULTICAST_LOOP, 0),
    ):
        raw.setsockopt(socket.IPPROTO_IPV6, option, value)
    return raw

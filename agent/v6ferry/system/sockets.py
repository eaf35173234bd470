# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets of the underlay: IPv6 in protocol 41 and in UDP, and the ICMP errors it causes."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address
from typing import NamedTuple

from v6ferry.system.errors import SystemFault

PROTOCOL_IPV6 = 41

# From <linux/in.h>; Python's socket module has no names for them.
_IP_MTU_DISCOVER = 10
_IP_PMTUDISC_DONT = 0
_IP_PMTUDISC_PROBE = 3
_IP_PKTINFO = 8
_IP_RECVTOS = 13
_IP_MTU = 14
_SO_NO_CHECK = 11
_SOL_RAW = 255
_ICMP_FILTER = 1

_ICMP_DESTINATION_UNREACHABLE = 3
_ICMP_TIME_EXCEEDED = 11
_ICMP_PARAMETER_PROBLEM = 12

_BUFFER_BYTES = 4 << 20
_ANCILLARY_BYTES = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4)  # struct in_pktinfo, TOS

Ancillary = list[tuple[int, int, bytes]]


class OuterSocket:
    """Sends packets in outer headers that the kernel writes.

    So the kernel also fragments where DF is clear, and asks its own routing for every packet.

    Args:
        plain: the socket, which is this object's from now on.
    """

    def __init__(self, plain: socket.socket) -> None:
        self.socket = plain
        self._dont_fragment = False
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        _enlarge(plain)

    def fileno(self) -> int:
        """Return the descriptor, so that selectors take the object itself."""
        return self.socket.fileno()

    def send(
        self, packet: bytes, messages: Ancillary, address: tuple[str, int], dont_fragment: bool
    ) -> None:
        """Send one IPv6 packet, with DF as told, whatever path MTU the kernel remembers.

        Args:
            packet: what follows the outer headers.
            messages: from ``ancillary``.
            address: the endpoint and its UDP port, 0 in protocol 41.
            dont_fragment: DF of the outer header.

        Raises:
            OSError: the kernel refuses the packet; EMSGSIZE for one that DF keeps from the link.
        """
        if dont_fragment is not self._dont_fragment:
            # One socket, not one for each: the kernel gives every socket a copy of what arrives.
            mode = _IP_PMTUDISC_PROBE if dont_fragment else _IP_PMTUDISC_DONT
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
            self._dont_fragment = dont_fragment
        self.socket.sendmsg((packet,), messages, 0, address)

    def close(self) -> None:
        """Close it."""
        self.socket.close()


class GroupSocket(OuterSocket):
    """Receives what is sent to a multicast group, as ``receive_udp`` takes it.

    Args:
        group: its IPv4 address.
        port: UDP port.

    Raises:
        OSError: another program has the port.
    """

    def __init__(self, group: IPv4Address, port: int) -> None:
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # Every program that listens to the group is to hear of it.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            plain.bind((str(group), port))
        except OSError:
            plain.close()
            raise
        for option in (_IP_PKTINFO, _IP_RECVTOS):
            plain.setsockopt(socket.IPPROTO_IP, option, 1)
        super().__init__(plain)
        self._group = group
        self._links: set[IPv4Address] = set()

    def join(self, links: set[IPv4Address]) -> None:
        """Be in the group on the links that have these addresses of ours, and on no others."""
        for option, addresses in (
            (socket.IP_DROP_MEMBERSHIP, self._links - links),
            (socket.IP_ADD_MEMBERSHIP, links - self._links),
        ):
            for address in addresses:
                with suppress(OSError):  # it is gone, or another address of its link has joined
                    request = self._group.packed + address.packed
                    self.socket.setsockopt(socket.IPPROTO_IP, option, request)
        self._links = set(links)


class Underlay:
    """The sockets that carry IPv6 packets over IPv4.

    Args:
        protocol41: the descriptor of an earlier agent's socket of that name, where packets wait;
            by default a socket is opened.

    Raises:
        SystemFault: the process may not open raw sockets.
    """

    def __init__(self, protocol41: int | None = None) -> None:
        self.protocol41 = OuterSocket(_adopted(protocol41) or _raw_socket(PROTOCOL_IPV6))
        """Receives every protocol 41 packet of the host."""
        self.udp: dict[int, OuterSocket] = {}
        """By port; ``open_udp`` puts them here. They receive what ``receive_udp`` takes."""
        self.icmp = _raw_socket(socket.IPPROTO_ICMP)
        """Receives ICMP errors, nothing else."""
        wanted = (
            1 << _ICMP_DESTINATION_UNREACHABLE
            | 1 << _ICMP_TIME_EXCEEDED
            | 1 << _ICMP_PARAMETER_PROBLEM
        )
        self.icmp.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))

    def open_udp(self, port: int) -> OuterSocket:
        """Return the socket of a UDP port, on every address of the host; it is opened if need be.

        Raises:
            SystemFault: another program has the port.
        """
        known = self.udp.get(port)
        if known is not None:
            return known
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            plain.bind(("", port))
        except OSError as error:
            plain.close()
            raise SystemFault(
                f"UDP port {port}: {error.strerror}; choose another port, or see who has this one"
                f" (ss -ulpn 'sport = :{port}')"
            ) from error
        # What is inside has checksums of its own (RFC 4380 section 5.2.3 asks for none here).
        plain.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
        for option in (_IP_PKTINFO, _IP_RECVTOS):
            plain.setsockopt(socket.IPPROTO_IP, option, 1)
        self.udp[port] = OuterSocket(plain)
        return self.udp[port]

    def close_udp(self, port: int) -> None:
        """Close the socket of a UDP port, if there is one."""
        known = self.udp.pop(port, None)
        if known is not None:
            known.close()

    def close(self) -> None:
        """Close the sockets."""
        self.protocol41.close()
        for port in list(self.udp):
            self.close_udp(port)
        self.icmp.close()


class Datagram(NamedTuple):
    """A UDP datagram from the underlay."""

    packet: bytes
    source: bytes
    """The address of four octets that it came from."""
    destination: bytes
    """Ours."""
    port: int
    """The one that it came from."""
    tos: int
    """The second octet of the outer header."""


def receive_udp(outer: OuterSocket) -> Datagram:
    """Return the next datagram.

    Raises:
        BlockingIOError: there is none.
        OSError: an error of an earlier send has waited.
    """
    packet, messages, _flags, (source, port) = outer.socket.recvmsg(65535, _ANCILLARY_BYTES)
    destination, tos = bytes(4), 0
    for level, kind, data in messages:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            destination = data[8:12]
        elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
            tos = data[0]
    return Datagram(packet, socket.inet_aton(source), destination, port, tos)


def ancillary(source: IPv4Address | None, ttl: int, tos: int) -> Ancillary:
    """Control messages for ``sendmsg``: the outer source, time to live and TOS octet."""
    messages: Ancillary = [
        (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", ttl)),
        (socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", tos)),
    ]
    if source is not None:
        info = struct.pack("=i4s4s", 0, source.packed, b"\0\0\0\0")
        messages.append((socket.IPPROTO_IP, _IP_PKTINFO, info))
    return messages


def path_mtu(endpoint: IPv4Address, source: IPv4Address | None = None) -> int | None:
    """The kernel's IPv4 path MTU to ``endpoint`` in bytes; None where there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            if source is not None:
                probe.bind((str(source), 0))
            probe.connect((str(endpoint), 9))
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return None


def _raw_socket(protocol: int) -> socket.socket:
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise SystemFault(
                f"raw IPv4 socket for protocol {protocol}: not permitted;"
                " run v6ferry as root or give it CAP_NET_RAW"
            ) from error
        raise SystemFault(f"raw IPv4 socket for protocol {protocol}: {error.strerror}") from error
    raw.setblocking(False)
    return raw


def _adopted(descriptor: int | None) -> socket.socket | None:
    """The socket of a descriptor, if it is a raw one for protocol 41."""
    if descriptor is None:
        return None
    adopted = socket.socket(fileno=descriptor)
    ours = (socket.AF_INET, socket.SOCK_RAW, PROTOCOL_IPV6)
    if (adopted.family, adopted.type, adopted.proto) != ours:
        adopted.close()
        return None
    return adopted


def _enlarge(raw: socket.socket) -> None:
    """Ask for room for bursts, beyond the system's limit where the process may."""
    so_sndbufforce, so_rcvbufforce = 32, 33
    for forced, plain in (
        (so_sndbufforce, socket.SO_SNDBUF),
        (so_rcvbufforce, socket.SO_RCVBUF),
    ):
        try:
            raw.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
        except PermissionError:
            raw.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)

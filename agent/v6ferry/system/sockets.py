# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw IPv4 sockets: IPv6 packets in protocol 41, and the ICMP errors they cause."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address

from v6ferry.system.errors import SystemFault

PROTOCOL_IPV6 = 41

# From <linux/in.h>; Python's socket module has no names for them.
_IP_MTU_DISCOVER = 10
_IP_PMTUDISC_DONT = 0
_IP_PMTUDISC_PROBE = 3
_IP_PKTINFO = 8
_IP_MTU = 14
_SOL_RAW = 255
_ICMP_FILTER = 1

_ICMP_DESTINATION_UNREACHABLE = 3
_ICMP_TIME_EXCEEDED = 11
_ICMP_PARAMETER_PROBLEM = 12

_BUFFER_BYTES = 4 << 20

Ancillary = list[tuple[int, int, bytes]]


class Underlay:
    """The sockets that carry IPv6 packets over IPv4.

    The kernel writes the outer header, so it also fragments where DF is clear and asks its own
    routing for every packet.

    Args:
        protocol41: the descriptor of an earlier agent's socket of that name, where packets wait;
            by default a socket is opened.

    Raises:
        SystemFault: the process may not open raw sockets.
    """

    def __init__(self, protocol41: int | None = None) -> None:
        self.protocol41 = _adopted(protocol41) or _raw_socket(PROTOCOL_IPV6)
        """Receives every protocol 41 packet of the host; sends through ``send``."""
        self._dont_fragment = False
        self.protocol41.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        _enlarge(self.protocol41)
        self.icmp = _raw_socket(socket.IPPROTO_ICMP)
        """Receives ICMP errors, nothing else."""
        wanted = (
            1 << _ICMP_DESTINATION_UNREACHABLE
            | 1 << _ICMP_TIME_EXCEEDED
            | 1 << _ICMP_PARAMETER_PROBLEM
        )
        self.icmp.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))

    def send(
        self, packet: bytes, messages: Ancillary, address: tuple[str, int], dont_fragment: bool
    ) -> None:
        """Send one IPv6 packet, with DF as told, whatever path MTU the kernel remembers.

        Args:
            packet: what follows the outer header.
            messages: from ``ancillary``.
            address: the endpoint, and 0.
            dont_fragment: DF of the outer header.

        Raises:
            OSError: the kernel refuses the packet; EMSGSIZE for one that DF keeps from the link.
        """
        if dont_fragment is not self._dont_fragment:
            # One socket, not one for each: the kernel gives every socket a copy of what arrives.
            mode = _IP_PMTUDISC_PROBE if dont_fragment else _IP_PMTUDISC_DONT
            self.protocol41.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
            self._dont_fragment = dont_fragment
        self.protocol41.sendmsg((packet,), messages, 0, address)

    def close(self) -> None:
        """Close the sockets."""
        self.protocol41.close()
        self.icmp.close()


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
    adopted.setblocking(False)
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

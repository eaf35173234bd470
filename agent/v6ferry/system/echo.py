# SPDX-License-Identifier: GPL-3.0-or-later
"""Hears ICMPv6 echo replies (RFC 4443 section 4.2) to requests that the kernel has not sent.

A packet socket hears them before any firewall: for a stateful one they answer nothing that it
has seen.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from ipaddress import IPv6Address
from typing import NamedTuple

from v6ferry.system.errors import refused
from v6ferry.wire.icmpv6 import Icmpv6Type
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6

_SO_ATTACH_FILTER = 26
_ETH_P_IPV6 = 0x86DD
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter
# linux/bpf_common.h: load an octet or half a word, jump if equal, return.
_LOAD_OCTET, _LOAD_HALF, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x28, 0x15, 0x06
_EVERYTHING = 0xFFFF
_REPLY_LENGTH = IPV6_HEADER_LENGTH + 8


class EchoReply(NamedTuple):
    """Who has answered which request."""

    source: IPv6Address
    sequence: int


class EchoReplies:
    """Replies with one identifier that come in through one interface.

    Args:
        interface: its name.
        identifier: of the requests.

    Raises:
        SystemFault: the kernel refuses.
    """

    def __init__(self, interface: str, identifier: int) -> None:
        self.identifier = identifier
        try:
            # No protocol before it is bound: it must not hear other interfaces even for a moment.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise refused("open a packet socket", error.errno or 0) from error
        try:
            self._filter(identifier)
            self._socket.bind((interface, _ETH_P_IPV6))
        except OSError as error:
            self._socket.close()
            raise refused(f"hear echo replies on {interface}", error.errno or 0) from error

    def fileno(self) -> int:
        """Return the descriptor, so that selectors take the object itself."""
        return self._socket.fileno()

    def receive(self) -> EchoReply | None:
        """Return the next reply, None if there is none."""
        try:
            packet = self._socket.recv(_REPLY_LENGTH)
        except OSError:
            return None
        if len(packet) < _REPLY_LENGTH:
            return None
        return EchoReply(IPv6Address(packet[8:24]), int.from_bytes(packet[46:48], "big"))

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def _filter(self, identifier: int) -> None:
        program = b"".join(
            _INSTRUCTION.pack(*instruction)
            for instruction in (
                (_LOAD_OCTET, 0, 0, 6),
                (_JUMP_IF_EQUAL, 0, 5, NEXT_HEADER_ICMPV6),
                (_LOAD_OCTET, 0, 0, IPV6_HEADER_LENGTH),
                (_JUMP_IF_EQUAL, 0, 3, Icmpv6Type.ECHO_REPLY),
                (_LOAD_HALF, 0, 0, IPV6_HEADER_LENGTH + 4),
                (_JUMP_IF_EQUAL, 0, 1, identifier),
                (_RETURN, 0, 0, _EVERYTHING),
                (_RETURN, 0, 0, 0),
            )
        )
        code = ctypes.create_string_buffer(program, len(program))
        pointer = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

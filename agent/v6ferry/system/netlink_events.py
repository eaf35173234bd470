# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of things changed in the kernel's network configuration (rtnetlink(7)).

Only the kind matters to us, which the first bytes of a message tell; so a full routing feed that
comes and goes costs next to nothing here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable

from v6ferry.system.errors import refused

CHANGE_KINDS = frozenset({"link", "ipv4-address", "ipv4-route", "ipv6-address", "ipv6-route"})

# linux/rtnetlink.h
_NETLINK_ROUTE = 0
_GROUPS = (
    0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 23 | 1 << 24
)  # LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4_NETCONF, IPV6_NETCONF
_LINK = (16, 17)  # RTM_NEWLINK, RTM_DELLINK
_ADDRESS = (20, 21)
_ROUTE = (24, 25)
_CONFIGURATION = 80  # RTM_NEWNETCONF, such as that forwarding was switched on or off

_VERSIONS: dict[int, str] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_RECEIVE_BUFFER = 1 << 20
_LARGEST_READ = 1 << 16


async def watch_changes(
    callback: Callable[[frozenset[str]], None], *, window: float = 0.05
) -> None:
    """Call ``callback`` with the kinds of things that changed, until cancelled.

    The first call comes at once and names all kinds: the subscription stands by then, so what the
    callback reads cannot miss a change. All kinds are named again when the kernel had to drop
    events.

    Args:
        callback: Gets some of ``CHANGE_KINDS``.
        window: Seconds during which events are gathered into one call.

    Raises:
        SystemFault: The kernel refuses the subscription.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE
    ) as (events):
        events.setblocking(False)
        events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        try:
            events.bind((0, _GROUPS))
        except OSError as error:
            raise refused("watch the network configuration", error.errno or errno.EIO) from error
        callback(CHANGE_KINDS)
        while True:
            kinds = await _receive(loop, events)
            if kinds:
                await asyncio.sleep(window)
                callback(frozenset(kinds | _drain(events)))


async def _receive(loop: asyncio.AbstractEventLoop, events: socket.socket) -> set[str]:
    try:
        return change_kinds(await loop.sock_recv(events, _LARGEST_READ))
    except OSError as error:
        return _lost_events(error)


def _drain(events: socket.socket) -> set[str]:
    kinds: set[str] = set()
    while True:
        try:
            kinds |= change_kinds(events.recv(_LARGEST_READ))
        except BlockingIOError:
            return kinds
        except OSError as error:
            kinds |= _lost_events(error)


def _lost_events(error: OSError) -> set[str]:
    """Answer the kernel's word that the receive buffer overran: anything may have changed."""
    if error.errno == errno.ENOBUFS:
        return set(CHANGE_KINDS)
    number = error.errno or errno.EIO
    raise refused("watch the network configuration", number, os.strerror(number)) from error


def change_kinds(data: bytes) -> set[str]:
    """Return the kinds of things that a datagram of rtnetlink messages tells about."""
    kinds: set[str] = set()
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, message_type = _HEADER.unpack_from(data, offset)[:2]
        if length < _HEADER.size:
            break
        family = data[offset + _HEADER.size] if offset + _HEADER.size < len(data) else 0
        kind = _kind(message_type, family)
        if kind is not None:
            kinds.add(kind)
        offset += (length + 3) & ~3
    return kinds


def _kind(message_type: int, family: int) -> str | None:
    if message_type in _LINK:
        return "link"
    if message_type == _CONFIGURATION:
        return "link"
    version = _VERSIONS.get(family)
    if version and message_type in _ADDRESS:
        return f"{version}-address"
    if version and message_type in _ROUTE:
        return f"{version}-route"
    return None

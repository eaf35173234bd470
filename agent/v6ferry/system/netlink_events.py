# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of things changed in the kernel's network configuration (rtnetlink(7)).

Only the kind matters to us, which the first bytes of a message tell, and the interface; so a full
routing feed that comes and goes costs next to nothing here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable

from v6ferry.system.errors import refused

CHANGE_KINDS = frozenset(
    {"link", "ipv4-address", "ipv4-route", "ipv6-address", "ipv6-route", "filter"}
)

# linux/rtnetlink.h
_NETLINK_ROUTE = 0
_GROUPS = (
    0x1 | 0x8 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 23 | 1 << 24
)  # LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4_NETCONF, IPV6_NETCONF
_LINK = (16, 17)  # RTM_NEWLINK, RTM_DELLINK
_ADDRESS = (20, 21)
_ROUTE = (24, 25)
_FILTER = (44, 45, 37)  # RTM_NEWTFILTER, RTM_DELTFILTER; RTM_DELQDISC takes filters along
_CONFIGURATION = 80  # RTM_NEWNETCONF, such as that forwarding was switched on or off

_VERSIONS: dict[int, str] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_INDEX = struct.Struct("=i")
_RTA_OIF, _NETCONFA_IFINDEX = 4, 1
_RECEIVE_BUFFER = 1 << 20
_LARGEST_READ = 1 << 16


class Changes(frozenset[str]):
    """Some of ``CHANGE_KINDS``, and the interfaces that were concerned."""

    interfaces: frozenset[int] | None = None
    """Their indexes; None where any may have been."""

    @classmethod
    def of(cls, kinds: Iterable[str], interfaces: Iterable[int] | None) -> Changes:
        """Put one together."""
        made = cls(kinds)
        made.interfaces = None if interfaces is None else frozenset(interfaces)
        return made

    def joined(self, other: Changes) -> Changes:
        """Both of them."""
        if self.interfaces is None or other.interfaces is None:
            return Changes.of(self | other, None)
        return Changes.of(self | other, self.interfaces | other.interfaces)


NO_CHANGES = Changes.of((), ())
EVERYTHING = Changes.of(CHANGE_KINDS, None)


async def watch_changes(callback: Callable[[Changes], None], *, window: float = 0.05) -> None:
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
        callback(EVERYTHING)
        while True:
            changes = await _receive(loop, events)
            if changes:
                await asyncio.sleep(window)
                callback(changes.joined(_drain(events)))


async def _receive(loop: asyncio.AbstractEventLoop, events: socket.socket) -> Changes:
    try:
        return changes_in(await loop.sock_recv(events, _LARGEST_READ))
    except OSError as error:
        return _lost_events(error)


def _drain(events: socket.socket) -> Changes:
    found = NO_CHANGES
    while True:
        try:
            found = found.joined(changes_in(events.recv(_LARGEST_READ)))
        except BlockingIOError:
            return found
        except OSError as error:
            found = found.joined(_lost_events(error))


def _lost_events(error: OSError) -> Changes:
    """Answer the kernel's word that the receive buffer overran: anything may have changed."""
    if error.errno == errno.ENOBUFS:
        return EVERYTHING
    number = error.errno or errno.EIO
    raise refused("watch the network configuration", number, os.strerror(number)) from error


def change_kinds(data: bytes) -> set[str]:
    """Return the kinds of things that a datagram of rtnetlink messages tells about."""
    return set(changes_in(data))


def changes_in(data: bytes) -> Changes:
    """Return what a datagram of rtnetlink messages tells about."""
    kinds: set[str] = set()
    interfaces: set[int] = set()
    anywhere = False
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, message_type = _HEADER.unpack_from(data, offset)[:2]
        if length < _HEADER.size:
            break
        start = offset + _HEADER.size
        family = data[start] if start < len(data) else 0
        kind = _kind(message_type, family)
        if kind is not None:
            kinds.add(kind)
            index = _interface(message_type, data, start, offset + length)
            # A route through several interfaces, or a parameter of all of them.
            anywhere = anywhere or index is None or index <= 0
            interfaces.add(index or 0)
        offset += (length + 3) & ~3
    return Changes.of(kinds, None if anywhere else interfaces)


def _interface(message_type: int, data: bytes, start: int, end: int) -> int | None:
    """Return the index of the interface in a message's body from ``start`` to ``end``."""
    end = min(end, len(data))
    if message_type in (*_LINK, *_ADDRESS, *_FILTER):
        return int(_INDEX.unpack_from(data, start + 4)[0]) if start + 8 <= end else None
    wanted, size = (_RTA_OIF, 12) if message_type in _ROUTE else (_NETCONFA_IFINDEX, 4)
    offset = start + size
    while offset + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return None
        if kind == wanted and offset + 8 <= end:
            return int(_INDEX.unpack_from(data, offset + 4)[0])
        offset += (length + 3) & ~3
    return None


def _kind(message_type: int, family: int) -> str | None:
    if message_type in _LINK:
        return "link"
    if message_type in _FILTER:
        return "filter"
    if message_type == _CONFIGURATION:
        return "link"
    version = _VERSIONS.get(family)
    if version and message_type in _ADDRESS:
        return f"{version}-address"
    if version and message_type in _ROUTE:
        return f"{version}-route"
    return None

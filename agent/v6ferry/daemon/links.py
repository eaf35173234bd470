# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries router advertisements and solicitations between engines and private interfaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from v6ferry.engines.interface import LinkPacket
from v6ferry.system.errors import SystemFault
from v6ferry.system.link_socket import LinkSocket
from v6ferry.system.state import LinkFacts

_MOST_AT_ONCE = 64
"""Packets read before others have their turn."""

_log = logging.getLogger(__name__)

Receive = Callable[[str, bytes], None]
"""Gets an interface's name and a packet with its IPv6 header."""


@dataclass(frozen=True, slots=True)
class _Listener:
    interfaces: frozenset[str]
    receive: Receive


class LinkCarrier:
    """One socket for all engines; it is opened when the first of them needs it.

    Args:
        loop: the event loop.
        open_socket: opens it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        open_socket: Callable[[], LinkSocket] = LinkSocket,
    ) -> None:
        self._loop = loop
        self._open_socket = open_socket
        self._socket: LinkSocket | None = None
        self._listeners: dict[str, _Listener] = {}
        self._links: Mapping[str, LinkFacts] = {}

    def update_facts(self, links: Mapping[str, LinkFacts]) -> None:
        """The host's interfaces are these now."""
        self._links = links
        self._listen()

    def listen(self, owner: str, interfaces: Collection[str], receive: Receive) -> None:
        """Tell ``owner`` of solicitations on exactly these interfaces.

        Raises:
            SystemFault: the socket cannot be opened.
        """
        if interfaces:
            self._opened()
            self._listeners[owner] = _Listener(frozenset(interfaces), receive)
        else:
            self._listeners.pop(owner, None)
        self._listen()

    def forget(self, owner: str) -> None:
        """``owner`` hears nothing any more."""
        self._listeners.pop(owner, None)
        self._listen()

    def send(self, one: LinkPacket) -> None:
        """Send a packet; one that the kernel refuses is lost, as any packet may be."""
        facts = self._links.get(one.interface)
        if facts is None:
            return
        try:
            self._opened().send(facts.index, one.packet, one.destination)
        except (OSError, SystemFault) as error:
            _log.debug("advertisement on %s to %s: %s", one.interface, one.destination, error)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _opened(self) -> LinkSocket:
        if self._socket is None:
            self._socket = self._open_socket()
            self._loop.add_reader(self._socket.fileno(), self._readable)
        return self._socket

    def _listen(self) -> None:
        if self._socket is None:
            return
        wanted = {name for one in self._listeners.values() for name in one.interfaces}
        known = {name: self._links[name].index for name in wanted if name in self._links}
        self._socket.listen(known)

    def _readable(self) -> None:
        for _turn in range(_MOST_AT_ONCE):
            if self._socket is None:
                return
            try:
                interface, packet = self._socket.receive()
            except BlockingIOError:
                return
            except OSError as error:
                _log.debug("solicitations: %s", error)
                return
            for listener in list(self._listeners.values()):
                if interface in listener.interfaces:
                    listener.receive(interface, packet)

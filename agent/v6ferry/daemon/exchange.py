# SPDX-License-Identifier: GPL-3.0-or-later
"""What engine and plane have to say to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from v6ferry.daemon.host import Host, clock
from v6ferry.engines.interface import DatagramEngine, Engine, LinkEngine
from v6ferry.forwarding.table import Endpoint
from v6ferry.forwarding.tunnel import ReceivedControl, Unresolved


class Exchange:
    """Carries packets, datagrams and peers between an engine and the plane of its interface.

    Args:
        engine: of a resource.
        host: has the plane.
        interface: the tunnel interface.
        heard: called when the engine has been told something: at once of the first that a wakeup
            brings, and together of all that come with it, so that a flood costs less.
    """

    def __init__(
        self, engine: Engine, host: Host, interface: str, heard: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._host = host
        self._interface = interface
        self._heard = heard
        self._has_heard_first = self._has_heard_more = False
        # Asked once: whether an object has all methods of a protocol takes its time.
        self._datagrams = engine if isinstance(engine, DatagramEngine) else None
        self._links = engine if isinstance(engine, LinkEngine) else None

    def hear(self, received: ReceivedControl | Unresolved) -> None:
        """Tell the engine what the plane has handed up."""
        self._tell(received)
        if self._has_heard_first:
            self._has_heard_more = True
            return
        self._has_heard_first = True
        asyncio.get_running_loop().call_soon(self._end_wakeup)
        self._heard()

    def _end_wakeup(self) -> None:
        more = self._has_heard_more
        self._has_heard_first = self._has_heard_more = False
        if more:
            self._heard()

    def _tell(self, received: ReceivedControl | Unresolved) -> None:
        if self._datagrams is None:
            if isinstance(received, ReceivedControl):
                self._engine.receive(
                    received.packet, received.outer_source, received.outer_destination, clock()
                )
        elif isinstance(received, Unresolved):
            self._datagrams.find_peer(received.packet, clock())
        else:
            source = Endpoint(received.outer_source, received.port, received.local_port)
            self._datagrams.receive_datagram(
                received.packet, source, received.outer_destination, clock()
            )

    def carry_out(self) -> None:
        """Do with the plane what the engine wants done now."""
        plane, interface = self._host.plane, self._interface
        tunnel = plane.tunnel(interface)
        for packet in self._engine.packets_to_send():
            tunnel.send(packet.packet, Endpoint(packet.endpoint), packet.source)
        if self._datagrams is not None:
            # A packet that has waited for its peer goes first; but the kernel may answer what it is
            # given at once, and then has to know the peer.
            for datagram in self._datagrams.datagrams_to_send():
                tunnel.send(datagram.payload, datagram.endpoint, datagram.source)
            changes = self._datagrams.peer_changes()
            if changes:
                plane.change_peers(interface, changes)
            for delivered in self._datagrams.packets_to_deliver():
                tunnel.deliver(delivered)
        if self._links is not None:
            for link_packet in self._links.link_packets_to_send():
                self._host.links.send(link_packet)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets that tunnels send from and receive at: protocol 41's, and one for each UDP port."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Address

from v6ferry.forwarding.tunnel import Tunnel
from v6ferry.system.errors import SystemFault
from v6ferry.system.sockets import GroupSocket, OuterSocket, Underlay


class Ports:
    """Has a socket for every port of the tables, and none besides.

    Args:
        loop: the event loop that calls ``receive``.
        underlay: the sockets.
        tunnels: by interface; it may change.
        receive: takes what has come to a UDP port.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        underlay: Underlay,
        tunnels: Mapping[str, Tunnel],
        receive: Callable[[OuterSocket, int], None],
    ) -> None:
        self._loop = loop
        self._underlay = underlay
        self._tunnels = tunnels
        self._receive = receive
        self._groups: dict[tuple[IPv4Address, int], GroupSocket] = {}

    def open(self, port: int) -> OuterSocket:
        """Return the socket that sends from a UDP port, or for 0 in protocol 41.

        Raises:
            SystemFault: another program has the UDP port.
        """
        if not port:
            return self._underlay.protocol41
        outer = self._underlay.open_udp(port)
        self._loop.add_reader(outer, self._receive, outer, port)
        return outer

    def open_more(self, tunnel: Tunnel) -> None:
        """Have the other ports of a tunnel.

        One that another program has is done without: what was to go from there is dropped, and the
        engine tries another port when nothing answers.
        """
        opened: dict[int, OuterSocket] = {}
        for port in tunnel.asked.encapsulation.more_ports:
            with suppress(SystemFault):
                opened[port] = tunnel.more_outer.get(port) or self.open(port)
        tunnel.more_outer = opened
        self._listen()

    def release(self, ports: Iterable[int]) -> None:
        """Close the sockets of UDP ports that no tunnel has any more."""
        gone = set(ports)
        for tunnel in self._tunnels.values():
            gone.difference_update(tunnel.asked.encapsulation.ports)
        self._listen()
        for port in gone & self._underlay.udp.keys():
            self._loop.remove_reader(self._underlay.udp[port])
            self._underlay.close_udp(port)

    def _listen(self) -> None:
        """Be in the multicast groups of tunnels, on every link that they use, and in no others.

        Where another program has the port, nothing is heard of the group.
        """
        wanted: dict[tuple[IPv4Address, int], set[IPv4Address]] = {}
        for tunnel in self._tunnels.values():
            group = tunnel.asked.group
            if group is not None:
                links = wanted.setdefault((group.address, group.port), set())
                links |= tunnel.asked.local_endpoints
        for group_and_port in self._groups.keys() - wanted.keys():
            one = self._groups.pop(group_and_port)
            self._loop.remove_reader(one)
            one.close()
        for (address, port), links in wanted.items():
            known = self._groups.get((address, port))
            if known is None:
                try:
                    known = GroupSocket(address, port)
                except OSError:
                    continue
                self._groups[address, port] = known
                self._loop.add_reader(known, self._receive, known, port)
            known.join(links)

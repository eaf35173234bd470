# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets that tables ask for: further UDP ports, and multicast groups."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest
from v6ferry.forwarding.ports import Ports
from v6ferry.forwarding.table import Encapsulation, Endpoint, TunnelTable
from v6ferry.forwarding.tunnel import Tunnel
from v6ferry.system.sockets import Underlay, receive_udp

LOOPBACK = IPv4Address("127.0.0.1")
GROUP = IPv4Address("224.0.0.253")


class Loop:
    """Knows who is read from."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()

    def add_reader(self, one: Any, *_call: Any) -> None:
        self.readers.add(one)

    def remove_reader(self, one: Any) -> None:
        self.readers.discard(one)


@dataclass
class Device:
    name: str


class Fixture:
    """Ports over real UDP sockets, without the raw ones that need privileges."""

    def __init__(self) -> None:
        self.underlay = Underlay.__new__(Underlay)
        self.underlay.udp = {}
        self.loop = Loop()
        self.tunnels: dict[str, Tunnel] = {}
        loop: Any = self.loop
        self.ports = Ports(loop, self.underlay, self.tunnels, lambda _outer, _port: None)

    def have(self, table: TunnelTable) -> Tunnel:
        """Have a tunnel with a table, or another table for it."""
        device: Any = Device(table.interface)
        outer = self.ports.open(table.encapsulation.port)
        tunnel = self.tunnels.get(table.interface)
        if tunnel is None:
            tunnel = self.tunnels[table.interface] = Tunnel(device, table, outer, lambda _one: None)
            before = table
        else:
            before = tunnel.asked
            tunnel.ask(table)
        self.ports.open_more(tunnel)
        self.ports.release(before.encapsulation.ports)
        return tunnel

    def forget(self, name: str) -> None:
        self.ports.release(self.tunnels.pop(name).asked.encapsulation.ports)


@pytest.fixture
def fixture() -> Iterator[Fixture]:
    one = Fixture()
    yield one
    for name in list(one.tunnels):
        one.forget(name)


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _number in range(number)]
    for one in sockets:
        one.bind(("", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def table(name: str, port: int, *more: int, group: int = 0) -> TunnelTable:
    return TunnelTable(
        name,
        encapsulation=Encapsulation(port=port, more_ports=frozenset(more)),
        local_endpoints=frozenset({LOOPBACK}),
        group=Endpoint(GROUP, group) if group else None,
    )


def test_every_port_of_a_table_has_a_socket_and_none_when_it_is_gone(fixture: Fixture) -> None:
    first, second, third = free_ports(3)
    tunnel = fixture.have(table("a", first, second))
    assert fixture.underlay.udp.keys() == {first, second}
    assert tunnel.outer_at(0) is fixture.underlay.udp[first]
    assert tunnel.outer_at(second) is fixture.underlay.udp[second]
    kept = fixture.underlay.udp[second]
    fixture.have(table("a", first, second, third))
    assert fixture.underlay.udp[second] is kept
    fixture.have(table("b", third))
    fixture.have(table("a", first))
    assert fixture.underlay.udp.keys() == {first, third}
    fixture.forget("a")
    fixture.forget("b")
    assert fixture.underlay.udp == {}
    assert fixture.loop.readers == set()


def test_port_of_another_program_is_done_without(fixture: Fixture) -> None:
    first, second = free_ports(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        taken = other.getsockname()[1]
        tunnel = fixture.have(table("a", first, taken, second))
        assert tunnel.outer_at(taken) is None
        assert tunnel.outer_at(second) is not None
        tunnel.send(b"x", Endpoint(LOOPBACK, 9, taken), None)
        assert tunnel.counters.as_dict()["drops"] == {"underlay_refused": 1}
    # It is free again, and had with the next table.
    assert fixture.have(table("a", first, taken)).outer_at(taken) is not None


def test_group_is_listened_to_as_long_as_a_table_wants_it(fixture: Fixture) -> None:
    first, group = free_ports(2)
    fixture.have(table("a", first, group=group))
    (listener,) = fixture.loop.readers - set(fixture.underlay.udp.values())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, LOOPBACK.packed)
        sender.sendto(b"here", (str(GROUP), group))
        received = receive_udp(listener)
    assert (received.packet, received.destination) == (b"here", GROUP.packed)
    fixture.have(table("a", first))
    assert fixture.loop.readers == set(fixture.underlay.udp.values())
    assert listener.fileno() == -1

# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests want to know of the datagrams on a simulated Internet, and pairs that send them."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import (
    TeredoDatagram,
    is_bubble,
)

from tests.simulation.nat import Kind
from tests.simulation.teredo import World

SERVER_PORT = 3544
STRANGER = Endpoint(IPv4Address("12.155.166.101"), 5000)


def read(carried):
    return TeredoDatagram.parse(carried.payload)


def solicitations(world, since=0.0):
    """(time, destination, datagram) of all router solicitations in the core."""
    found = []
    for one in world.internet.carried:
        datagram = read(one)
        is_solicitation = neighbor_discovery_type(datagram.packet) == 133
        if one.time >= since and is_solicitation:
            found.append((one.time, one.destination.address, datagram))
    return found


def bubbles(world, since=0.0):
    """(time, destination) of all bubbles in the core."""
    return [
        (round(one.time, 3), one.destination)
        for one in world.internet.carried
        if one.time >= since and is_bubble(read(one).packet)
    ]


def hear(client, datagram, source):
    """Have a client receive a datagram; what it discards it for, by number."""
    before = dict(client.status["discarded"])
    client.engine.receive_datagram(
        datagram.build(), source, client.addresses[0], client.internet.now
    )
    client.pump()
    after = client.status["discarded"]
    return [why for why, number in after.items() if number != before.get(why)]


def restricted_pair():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    return world, a, b


def advertisement(world):
    """A server's answer as a client hears it, before the client does."""
    return next(read(one) for one in world.internet.carried if read(one).origin is not None)


def succeed(machine, engine):
    """Another engine goes on where that of a machine was."""
    snapshot = json.loads(json.dumps(machine.engine.snapshot()))
    machine.engine = engine
    machine.peers.clear()
    engine.restore(snapshot, machine.internet.now)
    machine.tell_facts()

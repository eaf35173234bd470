# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo relay engine: RFC 4380 section 5.4."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from v6ferry.addresses.teredo import TeredoAddress, decode
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.relay import TeredoRelay
from v6ferry.engines.teredo.specification import TeredoRelaySpec
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.teredo import TeredoDatagram, bubble, is_bubble

from tests.simulation.nat import Kind
from tests.simulation.teredo import (
    NATIVE,
    RELAY,
    RELAY_NATIVE,
    SERVER,
    Machine,
    World,
    echo_request,
)
from tests.simulation.teredo_traffic import STRANGER, hear

OWN = IPv6Address("2001:db8:9::9")


def from_relay(world, since=0.0):
    """(destination, packet) of what the relay has sent."""
    return [
        (one.destination, TeredoDatagram.parse(one.payload).packet)
        for one in world.internet.carried
        if one.source.address == RELAY and one.time >= since
    ]


def test_restricted_client_gets_a_bubble_before_the_first_packet_rfc4380_5_4_1():
    world = World()
    client = world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    world.native.ping(client.address)
    (first, packet), (second, data), *_rest = from_relay(world)
    assert (first.address, first.port, is_bubble(packet)) == (SERVER, 3544, True)
    mapped = decode(client.address)
    assert (second, is_bubble(data)) == (Endpoint(mapped.client, mapped.port), False)


def test_cone_client_gets_packets_at_once_rfc4380_5_4_1():
    world = World()
    client = world.client(Kind.FULL_CONE, cone_bit=True)
    world.internet.run(5)
    assert world.native.ping(client.address) is not None
    assert not any(is_bubble(packet) for _to, packet in from_relay(world))


def test_relay_advertises_the_whole_prefix_and_nothing_else_rfc4380_5_4():
    (route,) = World().relay.engine.wanted(0).interface.routes
    assert route.prefix == IPv6Network("2001::/32")
    assert World().relay.engine.wanted(0).interface.forwarding


def test_unknown_client_is_not_believed_rfc4380_5_4_2():
    world = World()
    client = world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    forged = TeredoDatagram(echo_request(client.address, NATIVE, 1))
    assert hear(world.relay, forged, STRANGER) == ["outer source is not the mapped address"]
    assert world.relay.received == []


@pytest.mark.parametrize(
    "destination", ["2001:0:ce49:7601::1", "fe80::1", "fd00::1", "::1", "ff0e::1"]
)
def test_relay_carries_to_native_hosts_alone_rfc4380_5_4_2(destination):
    world = World()
    source = TeredoAddress(SERVER, STRANGER.address, STRANGER.port).encode()
    datagram = TeredoDatagram(echo_request(source, IPv6Address(destination), 1))
    assert hear(world.relay, datagram, STRANGER) == ["inner source or destination on the way in"]


def test_relay_carries_from_clients_alone():
    world = World()
    datagram = TeredoDatagram(echo_request(NATIVE, OWN, 1))
    assert hear(world.relay, datagram, STRANGER) == ["inner source or destination on the way in"]
    datagram = TeredoDatagram(bubble(NATIVE, RELAY_NATIVE))
    assert hear(world.relay, datagram, STRANGER) != []


def test_native_host_hears_that_a_client_does_not_answer_rfc4380_5_2_6():
    world = World()
    client = world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    target = client.address
    world.internet.detach(client.nat.address)
    assert world.native.ping(target, within=8) is None
    unreachable = [packet for _time, packet in world.relay.received]
    assert [packet[40] for packet in unreachable] == [1]
    assert len([one for one in from_relay(world) if one[0].address == SERVER]) == 3


def test_client_beyond_another_server_is_reached_too():
    world = World()
    other = IPv4Address("198.41.0.10")
    world.machine_of_server(other)
    client = world.client(Kind.PORT_RESTRICTED, servers=[str(other)])
    world.internet.run(5)
    assert world.native.ping(client.address) is not None


# Host-specific relays


def host_specific(world, kind):
    """A host with native IPv6 and a relay of its own, behind a NAT or not."""
    nat = world.nat(kind)
    spec = TeredoRelaySpec.parse(
        {"host_specific": True, "behind_nat": nat is not None}, "teredo_relay/h"
    )
    engine = TeredoRelay(spec, world.random, world.internet.now)
    address = IPv4Address("12.155.166.9" if nat is None else "192.168.9.9")
    machine = Machine(world.internet, engine, (address,), spec.port, nat, (OWN,))
    world.internet.route(IPv6Network(OWN), machine.deliver)
    return machine


REACHABLE = [
    (here, there)
    for here in (Kind.NONE, Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED)
    for there in (*Kind.__members__.values(),)[:5]
    if (here, there) != (Kind.PORT_RESTRICTED, Kind.SYMMETRIC)
]


@pytest.mark.parametrize(("here", "there"), REACHABLE)
def test_host_with_a_relay_of_its_own_reaches_clients_rfc4380_5_4_3(here, there):
    world = World()
    host, client = host_specific(world, here), world.client(there)
    world.internet.run(5)
    assert host.ping(client.address) is not None
    relayed = [one for one in from_relay(world) if not is_bubble(one[1])]
    assert relayed == []


@pytest.mark.parametrize("kind", [Kind.NONE, Kind.PORT_RESTRICTED])
def test_client_reaches_a_host_with_a_relay_of_its_own_rfc4380_5_4_3(kind):
    world = World()
    host, client = host_specific(world, kind), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert client.ping(OWN, within=5) is not None
    assert client.peers[OWN].address == (host.nat.address if host.nat else host.addresses[0])


def test_host_specific_relay_relays_for_nobody_else_rfc4380_5_4_3():
    world = World()
    host, client = host_specific(world, Kind.NONE), world.client(Kind.NONE)
    world.internet.run(5)
    host.output(echo_request(NATIVE, client.address, 1))
    mapped = decode(client.address)
    foreign = TeredoDatagram(echo_request(client.address, NATIVE, 1))
    assert hear(host, foreign, Endpoint(mapped.client, mapped.port)) == [
        "inner source or destination on the way in"
    ]
    assert host.status["discarded"]["inner source or destination on the way out"] == 1
    assert not host.engine.wanted(0).interface.forwarding


def test_status_says_what_is_missing():
    world = World()
    world.relay.native = ()
    world.relay.tell_facts()
    assert world.relay.status["summary"] == (
        "no native IPv6 address, which a relay needs to be found at"
    )
    assert not world.relay.status["ready"]
    assert world.relay.engine.wanted(0).interface.routes == ()
    with pytest.raises(SpecificationError, match="port: 3544 is that of servers"):
        TeredoRelaySpec.parse({"port": 3544}, "teredo_relay/r")

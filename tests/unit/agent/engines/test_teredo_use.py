# SPDX-License-Identifier: GPL-3.0-or-later
"""When a Teredo client is used: dormant until then, last resort, managed networks, its type."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.addresses.teredo import TEREDO_PREFIX
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.client import TeredoClient
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import HostFacts
from v6ferry.wire.icmpv6 import icmpv6_type
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.teredo import Origin, TeredoDatagram, bubble

from tests.simulation.nat import Kind
from tests.simulation.teredo import NATIVE, SERVER, World, echo_request
from tests.simulation.teredo_traffic import succeed

UNREACHABLE, ECHO_REPLY = 1, 129
CORPORATE = "corp.example.com"
INSIDE = (IPv4Address("10.0.0.53"),)


def sleeper(world, kind=Kind.PORT_RESTRICTED, **spec):
    """A client that is dormant until it is used."""
    return world.client(kind, **{"dormant_after": 60, **spec})


def source(client):
    """What the kernel sends from."""
    (one,) = client.engine.wanted(client.internet.now).interface.addresses
    return one.address


# Dormant


def test_dormant_client_is_silent_and_has_routes_that_bring_it_packets():
    world = World()
    client = sleeper(world)
    world.internet.run(86_400)
    assert world.internet.carried == []
    assert client.status["state"] == "dormant"
    assert client.status["ready"]
    assert client.status["summary"].startswith("dormant: asks its server when")
    interface = client.engine.wanted(0).interface
    assert {str(one.prefix) for one in interface.routes} == {str(TEREDO_PREFIX), "::/0"}
    assert source(client).is_link_local


def test_first_packet_wakes_it_up_and_its_sender_may_try_again_at_once():
    world = World()
    client = sleeper(world)
    world.internet.run(10)
    before = source(client)
    client.output(echo_request(before, NATIVE, 1))
    assert client.status["state"] == "probe"
    world.internet.run(0.2)
    assert client.status["state"] == "qualified"
    addresses = [one.address for one in client.engine.wanted(0).interface.addresses]
    assert addresses == [client.address, before]  # where its sender is to hear of it
    world.internet.run(1)
    assert source(client) == client.address
    (packet,) = [one for _time, one in client.received]
    assert icmpv6_type(packet) == UNREACHABLE
    assert Ipv6Header.parse(packet).destination == before
    assert client.ping(NATIVE, 2) is not None


def test_packet_from_the_address_of_last_time_is_sent_when_that_is_still_ours():
    world = World()
    client = sleeper(world, Kind.NONE)
    client.output(echo_request(source(client), NATIVE, 1))
    world.internet.run(1)
    address = client.address
    world.internet.run(600)
    assert client.status["state"] == "dormant"
    assert source(client) == address
    assert client.ping(NATIVE, 2) is not None  # without having to try again
    assert client.address == address


def test_packet_from_an_address_that_is_another_ones_by_now_is_refused():
    world = World()
    client = sleeper(world)
    client.output(echo_request(source(client), NATIVE, 1))
    world.internet.run(1)
    address = client.address
    world.internet.run(600)
    client.received.clear()
    client.output(echo_request(address, NATIVE, 2))
    world.internet.run(1)
    assert client.address != address
    assert [icmpv6_type(one) for _time, one in client.received] == [UNREACHABLE]
    assert client.ping(NATIVE, 3) is not None


def test_it_stays_awake_while_it_is_used_and_asks_nobody_afterwards():
    world = World()
    client = sleeper(world)
    client.output(echo_request(source(client), NATIVE, 1))
    world.internet.run(1)
    for number in range(20):
        assert client.ping(NATIVE, number, within=30) is not None
    assert client.status["state"] == "qualified"
    world.internet.run(61)
    assert client.status["state"] == "dormant"
    assert client.peers == {}
    carried = len(world.internet.carried)
    world.internet.run(3600)
    assert len(world.internet.carried) == carried


def test_flow_that_comes_in_alone_keeps_it_awake():
    world = World()
    client = sleeper(world)
    client.output(echo_request(source(client), NATIVE, 1))
    world.internet.run(1)
    address = client.address
    for number in range(100):
        world.native.ping(address, number, within=5)
    assert client.status["state"] == "qualified"
    assert client.address == address


@pytest.mark.parametrize("destination", ["ff02::2", "fe80::1", "fd00::1"])
def test_what_is_not_for_the_internet_wakes_nobody_up(destination):
    world = World()
    client = sleeper(world)
    client.output(echo_request(source(client), IPv6Address(destination), 1))
    world.internet.run(10)
    assert client.status["state"] == "dormant"
    assert world.internet.carried == []


def test_packets_wait_for_a_server_ten_seconds_and_not_without_end():
    world = World()
    world.internet.detach(SERVER)
    client = sleeper(world)
    for number in range(100):
        client.output(echo_request(source(client), NATIVE, number))
    world.internet.run(9)
    assert client.received == []
    world.internet.run(2)
    assert [icmpv6_type(one) for _time, one in client.received] == [UNREACHABLE] * 16
    world.internet.run(120)
    assert client.status["state"] == "dormant"


def test_by_default_no_client_is_ever_dormant():
    world = World()
    client = world.client()
    world.internet.run(7200)
    assert client.status["state"] == "qualified"


def spec_of(**spec):
    return TeredoClientSpec.parse({"servers": [str(SERVER)], **spec}, "teredo_client/c")


def test_setting_can_be_changed_while_it_sleeps_or_is_awake():
    world = World()
    client = sleeper(world)
    world.internet.run(10)
    client.engine.update_spec(spec_of(), world.internet.now)
    client.pump()
    world.internet.run(1)
    address = client.address
    client.engine.update_spec(spec_of(dormant_after=100), world.internet.now)
    client.pump()
    world.internet.run(99)
    assert client.address == address
    world.internet.run(2)
    assert client.status["state"] == "dormant"


@pytest.mark.parametrize("is_awake", [False, True])
def test_successor_sleeps_on_or_is_awake_too(is_awake):
    world = World()
    client = sleeper(world)
    if is_awake:
        client.output(echo_request(source(client), NATIVE, 1))
    world.internet.run(1)
    before = source(client)
    succeed(client, TeredoClient(spec_of(dormant_after=60), Random(9), world.internet.now))
    assert source(client) == before
    assert client.status["state"] == ("qualified" if is_awake else "dormant")


# The prefix of Windows XP


OBSOLETE = IPv6Address("3ffe:831f:ce49:7601:8000:efff:7c94:fffe")


def test_nothing_is_sent_to_the_obsolete_prefix():
    world = World()
    client = world.client()
    world.internet.run(1)
    carried = len(world.internet.carried)
    client.output(echo_request(client.address, OBSOLETE, 1))
    client.engine.find_peer(echo_request(client.address, OBSOLETE, 1), world.internet.now)
    client.pump()
    world.internet.run(5)
    assert len(world.internet.carried) == carried
    assert client.status["discarded"] == {"inner source or destination on the way out": 2}
    rules = client.engine.wanted(1).table.forwarding_index
    assert rules.match(int(OBSOLETE)).selector is None
    assert rules.match(int(OBSOLETE)).name == "3ffe:831f::/32 never"


def test_nothing_is_taken_from_the_obsolete_prefix():
    world = World()
    client = world.client()
    world.internet.run(1)
    stranger = Endpoint(IPv4Address("131.107.0.1"), 4096)
    for packet in (echo_request(OBSOLETE, client.address, 1), bubble(OBSOLETE, client.address)):
        for source_ in (stranger, Endpoint(SERVER, 3544)):
            datagram = TeredoDatagram(packet, Origin(stranger.address, stranger.port))
            client.engine.receive_datagram(
                datagram.build(), source_, client.addresses[0], world.internet.now
            )
            client.pump()
    assert client.received == []
    assert client.status["peers"] == 0


def test_server_and_relay_refuse_the_obsolete_prefix():
    world = World()
    client = world.client()
    world.internet.run(1)
    engine, source_ = world.server.engine, Endpoint(client.addresses[0], client.port)
    packet = TeredoDatagram(echo_request(client.address, OBSOLETE, 1)).build()
    engine.receive_datagram(packet, source_, SERVER, world.internet.now)
    assert engine.packets_to_deliver() == []
    assert world.server.status["discarded"] == {"inner destination": 1}
    world.relay.engine.find_peer(echo_request(OBSOLETE, client.address, 1), world.internet.now)
    assert world.relay.engine.datagrams_to_send() == []
    sources = world.relay.engine.wanted(1).table.source_index
    assert sources.match(int(OBSOLETE)).accept is False


# The last resort


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("2001:db8::77", "native IPv6"),
        ("2002:836b:1759::1", "6to4"),
        ("2001:db8:0:7:0:5efe:192.168.47.99", "ISATAP"),
    ],
)
@pytest.mark.parametrize("group", ["preferred_addresses", "tunnel_addresses"])
def test_other_ipv6_of_the_host_or_of_our_tunnels_is_preferred(address, what, group):
    world = World()
    client = world.client()
    world.internet.run(1)
    facts = HostFacts(**{group: {"other0": (IPv6Address(address),)}})
    client.engine.update_facts(facts, world.internet.now)
    assert client.status["summary"].startswith(f"idle: there is {what}, 200")
    assert "on other0, and Teredo is the last resort" in client.status["summary"]
    assert client.status["state"] == "offline"
    wanted = client.engine.wanted(1)
    assert wanted.interface.addresses == wanted.interface.routes == ()
    assert wanted.table.local_endpoints == frozenset()  # explain says why by that


@pytest.mark.parametrize(
    ("interface", "address"),
    [
        ("teredo0", "2001:0:ce49:7601:2cad:dfff:7c94:fffe"),
        ("teredo1", "2001:0:ce49:7601:2cad:dfff:7c94:fffe"),
        ("isatap0", "fd00::5efe:192.168.47.99"),
        ("eth0", "fd00::1"),
    ],
)
def test_teredo_itself_and_local_addresses_are_no_other_way(interface, address):
    world = World()
    client = world.client()
    facts = HostFacts(tunnel_addresses={interface: (IPv6Address(address),)})
    client.engine.update_facts(facts, world.internet.now)
    assert not client.status["summary"].startswith("idle")


def facts_with(addresses):
    return HostFacts(preferred_addresses={"eth0": tuple(map(IPv6Address, addresses))})


@pytest.mark.parametrize("other", ["2001:db8::77", "2002:836b:1759::1"])
def test_teredo_is_the_last_resort(other):
    world = World()
    client = world.client()
    world.internet.run(1)
    client.engine.update_facts(facts_with([other]), world.internet.now)
    assert client.engine.wanted(1).interface.addresses == ()
    what = "6to4" if other.startswith("2002:") else "native IPv6"
    assert client.status["summary"].startswith(f"idle: there is {what}, {other} on eth0")
    assert client.status["ready"]


def test_teredo_is_used_beside_other_ipv6_if_told_so():
    world = World()
    client = world.client(last_resort=False)
    client.native = (IPv6Address("2001:db8::77"),)
    client.tell_facts()
    world.internet.run(1)
    assert client.address in client.own_addresses()


def test_nat_aware_client_is_idle_without_a_nat():
    world = World()
    without = world.client(Kind.NONE, type="natawareclient")
    behind = world.client(Kind.FULL_CONE, type="natawareclient")
    world.internet.run(1)
    assert without.engine.wanted(1).interface.addresses == ()
    assert without.status["summary"] == "idle: there is no NAT, and type is natawareclient"
    assert behind.status["active"]


def test_disabled_client_asks_nobody():
    world = World()
    client = world.client(type="disabled")
    world.internet.run(10)
    assert world.internet.carried == []
    assert client.status["summary"] == "disabled (type)"


# Managed networks


@pytest.mark.parametrize("kind", ["client", "natawareclient"])
def test_client_is_off_in_a_managed_network(kind):
    world = World()
    client = world.client(Kind.PORT_RESTRICTED, type=kind, managed_network_names=[CORPORATE])
    world.internet.run(5)
    assert world.internet.carried == []
    assert client.status["summary"] == (
        f"idle until it is known whether this network is managed ({CORPORATE})"
    )
    assert client.engine.wanted(5).names == {CORPORATE}
    assert client.engine.wanted(5).name_refresh_interval == 60
    client.engine.name_resolved(CORPORATE, INSIDE, world.internet.now)
    client.pump()
    world.internet.run(5)
    assert world.internet.carried == []
    assert f"managed network, {CORPORATE} has an address here" in client.status["summary"]
    assert client.status["state"] == "offline"
    client.engine.name_resolved(CORPORATE, (), world.internet.now)  # at home in the evening
    client.pump()
    world.internet.run(5)
    assert client.status["state"] == "qualified"
    client.engine.name_resolved(CORPORATE, INSIDE, world.internet.now)
    client.pump()
    assert client.status["state"] == "offline"


def test_enterprise_client_does_not_care_about_managed_networks():
    world = World()
    client = world.client(
        Kind.PORT_RESTRICTED, type="enterpriseclient", managed_network_names=[CORPORATE]
    )
    world.internet.run(5)
    assert client.status["state"] == "qualified"
    assert client.engine.wanted(5).names == frozenset()
    assert client.engine.wanted(5).name_refresh_interval == 3600


def test_successor_knows_whether_the_network_is_managed():
    world = World()
    client = world.client(Kind.PORT_RESTRICTED, managed_network_names=[CORPORATE])
    client.engine.name_resolved(CORPORATE, (), world.internet.now)
    client.pump()
    world.internet.run(5)
    address = client.address
    spec = spec_of(managed_network_names=[CORPORATE])
    succeed(client, TeredoClient(spec, Random(9), world.internet.now))
    assert client.address == address


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"dormant_after": 5}, "dormant_after: 5 is out of range, use 0 for never, or 60 or more"),
        ({"managed_network_names": ["10.0.0.1"]}, r"names\[0\]: 10.0.0.1 is an address, use a"),
    ],
)
def test_bad_specification_says_what_to_do(spec, message):
    with pytest.raises(SpecificationError, match=message):
        spec_of(**spec)

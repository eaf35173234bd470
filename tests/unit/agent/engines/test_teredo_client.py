# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo client engine: RFC 4380 section 5.2, RFC 5991, RFC 6081."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v6ferry.addresses.teredo import decode
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.client import TeredoClient
from v6ferry.engines.teredo.peers import QUEUE_LENGTH
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import HostFacts, UnderlayAddress
from v6ferry.wire.icmpv6 import icmpv6_type
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.neighbor_discovery import RouterSolicitation, neighbor_discovery_type
from v6ferry.wire.neighbor_discovery import decode as decode_message
from v6ferry.wire.teredo import (
    Authentication,
    Origin,
    TeredoDatagram,
    Trailers,
    bubble,
    is_bubble,
)

from tests.simulation.nat import Kind
from tests.simulation.teredo import NATIVE, RELAY, SECONDARY, SERVER, World, echo_request

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


# Qualification


def test_address_has_server_flags_and_mapped_endpoint_rfc4380_4():
    world = World()
    client = world.client(Kind.PORT_RESTRICTED)
    world.internet.run(1)
    parts = decode(client.address)
    assert (parts.server, parts.client) == (SERVER, client.nat.address)
    assert parts.port in range(10000, 30000)
    assert client.status["ready"]
    assert client.status["summary"].endswith("NAT: restricted")


def test_flags_are_random_but_for_c_r_u_and_g_rfc5991_4():
    world = World()
    clients = [world.client() for _number in range(50)]
    world.internet.run(1)
    flags = [decode(one.address).flags for one in clients]
    assert len(set(flags)) > 40
    assert all(one & 0b1100_0011_0000_0000 == 0 for one in flags)
    assert sum(flags[0] ^ one != 0 for one in flags) > 40


def test_solicitation_is_link_local_without_the_cone_bit_rfc5991_3():
    world = World()
    world.client()
    world.internet.run(1)
    _time, destination, datagram = solicitations(world)[0]
    header, message = decode_message(datagram.packet)
    assert message == RouterSolicitation()
    assert destination == SERVER
    assert header.source == IPv6Address("fe80::5445:5245:444f")
    assert len(datagram.authentication.nonce) == 8


def test_with_the_cone_bit_a_client_waits_only_a_moment_behind_a_restricted_nat():
    world = World()
    client = world.client(Kind.PORT_RESTRICTED, cone_bit=True)
    world.internet.run(0.1)
    assert not client.status["ready"]
    world.internet.run(0.2)
    assert client.status["ready"]


def test_silent_server_is_asked_three_times_every_four_seconds_rfc4380_5_2_1():
    world = World()
    world.internet.detach(SERVER)
    client = world.client()
    world.internet.run(16.9)
    assert [round(time, 2) for time, *_rest in solicitations(world)] == [0.01, 4.01, 8.01]
    assert client.status["summary"] == "the server 206.73.118.1 does not answer"
    world.internet.attach(SERVER, world.server)
    world.internet.run(1)
    assert client.status["ready"]  # asked again 5 s after it had given up


def test_next_server_is_asked_when_the_first_is_silent():
    world = World()
    other = IPv4Address("198.41.0.10")
    world.machine_of_server(other)
    world.internet.detach(SERVER)
    client = world.client(servers=[str(SERVER), str(other)])
    world.internet.run(13)
    assert decode(client.address).server == other


def test_key_is_used_with_the_server_rfc4380_5_2_2():
    world = World()
    key = {"client_identifier": "laptop", "key": "secret"}
    other = IPv4Address("198.41.0.10")
    world.machine_of_server(other, clients=[key], require_authentication=True)
    knows = world.client(servers=[str(other)], **key)
    guesses = world.client(servers=[str(other)], client_identifier="laptop", key="guess")
    without = world.client(servers=[str(other)])
    world.internet.run(3)
    assert knows.status["ready"]
    assert not guesses.status["ready"]
    assert "does not accept our client identifier or key" in guesses.status["summary"]
    assert not without.status["ready"]


def advertisement(world):
    """A server's answer as a client hears it, before the client does."""
    return next(read(one) for one in world.internet.carried if read(one).origin is not None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"authentication": Authentication(bytes(8))}, "another nonce"),
        ({"authentication": None}, "without the nonce"),
        ({"origin": None}, "without an origin indication"),
        ({"packet": bubble(IPv6Address("fe80::1"), IPv6Address("fe80::2"))}, "inner source"),
    ],
)
def test_forged_advertisement_is_discarded_rfc4380_5_2_1(change, why):
    world = World()
    client = world.client()
    world.internet.run(0.035)  # it is on its way from the core to the client
    forged = replace(advertisement(world), **change)
    (found,) = hear(client, forged, Endpoint(SERVER, SERVER_PORT))
    assert why in found
    assert not client.status["ready"]


def test_advertisement_must_come_from_the_address_that_was_asked():
    world = World()
    client = world.client()
    world.internet.run(0.035)
    found = hear(client, advertisement(world), Endpoint(SECONDARY, SERVER_PORT))
    assert found == ["advertisement from another address of the server"]
    assert hear(client, advertisement(world), STRANGER) != []
    assert not client.status["ready"]


# Maintenance


def test_refreshes_come_at_random_between_three_quarters_and_the_whole_interval_rfc4380_5_2_5():
    world = World()
    world.client(Kind.PORT_RESTRICTED)
    world.internet.run(900)
    times = [time for time, destination, _one in solicitations(world) if destination == SERVER]
    gaps = {round(after - before, 2) for before, after in pairwise(times)}
    assert len(gaps) > 20
    assert all(22.5 <= gap <= 30 for gap in gaps)


def test_mapping_that_lives_half_a_minute_is_kept():
    """miredo refreshes at every 30 s, and such a NAT has forgotten by then."""
    world = World()
    client = world.client(nat=world.nat(Kind.PORT_RESTRICTED, timeout=30.0))
    world.internet.run(1)
    before = client.address
    world.internet.run(900)
    assert client.address == before


def test_client_follows_a_nat_that_was_restarted_rfc4380_5_2_5():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.ADDRESS_RESTRICTED)
    world.internet.run(5)
    before = a.address
    assert a.ping(b.address) is not None
    a.nat.reboot()
    world.internet.run(35)
    assert a.address != before
    assert a.ping(b.address, 2) is not None
    assert b.ping(a.address, 3) is not None


def test_client_survives_that_its_server_is_away():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    before = a.address
    world.internet.detach(SERVER)
    world.internet.run(60)
    assert not a.status["ready"]
    world.internet.attach(SERVER, world.server)
    world.internet.run(120)
    assert a.address == before  # the NAT has kept it, for it was asked for again and again
    assert a.ping(b.address) is not None


def test_peers_are_kept_when_the_same_address_comes_back():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    before = a.address
    assert a.ping(b.address) is not None
    world.internet.detach(SERVER)
    while a.status["ready"]:
        world.internet.run(1)
    assert (a.status["peers"], a.peers) == (1, {})  # nothing goes without an address
    world.internet.attach(SERVER, world.server)
    while not a.status["ready"]:
        world.internet.run(1)
    assert (a.address, a.status["peers"]) == (before, 1)


def test_peers_of_another_address_are_forgotten():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    a.nat.reboot()
    world.internet.run(31)
    assert a.status["peers"] == 0


@pytest.mark.parametrize("seconds", [1.0, 100.0, 1e6])
def test_jump_of_the_clock_does_no_harm(seconds):
    """The clock counts suspension and no more, but what jumps all the same is survived."""
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.SYMMETRIC)
    world.internet.run(5)
    b_address = b.address
    world.internet.now += seconds
    world.internet.run(40)
    assert a.status["ready"]
    assert b.status["ready"]
    assert world.relay.status["ready"]
    assert (b.address == b_address) is (seconds < 180)
    assert a.ping(world.native.address) is not None
    assert b.ping(world.native.address, 2) is not None


def test_clock_that_goes_back_does_no_harm():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(100)
    assert a.ping(b.address) is not None
    for machine in (a, b):
        machine.engine.handle_timer(world.internet.now - 60)
        machine.engine.find_peer(
            echo_request(machine.address, world.native.address, 5), world.internet.now - 60
        )
        machine.pump()
    world.internet.run(120)
    assert a.ping(b.address, 2) is not None


def test_client_wakes_after_a_day_of_sleep():
    """The clock counts suspension, so everything is due at once."""
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    a.nat.reboot()
    world.internet.now += 86400
    world.internet.run(40)
    assert a.ping(b.address, 2) is not None


def test_new_network_has_the_servers_asked_at_once():
    world = World()
    client = world.client()
    world.internet.run(5)
    before = client.address
    world.internet.detach(client.addresses[0])
    client.addresses = (IPv4Address("157.60.9.9"),)
    world.internet.attach(client.addresses[0], client)
    client.tell_facts()
    world.internet.run(0.1)
    assert decode(client.address).client == IPv4Address("157.60.9.9")
    assert client.address != before


def test_host_with_two_addresses_is_known_by_the_one_that_the_server_sees():
    world = World()
    client = world.client()
    first, second = client.addresses[0], IPv4Address("157.60.9.9")
    facts = HostFacts(
        underlay=tuple(UnderlayAddress(one, "eth0") for one in (first, second)),
        underlay_mtu={"eth0": 1500},
        host_endpoints=frozenset({first, second}),
        sources={SERVER: second},
    )
    client.engine.update_facts(facts, world.internet.now)
    (sent,) = client.engine.datagrams_to_send()
    assert sent.source == second
    wanted = client.engine.wanted(world.internet.now)
    assert wanted.table.encapsulation.default_source == second
    assert wanted.endpoints == {SERVER}


# Peers


def restricted_pair():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    return world, a, b


def test_bubbles_go_as_in_figure_29_of_the_white_paper():
    world, a, b = restricted_pair()
    began = world.internet.now
    assert a.ping(b.address, within=1) == pytest.approx(0.1)
    mapped_a, mapped_b = (
        Endpoint(decode(one.address).client, decode(one.address).port) for one in (a, b)
    )
    steps = [
        (one.source, one.destination, is_bubble(read(one).packet), read(one).origin is not None)
        for one in world.internet.carried
        if one.time > began
    ]
    server = Endpoint(SERVER, SERVER_PORT)
    expected = [
        (mapped_a, mapped_b, True, False),
        (mapped_a, server, True, False),
        (server, mapped_b, True, True),
        (mapped_b, mapped_a, True, False),
        (mapped_a, mapped_b, False, False),
    ]
    assert [one for one in steps if one in expected] == expected


def test_silent_peer_gets_three_bubbles_two_seconds_apart_and_silence_then_rfc4380_5_2_6():
    world, a, b = restricted_pair()
    target, began = b.address, world.internet.now
    world.internet.detach(b.nat.address)
    a.output(echo_request(a.address, target, 1))
    world.internet.run(290)
    sent = bubbles(world, began)
    times = [round(time - began, 2) for time, to in sent if to.address == SERVER]
    assert times == [0.01, 2.01, 4.01]
    unreachable = [packet for time, packet in a.received if time > began]
    assert [icmpv6_type(packet) for packet in unreachable] == [1]
    assert Ipv6Header.parse(unreachable[0]).destination == a.address
    a.output(echo_request(a.address, target, 2))
    assert icmpv6_type(a.received[-1][1]) == 1  # at once
    world.internet.run(100)
    a.output(echo_request(a.address, target, 3))
    world.internet.run(1)
    assert len([one for one in bubbles(world, began) if one[1].address == SERVER]) == 4


def test_packets_wait_for_a_peer_in_order_and_not_without_end():
    world, a, b = restricted_pair()
    for number in range(QUEUE_LENGTH + 5):
        a.output(echo_request(a.address, b.address, number))
    world.internet.run(1)
    arrived = [packet[47] for _time, packet in b.received]
    assert arrived == list(range(5, QUEUE_LENGTH + 5))
    assert a.status["discarded"]["queue of a peer is full"] == 5


def test_peer_that_is_heard_needs_no_more_bubbles_rfc4380_5_2_4():
    world, a, b = restricted_pair()
    assert a.ping(b.address) is not None
    began = world.internet.now
    for number in range(1, 40):
        assert a.ping(b.address, number, within=number / 2) == pytest.approx(0.04)
    assert bubbles(world, began) == []


def test_plane_carries_what_goes_one_way_alone():
    world, a, b = restricted_pair()
    assert a.ping(b.address) is not None
    unanswered = echo_request(a.address, b.address, 1)[:40] + b"\x7f" + bytes(16)
    for _turn in range(15):
        a.output(unanswered)
        world.internet.run(0.1)
    assert b.address in a.peers


def test_peer_that_was_silent_for_half_a_minute_is_found_again_rfc4380_5_2_4():
    world, a, b = restricted_pair()
    assert a.ping(b.address) is not None
    world.internet.run(31)
    assert a.peers == {}
    assert b.peers == {}
    began = world.internet.now
    assert a.ping(b.address, 2) == pytest.approx(0.08)  # the NATs have not forgotten yet
    assert bubbles(world, began) != []


def test_peers_are_forgotten_after_ten_minutes():
    world, a, b = restricted_pair()
    assert a.ping(b.address) is not None
    assert a.status["peers"] == 1
    world.internet.run(700)
    assert (a.status["peers"], b.status["peers"]) == (0, 0)


def test_number_of_peers_is_bounded():
    world = World()
    client = world.client(most_peers=16)
    world.internet.run(5)
    for number in range(100):
        client.output(echo_request(client.address, IPv6Address((0x20010DB8 << 96) + number), 1))
    assert client.status["peers"] == 16


def test_made_up_peers_do_not_push_out_real_ones():
    world = World()
    a, b = world.client(Kind.PORT_RESTRICTED, most_peers=16), world.client(Kind.PORT_RESTRICTED)
    world.internet.run(5)
    assert a.ping(b.address, within=5) is not None
    for number in range(100):
        forged = TeredoDatagram(
            bubble(IPv6Address((0x20010DB8 << 96) + number), a.address),
            Origin(STRANGER.address, STRANGER.port),
        )
        hear(a, forged, Endpoint(SERVER, SERVER_PORT))
    assert b.address in a.peers


# Who is believed


def test_packet_from_elsewhere_than_its_source_says_is_discarded_rfc4380_5_2_3():
    _world, a, b = restricted_pair()
    forged = TeredoDatagram(echo_request(b.address, a.address, 1))
    assert hear(a, forged, STRANGER) == ["outer source is not the mapped address"]
    assert a.received == []
    assert a.status["peers"] == 0


def test_packet_to_another_address_is_discarded():
    _world, a, b = restricted_pair()
    other = IPv6Address(int(a.address) ^ 1)
    source = Endpoint(decode(b.address).client, decode(b.address).port)
    forged = TeredoDatagram(echo_request(b.address, other, 1))
    assert hear(a, forged, source) == ["inner source or destination on the way in"]


def test_nonce_of_a_stranger_is_not_believed_rfc6081_5_1():
    _world, a, b = restricted_pair()
    a.output(echo_request(a.address, b.address, 1))
    forged = TeredoDatagram(bubble(b.address, a.address), trailers=Trailers(nonce=12345))
    assert hear(a, forged, STRANGER) == ["outer source is not the mapped address"]


def test_native_source_is_believed_after_an_echo_reply_rfc4380_5_2_9():
    world = World()
    client = world.client(Kind.FULL_CONE)
    world.internet.run(5)
    forged = echo_request(NATIVE, client.address, 7)
    hear(client, TeredoDatagram(forged), STRANGER)
    world.internet.run(1)
    assert client.peers[NATIVE].address == RELAY  # the reply came by the relay
    assert forged not in [packet for _time, packet in client.received]
    assert client.ping(NATIVE) is not None


def test_bubbles_through_the_server_are_answered_once_a_second():
    world, a, b = restricted_pair()
    began = world.internet.now
    source = Endpoint(SERVER, SERVER_PORT)
    datagram = TeredoDatagram(bubble(b.address, a.address), Origin(b.nat.address, 9))
    for _turn in range(10):
        hear(a, datagram, source)
    world.internet.run(1)
    assert len(bubbles(world, began)) == 1


def test_bubble_with_a_link_local_source_is_answered_as_miredo_sends_it():
    world, a, _b = restricted_pair()
    began, link_local = world.internet.now, IPv6Address("fe80::2078:18b:fb8f:384d")
    datagram = TeredoDatagram(bubble(link_local, a.address), Origin(STRANGER.address, 5000))
    for _turn in range(100):
        hear(a, datagram, Endpoint(SERVER, SERVER_PORT))
    world.internet.run(1)
    assert {to for _time, to in bubbles(world, began)} == {STRANGER}
    assert len(bubbles(world, began)) == 10
    answer = next(read(one) for one in world.internet.carried if one.time > began)
    assert answer.packet == bubble(a.address, link_local)
    assert a.status["peers"] == 0


def test_bubble_to_a_private_address_is_not_sent_rfc4380_5_2_4():
    world, a, _b = restricted_pair()
    private = IPv6Address("2001:0:ce49:7601:0:efff:3f57:fefe")  # 192.168.1.1:4096
    began = world.internet.now
    a.output(echo_request(a.address, private, 1))
    world.internet.run(1)
    assert {to.address for _time, to in bubbles(world, began)} == {SERVER}


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=120), max_size=10), st.integers(0, 3))
def test_any_datagram_from_anywhere_does_no_harm(payloads, kind):
    world, a, b = restricted_pair()
    source = (Endpoint(SERVER, SERVER_PORT), STRANGER, Endpoint(SECONDARY, SERVER_PORT))[kind % 3]
    for payload in payloads:
        for whole in (payload, bubble(b.address, a.address) + payload, payload + bytes(40)):
            a.engine.receive_datagram(whole, source, a.addresses[0], world.internet.now)
            a.pump()
    assert a.ping(b.address) is not None


# RFC 6081


def test_clients_behind_one_nat_without_hairpin_reach_each_other_rfc6081_5_5():
    world = World()
    nat = world.nat(Kind.PORT_RESTRICTED)
    a, b = world.client(nat=nat), world.client(nat=nat)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    assert a.ping(b.address, 2) < 0.01  # straight through the local network
    assert b.ping(a.address, 3) < 0.01


def test_clients_behind_one_symmetric_nat_reach_each_other_too():
    world = World()
    nat = world.nat(Kind.SYMMETRIC)
    a, b = world.client(nat=nat), world.client(nat=nat)
    world.internet.run(5)
    assert a.ping(b.address) is not None
    assert b.ping(a.address, 2) < 0.01


def test_own_address_is_told_to_nobody_who_is_behind_another_nat_rfc6081_7():
    world, a, b = restricted_pair()
    assert a.ping(b.address) is not None
    told = [read(one).trailers.alternate_addresses for one in world.internet.carried]
    assert set(told) == {()}


# When it is used, and what users see


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


def succeed(machine, engine):
    """Another engine goes on where that of a machine was."""
    snapshot = json.loads(json.dumps(machine.engine.snapshot()))
    machine.engine = engine
    machine.peers.clear()
    engine.restore(snapshot, machine.internet.now)
    machine.tell_facts()


def test_successor_has_the_same_address_and_peers_at_once():
    world, a, b = restricted_pair()
    assert a.ping(b.address, within=5) is not None
    before, peers, began = a.address, dict(a.peers), world.internet.now
    spec = TeredoClientSpec.parse({"servers": [str(SERVER)]}, "teredo_client/c")
    succeed(a, TeredoClient(spec, Random(99), world.internet.now))
    assert (a.address, a.peers) == (before, peers)
    assert a.ping(b.address, 2) == pytest.approx(0.04)
    assert bubbles(world, began) == []
    assert len(solicitations(world, began)) == 1  # whether it is still so


def test_successor_notices_what_has_changed_meanwhile():
    world, a, _b = restricted_pair()
    before = a.address
    a.nat.reboot()
    spec = TeredoClientSpec.parse({"servers": [str(SERVER)]}, "teredo_client/c")
    succeed(a, TeredoClient(spec, Random(99), world.internet.now))
    world.internet.run(1)
    assert a.address != before
    other = TeredoClientSpec.parse({"servers": ["198.41.0.10"]}, "teredo_client/c")
    succeed(a, TeredoClient(other, Random(98), world.internet.now))
    assert a.engine.wanted(world.internet.now).interface.addresses == ()


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        {"flags": "x", "port": 1, "servers": {}},
        {"flags": 1, "port": 50000, "servers": 1},
        {"flags": 1, "port": 50000, "servers": {}, "qualified": {"server": ["x"]}},
        {
            "flags": 1,
            "port": 50000,
            "servers": {},
            "qualified": {"server": ["1.2.3.4", "1.2.3.5"], "mapped": [1, 2], "nat": "none"},
            "peers": [[1]],
        },
    ],
)
def test_malformed_snapshot_is_ignored(malformed):
    world = World()
    client = world.client()
    client.engine.restore(malformed, 0.0)
    world.internet.run(1)
    assert client.status["ready"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, r"servers: is required, such as \[teredo.example.com\]"),
        ({"servers": ["2001:db8::1"]}, r"servers\[0\]: 2001:db8::1 is an IPv6 address"),
        ({"servers": ["a"], "key": "x"}, "client_identifier: is required"),
        ({"servers": ["a"], "client_identifier": "x"}, "key: is required"),
        ({"servers": ["a"], "secondary_server": "nobody"}, "secondary_server: 'nobody' is not"),
        ({"servers": ["a"], "type": "server"}, "type: 'server' is not one of client,"),
    ],
)
def test_bad_specification_says_what_to_do(spec, message):
    with pytest.raises(SpecificationError, match=message):
        TeredoClientSpec.parse(spec, "teredo_client/t")

# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Teredo client finds its peers, and whom it believes (RFC 4380 section 5.2, RFC 6081)."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v6ferry.addresses.teredo import decode
from v6ferry.engines.teredo.peers import QUEUE_LENGTH
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.icmpv6 import icmpv6_type
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.teredo import (
    Origin,
    TeredoDatagram,
    Trailers,
    bubble,
    is_bubble,
)

from tests.simulation.nat import Kind
from tests.simulation.teredo import NATIVE, RELAY, SECONDARY, SERVER, World, echo_request
from tests.simulation.teredo_traffic import (
    SERVER_PORT,
    STRANGER,
    bubbles,
    hear,
    read,
    restricted_pair,
)


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

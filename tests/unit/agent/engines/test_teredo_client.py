# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo client engine: how it gets an address (RFC 4380 section 5.2.1, RFC 5991)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from v6ferry.addresses.teredo import decode
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.neighbor_discovery import RouterSolicitation
from v6ferry.wire.neighbor_discovery import decode as decode_message
from v6ferry.wire.teredo import (
    Authentication,
    bubble,
)

from tests.simulation.nat import Kind
from tests.simulation.teredo import SECONDARY, SERVER, World
from tests.simulation.teredo_traffic import (
    SERVER_PORT,
    STRANGER,
    advertisement,
    hear,
    solicitations,
)


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

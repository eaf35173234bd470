# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo server engine: RFC 4380 section 5.3."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses.teredo import TeredoAddress
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.qualification import ALL_ROUTERS, CONE_LINK_LOCAL, LINK_LOCAL
from v6ferry.engines.teredo.server import TeredoServer
from v6ferry.engines.teredo.specification import TeredoServerSpec
from v6ferry.forwarding.table import Endpoint
from v6ferry.system.state import HostFacts, UnderlayAddress
from v6ferry.wire.neighbor_discovery import (
    NeighborSolicitation,
    RouterSolicitation,
    decode,
    encode,
)
from v6ferry.wire.teredo import (
    Authentication,
    Origin,
    TeredoDatagram,
    Trailers,
    authentication_value,
    bubble,
    is_authentic,
)

from tests.simulation.teredo import NATIVE, SECONDARY, SERVER, echo_request
from tests.unit.agent.wire.test_teredo import WINDOWS_SOLICITATIONS

CLIENT = Endpoint(IPv4Address("157.60.0.1"), 4096)
OTHER = Endpoint(IPv4Address("131.107.0.1"), 8192)
STRANGER = Endpoint(IPv4Address("194.207.1.5"), 3545)
RELAY_NATIVE = IPv6Address("2001:db8:5::1")
NONCE = b"\1\2\3\4\5\6\7\x08"
FOREIGN = IPv4Address("12.155.166.101")


def address(endpoint, server=SERVER):
    return TeredoAddress(server, endpoint.address, endpoint.port).encode()


A, B = address(CLIENT), address(OTHER)


class Served:
    """A server, and what it has sent."""

    def __init__(self, **spec):
        spec = {"server_address": str(SERVER), **spec}
        self.engine = TeredoServer(TeredoServerSpec.parse(spec, "teredo_server/t"), Random(1), 0.0)
        here = (SERVER, SECONDARY)
        self.engine.update_facts(
            HostFacts(
                underlay=tuple(UnderlayAddress(one, "eth0") for one in here),
                underlay_mtu={"eth0": 1500},
                host_endpoints=frozenset(here),
            ),
            0.0,
        )
        self.now = 0.0

    def hear(self, datagram, source=CLIENT, destination=SERVER):
        """What it sends for a datagram: (payload read, endpoint, source)."""
        payload = datagram if isinstance(datagram, bytes) else datagram.build()
        self.engine.receive_datagram(payload, source, destination, self.now)
        return [
            (TeredoDatagram.parse(one.payload), one.endpoint, one.source)
            for one in self.engine.datagrams_to_send()
        ]

    def refusal(self, datagram, source=CLIENT, destination=SERVER):
        """Why it does nothing with a datagram."""
        before = dict(self.engine.status(0)["discarded"])
        assert self.hear(datagram, source, destination) == []
        assert self.engine.packets_to_deliver() == []
        after = self.engine.status(0)["discarded"]
        (why,) = [one for one in after if after[one] != before.get(one)]
        return why


def solicitation(source=LINK_LOCAL, **fields):
    packet = encode(RouterSolicitation(), source, ALL_ROUTERS)
    return TeredoDatagram(packet, authentication=Authentication(NONCE), **fields)


# Solicitations


@pytest.mark.parametrize(
    ("solicitation_of_windows", "answers_from"),
    [*zip(WINDOWS_SOLICITATIONS, (SERVER, SECONDARY), strict=True)],
    ids=["restricted", "cone"],
)
def test_solicitation_of_windows_is_answered(solicitation_of_windows, answers_from):
    ((answer, endpoint, source),) = Served().hear(solicitation_of_windows)
    assert (endpoint, source) == (CLIENT, answers_from)
    assert answer.origin == Origin(CLIENT.address, CLIENT.port)


def test_solicitation_is_answered_with_prefix_origin_and_nonce_rfc4380_5_2_1():
    ((answer, endpoint, source),) = Served().hear(solicitation())
    assert (endpoint, source) == (CLIENT, SERVER)
    assert answer.origin == Origin(CLIENT.address, CLIENT.port)
    assert answer.authentication == Authentication(NONCE)
    header, advertisement = decode(answer.packet)
    assert header.destination == LINK_LOCAL
    assert header.source in IPv6Network("fe80::/10")
    (prefix,) = advertisement.prefixes
    assert prefix.prefix == IPv6Network("2001:0:ce49:7601::/64")
    assert advertisement.mtu == 1280
    assert advertisement.router_lifetime == 0


@pytest.mark.parametrize(
    ("source", "asked", "answers"),
    [
        (LINK_LOCAL, SERVER, SERVER),
        (LINK_LOCAL, SECONDARY, SECONDARY),
        (CONE_LINK_LOCAL, SERVER, SECONDARY),
        (CONE_LINK_LOCAL, SECONDARY, SERVER),
    ],
)
def test_cone_bit_has_the_other_address_answer_rfc4380_5_2_1(source, asked, answers):
    ((_answer, _endpoint, outer),) = Served().hear(solicitation(source), CLIENT, asked)
    assert outer == answers


def test_solicitation_without_authentication_gets_no_other_s_nonce():
    """miredo's server sends whatever nonce it has seen last."""
    served = Served()
    served.hear(solicitation())
    ((answer, _endpoint, _source),) = served.hear(replace(solicitation(), authentication=None))
    assert answer.authentication is None


def test_solicitation_is_checked_as_any_rfc4861_6_1_1():
    served, packet = Served(), solicitation().packet
    wrong_checksum = packet[:42] + bytes((packet[42] ^ 1,)) + packet[43:]
    assert served.refusal(TeredoDatagram(wrong_checksum)) == "solicitation with a bad checksum"
    forwarded = packet[:7] + b"\x40" + packet[8:]
    assert served.refusal(TeredoDatagram(forwarded)) == "solicitation with a bad hop_limit"
    neighbor = encode(NeighborSolicitation(A), LINK_LOCAL, ALL_ROUTERS)
    assert served.refusal(TeredoDatagram(neighbor)) == "link-local source without a solicitation"
    elsewhere = encode(RouterSolicitation(), LINK_LOCAL, IPv6Address("fe80::1"))
    assert served.refusal(TeredoDatagram(elsewhere)) == "solicitation to others than all routers"


KEY = {"client_identifier": "laptop", "key": "secret"}


def signed(key=b"secret", identifier=b"laptop"):
    plain = solicitation()
    value = authentication_value(key, NONCE, 0, None, plain.packet)
    return replace(plain, authentication=Authentication(NONCE, 0, identifier, value))


def test_key_is_answered_with_a_key_rfc4380_5_2_2():
    ((answer, _endpoint, _source),) = Served(clients=[KEY]).hear(signed())
    assert answer.authentication.confirmation == 0
    assert answer.authentication.client_identifier == b"laptop"
    assert is_authentic(b"secret", answer)


@pytest.mark.parametrize("asked", [signed(key=b"old"), signed(identifier=b"phone")])
def test_client_with_an_unknown_key_hears_so_rfc4380_5_2_2(asked):
    ((answer, _endpoint, _source),) = Served(clients=[KEY]).hear(asked)
    assert answer.authentication == Authentication(NONCE, 1)


def test_solicitation_without_a_key_is_answered_unless_keys_are_required():
    assert len(Served(clients=[KEY]).hear(solicitation())) == 1
    served = Served(clients=[KEY], require_authentication=True)
    assert served.refusal(solicitation()) == "solicitation without a key"
    assert len(served.hear(signed())) == 1


# Section 5.3.1


@pytest.mark.parametrize(
    "outer", ["10.0.0.1", "192.168.1.1", "127.0.0.1", "224.0.0.1", "192.88.99.1", "206.73.118.1"]
)
def test_outer_source_must_be_a_global_unicast_address_rfc4380_5_3_1(outer):
    source = Endpoint(IPv4Address(outer), 4096)
    assert Served().refusal(solicitation(), source) == "outer source"


def test_outer_source_may_be_private_on_a_closed_network():
    source = Endpoint(IPv4Address("10.0.0.1"), 4096)
    assert len(Served(globally_unique=False).hear(solicitation(), source)) == 1


def test_only_bubbles_and_icmpv6_are_taken_rfc4380_5_3_1():
    served = Served()
    udp = bubble(A, B)[:6] + b"\x11" + bubble(A, B)[7:]
    assert served.refusal(TeredoDatagram(udp)) == "neither bubble nor ICMPv6"
    loaded = bubble(A, B)[:5] + b"\x08" + bubble(A, B)[6:] + bytes(8)
    assert served.refusal(TeredoDatagram(loaded)) == "neither bubble nor ICMPv6"
    assert served.refusal(b"\x60") == "bad ipv6_header"
    assert served.refusal(b"") == "bad ipv6_header"


def test_client_must_be_where_its_address_says_rfc4380_5_3_1():
    served = Served()
    assert served.refusal(TeredoDatagram(bubble(A, B)), STRANGER) == (
        "inner source is not the outer one"
    )
    other_port = Endpoint(CLIENT.address, 4097)
    assert served.refusal(TeredoDatagram(bubble(A, B)), other_port) == (
        "inner source is not the outer one"
    )


def test_client_of_another_server_may_have_another_port_here_but_no_other_address():
    """A symmetric NAT gives it one port towards its server and another one towards us."""
    served, foreign = Served(), address(CLIENT, FOREIGN)
    assert len(served.hear(TeredoDatagram(bubble(foreign, B)), Endpoint(CLIENT.address, 9))) == 1
    assert served.refusal(TeredoDatagram(bubble(foreign, B)), STRANGER) == (
        "inner source is not the outer one"
    )


def test_bubble_goes_on_with_its_origin_and_with_what_is_behind_it_rfc4380_5_3_1():
    bubble_with_trailers = TeredoDatagram(bubble(A, B), trailers=Trailers(nonce=7)).build()
    unknown = bubble_with_trailers + b"\x22\x01\xff"
    served = Served()
    served.engine.receive_datagram(unknown, CLIENT, SERVER, 0.0)
    (sent,) = served.engine.datagrams_to_send()
    assert (sent.endpoint, sent.source) == (OTHER, SERVER)
    assert sent.payload == Origin(CLIENT.address, CLIENT.port).build() + unknown


def test_bubble_with_authentication_goes_on_without_it():
    datagram = TeredoDatagram(bubble(A, B), authentication=Authentication(NONCE, 0, b"id", b"xyz"))
    ((forwarded, endpoint, _source),) = Served().hear(datagram)
    assert (forwarded.authentication, forwarded.packet, endpoint) == (None, bubble(A, B), OTHER)


def test_relay_s_bubble_goes_on_rfc4380_5_4_1():
    ((forwarded, endpoint, _source),) = Served().hear(
        TeredoDatagram(bubble(RELAY_NATIVE, B)), STRANGER
    )
    assert forwarded.origin == Origin(STRANGER.address, STRANGER.port)
    assert endpoint == OTHER


def test_bubble_with_a_link_local_source_goes_on_as_miredo_sends_it():
    link_local = IPv6Address("fe80::2078:18b:fb8f:384d")
    ((forwarded, endpoint, _source),) = Served().hear(TeredoDatagram(bubble(link_local, B)))
    assert (forwarded.origin, endpoint) == (Origin(CLIENT.address, CLIENT.port), OTHER)
    to_native = TeredoDatagram(bubble(link_local, NATIVE))
    assert Served().refusal(to_native).startswith("packet to a native host from somebody")


@pytest.mark.parametrize("source", ["::1", "ff02::1", "fd00::1", "::", "fec0::1"])
def test_source_that_is_no_global_address_is_refused(source):
    datagram = TeredoDatagram(bubble(IPv6Address(source), B))
    assert Served().refusal(datagram, STRANGER) == "inner source"


def test_client_of_another_server_is_not_served_rfc4380_5_3_1():
    datagram = TeredoDatagram(bubble(A, address(OTHER, FOREIGN)))
    assert Served().refusal(datagram) == "inner destination is a client of another server"


@pytest.mark.parametrize("mapped", ["10.0.0.1", "224.0.0.1", "127.0.0.1", "206.73.118.1"])
def test_nothing_goes_to_a_mapped_address_that_is_none_rfc4380_5_3_1(mapped):
    target = address(Endpoint(IPv4Address(mapped), 3544))
    assert Served().refusal(TeredoDatagram(bubble(A, target))) == (
        "mapped address of the inner destination"
    )


def test_origin_indication_from_others_is_refused():
    datagram = TeredoDatagram(bubble(A, B), Origin(OTHER.address, OTHER.port))
    assert Served().refusal(datagram) == "origin indication of somebody who is no server"


def test_echo_request_of_a_client_goes_on_to_a_native_host_rfc4380_5_2_9():
    served, request = Served(), echo_request(A, NATIVE, 1)
    assert served.hear(TeredoDatagram(request)) == []
    assert served.engine.packets_to_deliver() == [request]


def test_to_native_hosts_nothing_else_goes_and_for_nobody_else():
    served, request = Served(), echo_request(A, NATIVE, 1)
    no_client = "packet to a native host from somebody who is no client of ours"
    foreign = echo_request(address(CLIENT, FOREIGN), NATIVE, 1)
    assert served.refusal(TeredoDatagram(foreign)) == no_client
    native = echo_request(RELAY_NATIVE, NATIVE, 1)
    assert served.refusal(TeredoDatagram(native), STRANGER) == no_client
    reply = request[:40] + b"\x81" + request[41:]
    assert served.refusal(TeredoDatagram(reply)).startswith("ICMPv6 that is no echo request")
    assert served.refusal(TeredoDatagram(bubble(A, NATIVE))) == "inner destination"
    site = echo_request(A, IPv6Address("fd00::1"), 1)
    assert served.refusal(TeredoDatagram(site)) == "inner destination"
    long = request[:4] + b"\0\x80" + request[6:] + bytes(128 - len(request[40:]))
    assert served.refusal(TeredoDatagram(long)) == "long echo request"
    closed = Served(forwarding=False)
    assert closed.refusal(TeredoDatagram(request)) == "echo request, and forwarding is false"


# Reflection


def test_one_address_gets_no_more_than_so_much_a_second():
    served = Served(rate_limit=10)
    assert sum(len(served.hear(solicitation())) for _turn in range(100)) == 20
    assert served.engine.status(0)["discarded"] == {"rate limit": 80}
    assert len(served.hear(solicitation(), OTHER)) == 1  # others are not to suffer
    served.now = 1.0
    assert sum(len(served.hear(solicitation())) for _turn in range(100)) == 10


@given(st.binary(max_size=200), st.booleans())
def test_nothing_is_amplified_and_nothing_is_kept(tail, with_header):
    """No datagram has more than one answer, and none is longer by more than an advertisement."""
    served = Served(rate_limit=0)
    before = sorted(vars(served.engine))
    for payload in (
        (bubble(A, B) + tail if with_header else tail),
        solicitation().build() + tail,
        echo_request(A, NATIVE, 1) + tail,
    ):
        served.engine.receive_datagram(payload, CLIENT, SERVER, 0.0)
        sent = served.engine.datagrams_to_send()
        delivered = served.engine.packets_to_deliver()
        assert len(sent) + len(delivered) <= 1
        for one in sent:
            assert len(one.payload) <= len(payload) + 64
    assert sorted(vars(served.engine)) == before
    assert served.engine.next_deadline() is None
    assert served.engine.snapshot() == {}


# Specification and status


def test_status_says_which_address_is_missing():
    served = Served(secondary_address="206.73.118.77")
    assert served.engine.status(0)["summary"] == (
        "secondary_address 206.73.118.77 is no IPv4 address of this host; add it, or set another"
    )
    assert not served.engine.status(0)["ready"]
    assert Served().engine.status(0)["ready"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"server_address": None}, "server_address: is required"),
        ({"server_address": "224.0.0.1"}, "server_address: 224.0.0.1 is no address of a host"),
        ({"secondary_address": str(SERVER)}, "secondary_address: 206.73.118.1 is the server_add"),
        ({"clients": [KEY, KEY]}, "clients: two clients have the same client_identifier"),
        ({"clients": [{"key": "x"}]}, r"clients\[0\]: client_identifier: is required"),
        ({"require_authentication": True}, "require_authentication: needs clients"),
    ],
)
def test_bad_specification_says_what_to_do(spec, message):
    with pytest.raises(SpecificationError, match=message):
        TeredoServerSpec.parse({"server_address": str(SERVER), **spec}, "teredo_server/t")

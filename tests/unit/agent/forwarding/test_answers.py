# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plane answers without the engine: byte for byte what the engine would answer."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.engines.teredo.qualification import ALL_ROUTERS, CONE_LINK_LOCAL, LINK_LOCAL
from v6ferry.engines.teredo.server import TeredoServer
from v6ferry.engines.teredo.specification import TeredoServerSpec
from v6ferry.forwarding.answers import Answers
from v6ferry.forwarding.table import Endpoint
from v6ferry.forwarding.tunnel import Tunnel
from v6ferry.system.sockets import Datagram, ancillary
from v6ferry.system.state import HostFacts, UnderlayAddress
from v6ferry.wire.neighbor_discovery import RouterSolicitation, encode
from v6ferry.wire.teredo import TEREDO_PORT, Authentication, TeredoDatagram

from tests.simulation.teredo import SECONDARY, SERVER

CLIENT = Endpoint(IPv4Address("157.60.0.1"), 4096)
HERE = (SERVER, SECONDARY)


class Outer:
    """Takes what is sent; the kernel behind a real one would need a second host."""

    def __init__(self):
        self.sent = []
        self.refuses = False

    def send(self, packet, messages, address, dont_fragment):
        if self.refuses:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.sent.append((packet, messages, address, dont_fragment))


class Serving:
    """A server's engine, which has answered the usual solicitations, and a plane beside it."""

    def __init__(self, **spec):
        self.now = 0.0
        spec = TeredoServerSpec.parse({"server_address": str(SERVER), **spec}, "teredo_server/t")
        self.engine = TeredoServer(spec, Random(1), self.now)
        facts = HostFacts(
            underlay=tuple(UnderlayAddress(one, "eth0") for one in HERE),
            underlay_mtu={"eth0": 1500},
            host_endpoints=frozenset(HERE),
        )
        self.engine.update_facts(facts, self.now)
        for source in (LINK_LOCAL, CONE_LINK_LOCAL):
            for here in HERE:
                self.by_engine(solicitation(bytes(8), source), CLIENT, here)
        self.outer = Outer()
        tun = SimpleNamespace(name=spec.tunnel.interface)
        self.tunnel = Tunnel(tun, self.table(), self.outer, lambda _one: None)
        self.tunnels = {tun.name: self.tunnel}
        self.answers = Answers(self.tunnels, lambda: self.now, 1)
        self.answers.tables_changed()

    def table(self):
        return self.engine.wanted(self.now).table

    def by_engine(self, payload, client, here):
        self.engine.receive_datagram(payload, client, here, self.now)
        return [
            (one.payload, ancillary(one.source, 64, 0), (str(client.address), client.port), False)
            for one in self.engine.datagrams_to_send()
        ]

    def takes(self, payload, client=CLIENT, here=SERVER, port=TEREDO_PORT):
        datagram = Datagram(payload, client.address.packed, here.packed, client.port, 0)
        return self.answers.take(self.outer, datagram, port)


def solicitation(nonce, source=LINK_LOCAL, confirmation=0):
    packet = encode(RouterSolicitation(), source, ALL_ROUTERS)
    authentication = Authentication(nonce, confirmation)
    return TeredoDatagram(packet, authentication=authentication).build()


@given(
    nonce=st.binary(min_size=8, max_size=8),
    address=st.integers(0, 0xFFFF_FFFF).map(IPv4Address),
    port=st.integers(0, 0xFFFF),
    source=st.sampled_from([LINK_LOCAL, CONE_LINK_LOCAL]),
    here=st.sampled_from(HERE),
)
def test_answers_are_those_of_the_engine_rfc4380_5_3_2(nonce, address, port, source, here):
    serving = Serving(rate_limit=0)
    client, payload = Endpoint(address, port), solicitation(nonce, source)
    expected = serving.by_engine(payload, client, here)
    # What the engine refuses is left to it, for it says why.
    assert serving.takes(payload, client, here) is bool(expected)
    assert serving.outer.sent == expected


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        solicitation(bytes(8))[:-1],
        solicitation(bytes(8)) + b"\x22\x01\xff",
        solicitation(bytes(8), confirmation=1),
        solicitation(bytes(8))[13:],
    ],
)
def test_what_is_not_alike_is_left_to_the_engine(payload):
    serving = Serving()
    assert not serving.takes(payload)
    assert not serving.takes(solicitation(bytes(8)), port=3545)
    assert serving.outer.sent == []


def test_one_address_gets_no_more_than_the_limit():
    serving = Serving(rate_limit=10)
    assert all(serving.takes(solicitation(bytes(8))) for _attempt in range(50))
    assert len(serving.outer.sent) == 20  # two seconds' worth
    assert serving.tunnel.counters.drops["endpoint_refused"] == 30
    serving.answers.tables_changed()  # another one's, perhaps: nobody's limit begins anew
    serving.now = 1.0
    assert all(serving.takes(solicitation(bytes(8))) for _attempt in range(50))
    assert len(serving.outer.sent) == 30


def test_counts_packets_as_the_programs_do():
    serving = Serving()
    assert serving.takes(solicitation(bytes(8)))
    counters = serving.tunnel.counters
    assert (counters.packets_in, counters.packets_out) == (1, 1)
    assert (counters.bytes_in, counters.bytes_out) == (48, 96)
    assert counters.rules == {"answered": 1}
    serving.outer.refuses = True
    assert serving.takes(solicitation(bytes(8)))
    assert counters.drops["underlay_refused"] == 1


def test_answers_no_more_when_the_table_says_nothing():
    serving = Serving()
    serving.tunnel.ask(replace(serving.table(), answers=()))
    serving.answers.tables_changed()
    assert not serving.takes(solicitation(bytes(8)))
    serving.tunnels.clear()
    serving.answers.tables_changed()
    assert not serving.takes(solicitation(bytes(8)))

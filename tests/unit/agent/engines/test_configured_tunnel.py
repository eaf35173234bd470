# SPDX-License-Identifier: GPL-3.0-or-later
"""A configured tunnel in virtual time (RFC 4213)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import configured_tunnel_link_local as link_local
from v6ferry.engines.configured.specification import ConfiguredTunnelSpec, interface_of
from v6ferry.engines.configured.tunnel import ConfiguredTunnel
from v6ferry.engines.specification import SpecificationError
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.wire.icmpv6 import icmpv6_type
from v6ferry.wire.neighbor_discovery import (
    NeighborAdvertisement,
    NeighborSolicitation,
    decode,
    encode,
)

from tests.unit.agent.virtual import facts

HERE, OTHER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
THERE, ELSEWHERE = IPv4Address("10.0.3.1"), IPv4Address("10.0.4.1")
ECHO = IPv6Address("2001:db8:0:f::1")


def spec(name="branch", **options):
    return ConfiguredTunnelSpec.parse(
        {"remote": str(THERE), **options}, f"configured_tunnel/{name}"
    )


class End:
    """One end of a tunnel and its clock."""

    def __init__(self, *addresses, sources=None, **options):
        self.now = 0.0
        self.engine = ConfiguredTunnel(spec(**options), Random(1), 0.0)
        self.set_addresses(*(addresses or (HERE,)), sources=sources)
        self.sent = []

    def set_addresses(self, *addresses, sources=None):
        self.engine.update_facts(replace(facts(*addresses), sources=sources or {}), self.now)

    def run(self, seconds, answer=False):
        """Let time pass; with ``answer`` the far end answers every question at once."""
        end = self.now + seconds
        while (deadline := self.engine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.engine.handle_timer(self.now)
            for one in self.engine.packets_to_send():
                self.sent.append((self.now, one))
                if answer:
                    self.answer(one)
        self.now = end

    def answer(self, one):
        if icmpv6_type(one.packet) == 128:
            sequence = int.from_bytes(one.packet[46:48], "big")
            self.engine.echo_replied(IPv6Address(one.packet[24:40]), sequence, self.now)
            return
        header, message = decode(one.packet)
        reply = NeighborAdvertisement(message.target, solicited=True)
        packet = encode(reply, header.destination, header.source)
        self.engine.receive(packet, one.endpoint, HERE, self.now)

    @property
    def wanted(self):
        return self.engine.wanted(self.now)

    @property
    def status(self):
        return self.engine.status(self.now)

    @property
    def routes(self):
        """Prefixes of the routes beside those of the link."""
        routes = self.wanted.interface.routes
        return {str(one.prefix): one.metric for one in routes if one.metric != 256}


def test_link_local_address_is_fe80_and_the_ipv4_address_rfc4213_3_7():
    assert str(link_local(HERE)) == "fe80::a00:1"
    end = End()
    assert [str(one.address) for one in end.wanted.interface.addresses] == ["fe80::a00:1"]
    end = End(addresses=["fe80::1/64", "2001:db8::1/126"])
    addresses = {str(one.address): one.prefix_length for one in end.wanted.interface.addresses}
    assert addresses == {"fe80::1": 64, "2001:db8::1": 126}


def test_everything_goes_to_the_far_end_which_alone_is_heard_rfc4213_4():
    table = End(routes=[{"prefix": "2001:db8:7::/48"}]).wanted.table
    near, far = IPv6Address("2001:db8::1"), IPv6Address("2001:db8:7::1")
    assert decide_encapsulation(table, near, far) == Encapsulate(THERE, HERE, "far end")
    assert decide_decapsulation(table, THERE, HERE, far, near) == Accept("::/0 from the far end")
    assert isinstance(decide_decapsulation(table, ELSEWHERE, HERE, far, near), Drop)
    assert isinstance(decide_decapsulation(table, THERE, OTHER, far, near), Drop)


@pytest.mark.parametrize("source", ["::1", "::", "ff02::1", "::10.0.3.1", "::ffff:10.0.3.1"])
def test_martian_sources_are_refused_rfc4213_3_6(source):
    near = IPv6Address("2001:db8::1")
    decision = decide_decapsulation(End().wanted.table, THERE, HERE, IPv6Address(source), near)
    assert isinstance(decision, Drop)


def test_sources_are_filtered_as_the_user_says_rfc4213_3_6():
    table = End(allowed_sources=["2001:db8:7::/48"], refused_sources=["2001:db8:7:9::/64"]).wanted
    near = IPv6Address("2001:db8::1")

    def accepted(source):
        one = decide_decapsulation(table.table, THERE, HERE, IPv6Address(source), near)
        return isinstance(one, Accept)

    assert accepted("2001:db8:7::1")
    assert accepted("fe80::1")
    assert not accepted("2001:db8:7:9::1")
    assert not accepted("2001:db8:8::1")


def test_address_of_the_link_that_nobody_has_is_not_sent_back_rfc6164_5_1():
    table = End(addresses=["2001:db8:0:f::2/64"]).wanted.table
    far = IPv6Address("2001:db8:0:f::1")
    for destination, passes in (("::2", True), ("::", True), ("::3", False)):
        ours = IPv6Address(f"2001:db8:0:f{destination}")
        decision = decide_decapsulation(table, THERE, HERE, far, ours)
        assert isinstance(decision, Accept) == passes, destination


def test_local_address_is_what_the_kernel_would_send_from():
    end = End(HERE, OTHER, sources={THERE: OTHER})
    assert end.status["local"] == str(OTHER)
    end.set_addresses(HERE, OTHER)  # the route is gone for a moment
    assert end.status["local"] == str(OTHER)
    end.set_addresses(HERE)
    assert end.status["local"] == str(HERE)
    assert End(HERE, OTHER, local=str(OTHER), sources={THERE: HERE}).status["local"] == str(OTHER)
    without = End(local=str(OTHER))
    assert not without.status["ready"]
    assert without.status["summary"] == "this host has no IPv4 address 10.0.0.2"


def test_name_is_followed_and_stays_where_it_is_good():
    end = End(remote="branch.example", default_route=True)
    assert end.wanted.names == {"branch.example"}
    assert end.status["summary"] == "the far end is not known: branch.example has no IPv4 address"
    assert end.routes == {}
    end.engine.name_resolved("branch.example", (THERE, ELSEWHERE), 1.0)
    assert (end.status["remote"], end.routes) == (str(THERE), {"::/0": 1024})
    end.engine.name_resolved("branch.example", (ELSEWHERE, THERE), 2.0)
    assert end.status["remote"] == str(THERE)
    end.engine.name_resolved("branch.example", (), 3.0)
    assert end.status["remote"] == str(THERE)
    end.engine.name_resolved("branch.example", (ELSEWHERE,), 4.0)
    assert end.status["remote"] == str(ELSEWHERE)


def test_successor_knows_what_its_predecessor_knew():
    end = End(remote="branch.example", keepalive=True)
    end.engine.name_resolved("branch.example", (THERE,), 0.0)
    end.run(5, answer=True)
    successor = End.__new__(End)
    successor.now = 6.0
    successor.engine = ConfiguredTunnel(
        spec(remote="branch.example", keepalive=True), Random(2), 6.0
    )
    successor.engine.restore(end.engine.snapshot(), 6.0)
    successor.set_addresses(HERE)
    assert successor.status["ready"]
    assert successor.status["remote"] == str(THERE)
    for broken in ({}, {"name": "branch.example", "resolved": 7}, {"name": 3}):
        successor.engine.restore(broken, 7.0)


@pytest.mark.parametrize("target", [None, str(ECHO)])
def test_silence_withdraws_the_routes_until_an_answer_rfc4213_3_8(target):
    options = {"keepalive": True, "keepalive_target": target, "keepalive_interval": 10}
    end = End(default_route=True, **options)
    assert end.routes == {"::/0": 1024}
    end.run(60, answer=True)
    assert end.status["keepalive"]["state"] == "reachable"
    assert 6 <= len(end.sent) <= 8
    end.run(60)
    assert end.status["keepalive"]["state"] == "silent"
    assert end.routes == {}
    assert end.status["withdrawn_routes"] == ["::/0"]
    end.run(11, answer=True)
    assert end.routes == {"::/0": 1024}


def test_silence_can_keep_the_routes():
    end = End(default_route=True, keepalive=True, keepalive_routes="keep")
    end.run(60)
    assert (end.status["ready"], end.routes) == (False, {"::/0": 1024})


def test_far_end_is_silent_after_so_many_losses():
    end = End(keepalive=True, keepalive_losses=5, keepalive_interval=10)
    end.run(60, answer=True)
    last = end.sent[-1][0]
    end.run(200)
    silent_after = [time for time, _one in end.sent if time > last][4] - last
    assert 45 <= silent_after <= 60


def test_answer_of_another_does_not_count():
    end = End(keepalive=True, keepalive_target=str(ECHO))
    end.run(1)
    end.engine.echo_replied(IPv6Address("2001:db8::bad"), 1, 1.0)
    end.engine.echo_replied(ECHO, 7, 1.0)
    assert end.status["keepalive"]["state"] == "asking"


def solicited(end, asker, target, destination):
    packet = encode(NeighborSolicitation(target), asker, destination)
    end.engine.receive(packet, THERE, HERE, 0.0)
    return [decode(one.packet) for one in end.engine.packets_to_send()]


def test_neighbor_solicitation_is_answered_without_link_layer_option_rfc4213_3_8():
    ours, asker = link_local(HERE), link_local(THERE)
    ((header, message),) = solicited(End(forwarding=True), asker, ours, ours)
    assert (header.source, header.destination) == (ours, asker)
    assert message == NeighborAdvertisement(ours, router=True, solicited=True, override=True)
    assert solicited(End(), asker, IPv6Address("fe80::9"), ours) == []


def test_duplicate_address_detection_is_answered_to_all_nodes_rfc4861_7_2_4():
    ours = link_local(HERE)
    group = IPv6Address("ff02::1:ff00:1")
    ((header, message),) = solicited(End(), IPv6Address("::"), ours, group)
    assert str(header.destination) == "ff02::1"
    assert not message.solicited


def test_far_end_that_is_not_allowed_is_not_spoken_to():
    end = End(allowed_endpoints=["192.0.2.0/24"])
    assert end.status["summary"] == "10.0.3.1 is not among allowed_endpoints"
    decision = decide_encapsulation(end.wanted.table, link_local(HERE), link_local(THERE))
    assert isinstance(decision, Drop)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True))
def test_interface_name_is_always_valid(name):
    interface = interface_of(name)
    assert 4 <= len(interface) <= 15
    assert interface.startswith("ct-")


def test_interface_names_of_a_thousand_tunnels_differ():
    names = [f"customer-edge-{number:04}" for number in range(1000)] + ["a", "b", "branch7"]
    assert len({interface_of(name) for name in names}) == len(names)
    assert interface_of("branch7") == "ct-branch7"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"remote": None}, "remote: is required"),
        ({"remote": "224.0.0.1"}, "remote: 224.0.0.1 is not a unicast address, use that of"),
        ({"remote": "2001:db8::1"}, "remote: 2001:db8::1 is an IPv6 address, use an IPv4"),
        ({"local": str(THERE)}, "remote: 10.0.3.1 is the local address, too"),
        ({"local": "10.0.0.1", "underlay_interfaces": ["eth0"]}, "local: is the one address"),
        ({"addresses": ["2001:db8::1"]}, r"addresses\[0\]: 2001:db8::1 has no prefix length"),
        ({"addresses": ["fe80::1/64", "fe80::2/64"]}, "addresses: fe80::2/64 is a second"),
        ({"addresses": ["fe80::1/10"]}, "has the prefix length 64"),
        ({"addresses": ["::1/128"]}, r"addresses\[0\]: ::1 cannot be that of a host"),
        ({"routes": [{"prefix": "2001:db8::1/48"}]}, "has host bits set"),
        ({"routes": [{}]}, r"routes\[0\]: prefix: is required"),
        ({"default_route": True, "routes": [{"prefix": "default"}]}, "::/0 is there twice"),
        ({"routes": [{"prefix": "ff02::/16"}]}, "is not routed"),
        ({"keepalive_interval": 0}, "keepalive_interval: 0 is out of range, use 1 to 3600"),
        ({"keepalive_target": "ff02::1"}, "keepalive_target: ff02::1 cannot be that of a host"),
        ({"remot": "10.0.3.1"}, "unknown option remot; did you mean remote?"),
    ],
)
def test_bad_input_is_one_clear_error(options, message):
    with pytest.raises(SpecificationError, match=message) as raised:
        spec(**options)
    assert str(raised.value).startswith("configured_tunnel/branch: ")


@given(st.binary(max_size=120))
def test_no_packet_raises(packet):
    end = End(keepalive=True)
    end.engine.receive(packet, THERE, HERE, 0.0)
    assert end.wanted.interface.routes[0].prefix == IPv6Network("fe80::/64")

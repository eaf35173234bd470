# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 router in virtual time."""

from __future__ import annotations

import math
from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from v6ferry.engines.sixtofour.router import SixToFourRouter
from v6ferry.engines.sixtofour.router_specification import SixToFourRouterSpec
from v6ferry.engines.specification import SpecificationError
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import (
    Accept,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.system.state import HostFacts, LinkFacts, UnderlayAddress
from v6ferry.wire.neighbor_discovery import decode

PUBLIC, OTHER, PRIVATE = (
    IPv4Address(one) for one in ("131.107.23.89", "131.107.23.90", "192.168.0.1")
)
PEER, RELAY = IPv4Address("157.60.0.1"), IPv4Address("192.88.99.1")
SUBNET = "2002:836b:1759:5::"
PEER_HOST = IPv6Address("2002:9d3c:1:1::9")
NATIVE = IPv6Address("2001:db8::1")
BASE = {"private_interfaces": [{"interface": "lan0"}], "relay": "192.88.99.1"}


def spec(**options):
    return SixToFourRouterSpec.parse({**BASE, **options}, "sixtofour_router/test")


def facts(*public, index=5, **links):
    addresses = [UnderlayAddress(one, "eth0") for one in public]
    addresses.append(UnderlayAddress(PRIVATE, "lan0"))
    return HostFacts(
        underlay=tuple(addresses),
        underlay_mtu={"eth0": 1500},
        host_endpoints=frozenset({*public, PRIVATE}),
        links={"lan0": LinkFacts(index, IPv6Address("fe80::1")), **links},
    )


class Router:
    def __init__(self, *public, **options):
        self.now = 0.0
        self.engine = SixToFourRouter(spec(**options), Random(1), 0.0)
        self.sent = []
        self.see(facts(*(public or (PUBLIC,))))

    def see(self, known):
        self.engine.update_facts(known, self.now)
        self.settle()

    def settle(self):
        self.engine.handle_timer(self.now)
        for one in self.engine.link_packets_to_send():
            self.sent.append((one.interface, decode(one.packet)[1]))
        self.wanted = self.engine.wanted(self.now)

    def run(self, seconds):
        end = self.now + seconds
        while (deadline := self.engine.next_deadline() or math.inf) <= end:
            self.now = max(self.now, deadline)
            self.settle()
        self.now = end

    def prefixes(self, interface="lan0"):
        """Preferred lifetimes by prefix, of the last advertisement."""
        last = [message for name, message in self.sent if name == interface][-1]
        return {str(one.prefix): one.preferred_lifetime for one in last.prefixes}

    def own(self):
        return {str(one.address) for link in self.wanted.links for one in link.addresses}

    def out(self, source, destination):
        table = self.wanted.table
        return decide_encapsulation(table, IPv6Address(source), IPv6Address(destination))

    def into(self, outer, source, destination):
        return decide_decapsulation(
            self.wanted.table, outer, PUBLIC, IPv6Address(source), IPv6Address(destination)
        )


def test_the_white_paper_s_example():
    """131.107.23.89 and interface index 5."""
    router = Router()
    assert router.prefixes() == {"2002:836b:1759:5::/64": 2700}
    assert router.own() == {"2002:836b:1759:5::1"}
    assert router.sent[0][1].router_lifetime == 1800
    routes = {str(one.prefix): str(one.gateway) for one in router.wanted.interface.routes}
    assert routes == {"2002::/16": "None", "::/0": "2002:c058:6301::c058:6301"}
    (address,) = router.wanted.interface.addresses
    assert str(address.address) == "2002:836b:1759::836b:1759"
    assert router.wanted.interface.forwarding
    assert router.engine.status(0.0)["ready"]


def test_a_subnet_id_and_an_identifier_of_one_s_own():
    private = [{"interface": "lan0", "subnet_id": 255, "identifier": "::a:b"}]
    router = Router(private_interfaces=private)
    assert router.prefixes() == {"2002:836b:1759:ff::/64": 2700}
    assert router.own() == {"2002:836b:1759:ff::a:b"}


def test_every_public_address_makes_a_prefix_on_every_private_interface():
    private = [{"interface": "lan0"}, {"interface": "lan1"}]
    router = Router(private_interfaces=private)
    router.see(facts(PUBLIC, OTHER, lan1=LinkFacts(7, IPv6Address("fe80::2"))))
    router.run(1)
    assert router.prefixes("lan0").keys() == {"2002:836b:1759:5::/64", "2002:836b:175a:5::/64"}
    assert router.prefixes("lan1").keys() == {"2002:836b:1759:7::/64", "2002:836b:175a:7::/64"}
    for site, ours in (("2002:836b:1759:5::9", PUBLIC), ("2002:836b:175a:5::9", OTHER)):
        assert router.out(site, PEER_HOST).source == ours


def test_only_globally_unique_addresses_make_a_prefix_rfc3056_2():
    router = Router(IPv4Address("10.0.0.1"))
    assert router.wanted.interface.addresses == ()
    assert router.sent == []
    status = router.engine.status(0.0)
    assert not status["ready"]
    assert "set globally_unique to false" in status["summary"]


def test_others_do_in_a_closed_network():
    router = Router(IPv4Address("10.0.0.1"), globally_unique=False)
    assert router.prefixes() == {"2002:a00:1:5::/64": 2700}
    decision = router.out("2002:a00:1:5::9", "2002:a00:2:5::9")
    assert isinstance(decision, Encapsulate)


def test_another_public_address_is_another_prefix_at_once():
    router = Router()
    router.run(100)
    router.see(facts(OTHER))
    assert router.prefixes() == {"2002:836b:175a:5::/64": 2700, "2002:836b:1759:5::/64": 0}
    assert router.own() == {"2002:836b:175a:5::1", "2002:836b:1759:5::1"}


def test_no_public_address_is_no_default_router_rfc7084_g4():
    router = Router()
    router.run(100)
    router.see(facts())
    assert router.sent[-1][1].router_lifetime == 0
    assert router.prefixes() == {"2002:836b:1759:5::/64": 0}


def test_a_relay_by_name():
    router = Router(relay="relay.example.com", relay_refresh_interval=600)
    assert router.wanted.names == {"relay.example.com"}
    assert router.wanted.name_refresh_interval == 600
    assert not router.engine.status(0.0)["ready"]
    router.engine.name_resolved("relay.example.com", (PUBLIC, PEER), 0.0)
    router.settle()
    assert router.out(f"{SUBNET}9", NATIVE).endpoint == PEER
    router.engine.name_resolved("relay.example.com", (), 1.0)
    router.settle()
    assert router.out(f"{SUBNET}9", NATIVE).endpoint == PEER
    assert router.engine.status(1.0)["ready"]


def test_without_a_relay_only_6to4_sites_are_reached():
    router = Router(relay=None)
    assert router.out(f"{SUBNET}9", PEER_HOST).endpoint == PEER
    assert router.out(f"{SUBNET}9", NATIVE).reason == DropReason.NO_RULE
    assert router.into(PEER, NATIVE, f"{SUBNET}9").reason == DropReason.SOURCE_MISMATCH


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("2002:a00:1:5::9", PEER_HOST, DropReason.INNER_SOURCE),
        ("2001:db8::9", PEER_HOST, DropReason.INNER_SOURCE),
        (f"{SUBNET}9", "2002:a00:1::1", DropReason.ENDPOINT_REFUSED),
        (f"{SUBNET}9", "2002:7f00:1::1", DropReason.ENDPOINT_NOT_UNICAST),
        (f"{SUBNET}9", "2002:e000:1::1", DropReason.ENDPOINT_NOT_UNICAST),
        (f"{SUBNET}9", "2002:836b:1759:9::1", DropReason.LOOP_ENDPOINT),
    ],
)
def test_what_must_not_leave_rfc3964_5(source, destination, reason):
    assert Router().out(source, destination).reason == reason


@pytest.mark.parametrize(
    ("outer", "source", "destination", "reason"),
    [
        (PEER, "2002:9d3c:2::1", f"{SUBNET}9", DropReason.SOURCE_MISMATCH),
        (PEER, "fe80::1", f"{SUBNET}9", DropReason.SOURCE_MISMATCH),
        (PEER, "ff02::1", f"{SUBNET}9", DropReason.INNER_SOURCE),
        (PEER, "::ffff:1.2.3.4", f"{SUBNET}9", DropReason.INNER_SOURCE),
        (PEER, PEER_HOST, "2001:db8::9", DropReason.INNER_DESTINATION),
        (PEER, PEER_HOST, "2002:836b:175a:5::9", DropReason.INNER_DESTINATION),
        (PUBLIC, f"{SUBNET}8", f"{SUBNET}9", DropReason.OUTER_SOURCE_IS_OURS),
        (IPv4Address("10.0.0.9"), "2002:a00:9::1", f"{SUBNET}9", DropReason.ENDPOINT_REFUSED),
    ],
)
def test_what_must_not_come_in_rfc3964_5(outer, source, destination, reason):
    assert Router().into(outer, source, destination).reason == reason


@pytest.mark.parametrize(("outer", "source"), [(PEER, PEER_HOST), (PEER, NATIVE), (RELAY, NATIVE)])
def test_what_may_come_in_rfc3056_5_2(outer, source):
    """RFC 3056 section 5.2: native packets come from whatever relay is nearest to their sender."""
    assert isinstance(Router().into(outer, source, f"{SUBNET}9"), Accept)


def test_an_index_that_is_another_s_subnet_is_told():
    private = [{"interface": "lan0"}, {"interface": "lan1", "subnet_id": 5}]
    router = Router(private_interfaces=private)
    assert "lan0: its index 5 cannot be its subnet" in str(router.engine.status(0.0)["problems"])


def test_a_missing_private_interface_is_told_and_served_when_it_comes():
    router = Router()
    known = facts(PUBLIC)
    router.see(HostFacts(known.underlay, known.underlay_mtu, links={}))
    assert router.engine.status(0.0)["summary"] == "lan0: there is no such interface"
    router.run(10)
    router.see(known)
    assert router.prefixes() == {"2002:836b:1759:5::/64": 2700}


def test_a_successor_deprecates_the_prefix_of_an_address_that_is_gone():
    router = Router()
    router.run(100)
    heir = SixToFourRouter(spec(), Random(2), 100.0)
    heir.restore(router.engine.snapshot(), 100.0)
    router.engine, router.now = heir, 100.0
    router.see(facts(OTHER))
    assert router.prefixes() == {"2002:836b:175a:5::/64": 2700, "2002:836b:1759:5::/64": 0}


@pytest.mark.parametrize("snapshot", [{}, {"relay": 1}, {"relay": ["x"]}, {"relay": [], "lan": 1}])
def test_a_broken_snapshot_is_ignored(snapshot):
    router = Router()
    router.engine.restore(snapshot, 0.0)
    assert router.engine.status(0.0)["discarded"] == {"snapshot: malformed": 1}


def test_removal_takes_leave_rfc4861_6_2_5():
    router = Router()
    router.run(100)
    router.engine.begin_withdrawal(router.now)
    router.run(2)
    assert router.engine.withdrawn()
    assert router.sent[-1][1].router_lifetime == 0
    assert router.prefixes() == {"2002:836b:1759:5::/64": 0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"relay": "2001:db8::1"}, "relay: 2001:db8::1 is an IPv6 address"),
        ({"private_interfaces": [{}]}, "private_interfaces[0]: interface: is required"),
        (
            {"private_interfaces": [{"interface": "lan0"}, {"interface": "lan0"}]},
            "private_interfaces[1]: lan0 is there twice",
        ),
        (
            {"private_interfaces": [{"interface": one, "subnet_id": 2} for one in ("a", "b")]},
            "private_interfaces[1]: a has subnet_id 2 already",
        ),
        (
            {"private_interfaces": [{"interface": "eth0"}], "underlay_interfaces": ["eth0"]},
            "eth0 is on the public side",
        ),
        (
            {"private_interfaces": [{"interface": "lan0", "identifier": "2001:db8::1"}]},
            "is no interface identifier",
        ),
        ({"preferred_lifetime": 9000}, "9000 is longer than valid_lifetime, 5400"),
        ({"router_lifetime": 9, "advertisement_interval": 10}, "is shorter than"),
        ({"relais": "x"}, "unknown option relais; did you mean relay?"),
    ],
)
def test_a_mistake_is_one_clear_line(options, said):
    with pytest.raises(SpecificationError) as raised:
        spec(**options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)

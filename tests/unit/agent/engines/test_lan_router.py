# SPDX-License-Identifier: GPL-3.0-or-later
"""A router's private interfaces in virtual time."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.engines.lan.advertised import AdvertisedLink
from v6ferry.engines.lan.router import LanRouter
from v6ferry.system.state import HostFacts, LinkFacts
from v6ferry.wire.neighbor_discovery import (
    PrefixInformation,
    RouteInformation,
    RouterSolicitation,
    decode,
    encode,
)

ROUTER, HOST = IPv6Address("fe80::1"), IPv6Address("fe80::a")
ALL_NODES, ALL_ROUTERS = IPv6Address("ff02::1"), IPv6Address("ff02::2")
OLD, NEW = IPv6Network("2002:836b:1759:5::/64"), IPv6Network("2002:836b:175a:5::/64")
UP = LinkFacts(5, ROUTER)


def prefix(network, valid=5400, preferred=2700):
    return PrefixInformation(network, valid_lifetime=valid, preferred_lifetime=preferred)


def wish(*networks, interface="lan0", **fields):
    return AdvertisedLink(interface, tuple(prefix(one) for one in networks), **fields)


class Lan:
    """A LanRouter with a clock, and everything that it has sent."""

    def __init__(self, *wishes, links=None, now=1000.0, seed=1):
        self.now = now
        self.router = LanRouter(Random(seed))
        self.sent = []
        self.facts(**(links or {"lan0": UP}))
        self.want(*wishes)

    def facts(self, **links):
        self.router.update_facts(HostFacts(links=links), self.now)
        self.settle()

    def want(self, *wishes):
        self.router.want(wishes, self.now)
        self.settle()

    def settle(self):
        while self.router.next_deadline() <= self.now:
            self.router.handle_timer(self.now)
            if not self.collect():
                break
        self.collect()

    def collect(self):
        packets = self.router.packets_to_send()
        for one in packets:
            header, message = decode(one.packet)
            assert header.source == ROUTER
            assert header.destination == one.destination
            self.sent.append((self.now, one.interface, one.destination, message))
        return packets

    def run(self, seconds):
        end = self.now + seconds
        while (deadline := self.router.next_deadline()) <= end:
            self.now = max(self.now, deadline)
            self.router.handle_timer(self.now)
            self.collect()
        self.now = end

    def solicit(self, source=HOST, interface="lan0"):
        packet = encode(RouterSolicitation(), source, ALL_ROUTERS)
        self.router.receive(interface, packet, self.now)
        self.settle()

    def messages(self, destination=ALL_NODES, interface="lan0"):
        return [m for _t, i, d, m in self.sent if (i, d) == (interface, destination)]

    def times(self, destination=ALL_NODES):
        return [t for t, _i, d, _m in self.sent if d == destination]

    def addresses(self, interface="lan0"):
        return {
            str(one.address): one
            for state in self.router.states()
            if state.interface == interface
            for one in state.addresses
        }


def successor(lan, *wishes):
    """One that takes over from ``lan``, as an engine does it."""
    heir = Lan(links={"lan0": LinkFacts(5, None)}, now=lan.now)
    heir.router.restore(lan.router.snapshot(), heir.now)
    heir.router.update_facts(HostFacts(links={"lan0": UP}), heir.now)
    heir.want(*wishes)
    return heir


def lifetimes(message):
    """(preferred, valid) by prefix."""
    return {one.prefix: (one.preferred_lifetime, one.valid_lifetime) for one in message.prefixes}


def test_first_advertisement_comes_at_once_and_two_more_soon_rfc4861_6_2_4():
    lan = Lan(wish(OLD))
    lan.run(20)
    first, second, third = lan.times()
    assert first == 1000
    assert second - first == 3
    assert third - second <= 16


def test_further_ones_come_at_random_between_minimum_and_maximum_rfc4861_6_2_4():
    lan = Lan(wish(OLD, maximum_interval=60))
    lan.run(4000)
    times = lan.times()[3:]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(0.33 * 60 <= gap <= 60 for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 10


def test_an_advertisement_says_what_is_wanted_rfc4861_6_2_3():
    servers = (IPv6Address("2001:db8::53"),)
    route = RouteInformation(IPv6Network("2001:db8:9::/48"))
    lan = Lan(wish(OLD, mtu=1480, routes=(route,), dns_servers=servers, dns_search=("corp.test",)))
    (message,) = lan.messages()
    assert lifetimes(message) == {OLD: (2700, 5400)}
    assert (message.router_lifetime, message.mtu, message.current_hop_limit) == (1800, 1480, 64)
    assert message.routes == (route,)
    assert message.dns_servers[0].servers == servers
    assert message.dns_search[0].domains == ("corp.test",)


def test_the_router_has_an_address_in_each_prefix():
    assert set(Lan(wish(OLD, identifier=0xA)).addresses()) == {"2002:836b:1759:5::a"}
    assert Lan(wish(OLD, identifier=None)).addresses() == {}


def test_a_solicitation_is_answered_within_half_a_second_rfc4861_6_2_6():
    lan = Lan(wish(OLD))
    lan.run(30)
    asked = lan.now
    lan.solicit()
    lan.run(1)
    (answered,) = lan.times(HOST)
    assert asked <= answered <= asked + 0.5


def test_who_has_no_address_yet_is_answered_by_multicast_three_seconds_apart_rfc4861_6_2_6():
    lan = Lan(wish(OLD))
    lan.run(100)
    before = len(lan.times())
    for _solicitation in range(50):
        lan.solicit(IPv6Address("::"))
        lan.run(0.2)
    times = lan.times()[before - 1 :]
    assert len(times) >= 4
    assert all(later - earlier >= 3 for earlier, later in pairwise(times))


def test_a_crowd_of_hosts_is_answered_by_one_multicast():
    lan = Lan(wish(OLD))
    lan.run(100)
    before = len(lan.times())
    for number in range(2, 500):
        lan.solicit(IPv6Address("fe80::") + number)
    lan.run(1)
    assert len(lan.sent) - before <= 66
    assert len(lan.times()) == before + 1


def test_a_solicitation_that_a_router_forwarded_is_not_answered_rfc4861_6_1_1():
    lan = Lan(wish(OLD))
    lan.run(30)
    packet = bytearray(encode(RouterSolicitation(), HOST, ALL_ROUTERS))
    packet[7] = 254
    lan.router.receive("lan0", bytes(packet), lan.now)
    lan.run(1)
    assert lan.times(HOST) == []
    assert lan.router.status(lan.now)["lan0"]["discarded"] == {"malformed: hop_limit": 1}


@given(st.binary(max_size=200))
def test_no_packet_is_fatal(data):
    lan = Lan(wish(OLD))
    lan.router.receive("lan0", data, lan.now)


def test_an_old_prefix_is_deprecated_at_once_and_the_new_one_preferred_rfc4861_6_2_7():
    lan = Lan(wish(OLD))
    lan.run(100)
    changed = lan.now
    lan.want(wish(NEW))
    assert lan.times()[-1] == changed
    assert lifetimes(lan.messages()[-1]) == {NEW: (2700, 5400), OLD: (0, 5400)}


def test_news_do_not_wait_three_seconds_but_come_half_a_second_apart():
    lan = Lan(wish(OLD))
    start = lan.now
    for step in range(20):
        lan.want(wish(NEW if step % 2 == 0 else OLD))
        lan.run(0.1)
    assert lan.times()[1] == pytest.approx(start + 0.5)
    assert len(lan.times()) <= 6


def test_a_withdrawn_prefix_counts_down_in_real_time_and_ends_rfc4862_5_5_3_e():
    lan = Lan(wish(OLD))
    lan.want(wish(NEW))
    lan.run(3000)
    assert lifetimes(lan.messages()[-1])[OLD] == (0, pytest.approx(2400, abs=600))
    old = lan.addresses()["2002:836b:1759:5::1"]
    assert (old.preferred_until, old.valid_until) == (0, 6400)
    lan.run(3000)
    assert OLD not in lifetimes(lan.messages()[-1])
    assert set(lan.addresses()) == {"2002:836b:175a:5::1"}


def test_hosts_grant_a_withdrawn_prefix_two_hours_and_get_no_more_rfc4862_5_5_3_e():
    lan = Lan(AdvertisedLink("lan0", (prefix(OLD, 2_592_000, 604_800),)))
    lan.run(100)
    lan.want(wish(NEW))
    assert lifetimes(lan.messages()[-1])[OLD] == (0, 7200)


def test_a_prefix_that_comes_back_is_preferred_again():
    lan = Lan(wish(OLD))
    lan.want(wish(NEW))
    lan.run(1)
    lan.want(wish(OLD))
    lan.run(1)
    assert lifetimes(lan.messages()[-1]) == {OLD: (2700, 5400), NEW: (0, 5400)}


def test_leaving_withdraws_everything_thrice_rfc4861_6_2_5():
    lan = Lan(wish(OLD, dns_servers=(IPv6Address("2001:db8::53"),)))
    lan.run(100)
    lan.router.begin_withdrawal(lan.now)
    lan.settle()
    assert not lan.router.withdrawn()
    lan.run(2)
    assert lan.router.withdrawn()
    last = lan.messages()[-3:]
    assert [message.router_lifetime for message in last] == [0, 0, 0]
    assert [lifetimes(message) for message in last] == [{OLD: (0, 5400)}] * 3
    assert [message.dns_servers[0].lifetime for message in last] == [0, 0, 0]


def test_an_interface_that_is_no_longer_wanted_is_left_and_the_others_go_on():
    lan = Lan(wish(OLD), wish(NEW, interface="lan1"), links={"lan0": UP, "lan1": UP})
    lan.run(100)
    lan.want(wish(OLD))
    lan.run(2)
    assert [m.router_lifetime for m in lan.messages(interface="lan1")[-3:]] == [0, 0, 0]
    assert lan.addresses("lan1") == {}
    assert lan.messages()[-1].router_lifetime == 1800
    assert lan.router.next_deadline() > lan.now


def test_nothing_is_sent_before_the_link_local_address_is_there_and_at_once_then():
    """RFC 4861 section 6.1.2: an advertisement comes from a link-local address."""
    lan = Lan(wish(OLD), links={"lan0": LinkFacts(5, None)})
    lan.run(50)
    assert lan.sent == []
    assert "no IPv6 link-local address" in lan.router.problems()[0]
    lan.facts(lan0=UP)
    assert lan.times() == [lan.now]
    assert lan.router.problems() == []


def test_a_carrier_that_returns_brings_an_advertisement_rfc4861_6_2_4():
    lan = Lan(wish(OLD))
    lan.run(100)
    lan.facts(lan0=LinkFacts(5, ROUTER, is_up=False))
    lan.run(1000)
    before = len(lan.sent)
    lan.facts(lan0=UP)
    assert len(lan.sent) == before + 1


def test_who_only_wants_addresses_says_nothing():
    lan = Lan(wish(OLD, advertise=False))
    lan.run(1000)
    lan.solicit()
    lan.run(1)
    assert lan.sent == []
    assert set(lan.addresses()) == {"2002:836b:1759:5::1"}
    assert not lan.router.states()[0].solicited


def test_an_interface_without_anything_to_say_is_silent_rfc9096_3():
    lan = Lan(wish(router_lifetime=0))
    lan.run(1000)
    lan.solicit()
    lan.run(1)
    assert lan.sent == []


def test_a_default_router_that_ceases_to_be_one_says_so():
    lan = Lan(wish(OLD))
    lan.run(100)
    lan.want(wish(router_lifetime=0))
    assert lan.messages()[-1].router_lifetime == 0
    assert lifetimes(lan.messages()[-1]) == {OLD: (0, 5400)}


def test_a_successor_deprecates_what_has_changed_while_nobody_was_there():
    lan = Lan(wish(OLD))
    lan.run(100)
    heir = successor(lan, wish(NEW))
    assert lifetimes(heir.messages()[-1]) == {NEW: (2700, 5400), OLD: (0, 5400)}
    assert set(heir.addresses()) == {"2002:836b:175a:5::1", "2002:836b:1759:5::1"}


def test_a_successor_goes_on_with_what_was_ending():
    lan = Lan(wish(OLD))
    lan.want(wish(NEW))
    lan.run(1000)
    heir = successor(lan, wish(NEW))
    assert lifetimes(heir.messages()[-1]) == {NEW: (2700, 5400), OLD: (0, 4400)}


@pytest.mark.parametrize("snapshot", [None, [], {"lan0": None}, {"lan0": {"prefixes": [[1]]}}])
def test_what_is_no_snapshot_is_told_apart(snapshot):
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        Lan().router.restore(snapshot, 0.0)

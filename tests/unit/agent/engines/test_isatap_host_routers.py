# SPDX-License-Identifier: GPL-3.0-or-later
"""How an ISATAP host talks to its routers: solicitations, advertisements, reachability."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from v6ferry.addresses.isatap import isatap_link_local
from v6ferry.wire.neighbor_discovery import (
    DnsSearchList,
    PrefixInformation,
    RecursiveDnsServer,
    Redirect,
    RouteInformation,
    RouterPreference,
)

from tests.unit.agent.virtual import (
    DEFAULT,
    HOST_A,
    HOST_B,
    PREFIX,
    PREFIX2,
    ROUTER,
    ROUTER2,
    NeighborAdvertisement,
    NeighborSolicitation,
    Node,
    RouterSolicitation,
    advertisement,
)

ADDRESS_A = "2001:db8:0:7:0:5efe:c0a8:2f63"
LINK_LOCAL, LINK_LOCAL2 = str(isatap_link_local(ROUTER)), str(isatap_link_local(ROUTER2))
STRANGER = IPv4Address("10.9.9.9")


def two_routers(**spec):
    """A host whose two routers have advertised."""
    host = Node.host(routers=[str(ROUTER), str(ROUTER2)], **spec)
    host.run(1)
    host.hear(advertisement(PREFIX))
    host.hear(advertisement(PREFIX2), ROUTER2)
    return host


# Solicitations


def test_first_solicitation_comes_within_a_second_rfc4861_6_3_7():
    """RFC 4861 section 6.3.7: a random delay up to MAX_RTR_SOLICITATION_DELAY."""
    delays = set()
    for seed in range(20):
        host = Node.host(seed=seed)
        host.run(1.0)
        (delay,) = host.times(RouterSolicitation)
        delays.add(round(delay, 6))
    assert all(0 <= delay <= 1 for delay in delays)
    assert len(delays) > 15


def test_solicitations_are_four_seconds_apart_three_times_then_back_off_rfc4861_6_3_7():
    """RFC 4861 section 6.3.7, then RFC 7559 section 2 up to MinRouterSolicitInterval."""
    host = Node.host()
    host.run(1500)
    times = host.times(RouterSolicitation)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, expected in zip(gaps, [4, 4, 4, 8, 16, 32, 64, 120, 120, 120, 120], strict=False):
        assert gap == pytest.approx(expected, rel=0.051)


def test_solicitation_is_unicast_to_the_router_rfc5214_8_3_1():
    """RFC 5214 section 8.3.1: to each router of the list, with an ISATAP link-local source."""
    host = Node.host(routers=[str(ROUTER), str(ROUTER2)])
    host.run(1.0)
    assert {endpoint for _time, endpoint, _message in host.sent} == {ROUTER, ROUTER2}


def test_answered_solicitation_is_not_repeated_before_half_the_lifetime_rfc5214_8_3_4():
    """RFC 5214 section 8.3.4: the next one well before the least lifetime ends."""
    host = Node.host()
    host.run(1)
    host.hear(advertisement(PREFIX, router_lifetime=1800))
    host.sent.clear()
    host.run(899)
    assert host.times(RouterSolicitation) == []
    host.run(2)
    assert len(host.times(RouterSolicitation)) == 1


def test_short_lifetimes_do_not_hurry_below_the_minimum_rfc5214_8_3_4():
    """RFC 5214 section 8.3.4: MinRouterSolicitInterval holds whatever a router advertises."""
    host = Node.host()
    host.run(1)
    host.hear(advertisement(PrefixInformation(PREFIX, valid_lifetime=1, preferred_lifetime=1)))
    host.sent.clear()
    host.run(119)
    assert host.times(RouterSolicitation) == []


def test_router_that_said_goodbye_is_asked_again_after_the_minimum_rfc5214_8_3_4():
    """RFC 5214 section 8.3.4: it may be back long before the lifetimes it left have ended."""
    host = Node.host()
    host.run(1)
    host.hear(advertisement(PREFIX))
    goodbye = PrefixInformation(PREFIX, valid_lifetime=7200, preferred_lifetime=0)
    host.hear(advertisement(goodbye, router_lifetime=0))
    host.sent.clear()
    host.run(121)
    assert len(host.times(RouterSolicitation)) == 1


def test_no_solicitation_without_an_ipv4_address():
    host = Node.host()
    host.set_addresses()
    host.sent.clear()
    host.run(100)
    assert host.sent == []


# Advertisements


def test_advertisement_from_outside_the_router_list_is_ignored_rfc5214_8_3_3():
    """RFC 5214 section 8.3.3: only members of the potential router list count."""
    host = Node.host()
    host.hear(advertisement(PREFIX), STRANGER)
    assert host.addresses == {"fe80::5efe:c0a8:2f63"}
    assert sum(host.status["discarded"].values()) == 1


def test_advertisement_with_another_router_s_source_is_ignored():
    """A router of the list must not speak for another one (Linux sit lets it)."""
    host = Node.host(routers=[str(ROUTER), str(ROUTER2)])
    host.hear(advertisement(PREFIX), ROUTER, source=isatap_link_local(ROUTER2))
    assert "::/0" not in host.gateways


@pytest.mark.parametrize("source", ["fe80::5efe:10.0.0.1", "fe80::200:5efe:10.0.0.1"])
def test_router_may_use_either_form_of_its_link_local_address_rfc5214_6_1(source):
    """RFC 5214 section 6.1: peers differ on which addresses are globally unique."""
    host = Node.host()
    host.hear(advertisement(PREFIX), source=IPv6Address(source))
    assert host.gateways["::/0"] == str(IPv6Address(source))


def test_default_route_is_the_router_s_link_local_address_rfc4861_6_3_4():
    """RFC 4861 section 6.3.4: for as long as the router lifetime says."""
    host = Node.host()
    host.hear(advertisement(PREFIX, router_lifetime=60))
    assert host.gateways["::/0"] == LINK_LOCAL
    host.engine.handle_timer(61.0)
    host.now = 61.0
    host.settle()
    assert "::/0" not in host.gateways


def test_router_lifetime_zero_ends_the_default_route_at_once_rfc4861_6_3_4():
    """RFC 4861 section 6.3.4: addresses stay."""
    host = Node.host()
    host.hear(advertisement(PREFIX))
    host.hear(advertisement(PREFIX, router_lifetime=0))
    assert "::/0" not in host.gateways
    assert ADDRESS_A in host.addresses


def test_default_route_may_be_declined():
    host = Node.host(default_route=False)
    host.hear(advertisement(PREFIX))
    assert "::/0" not in host.gateways


def test_router_with_the_higher_preference_is_used_rfc4191_3_2():
    """RFC 4191 section 3.2; the order of the list decides among equals."""
    host = two_routers()
    assert host.gateways["::/0"] == LINK_LOCAL
    host.hear(advertisement(PREFIX2, preference=RouterPreference.HIGH), ROUTER2)
    assert host.gateways["::/0"] == LINK_LOCAL2
    host.hear(advertisement(PREFIX2, preference=RouterPreference.LOW), ROUTER2)
    assert host.gateways["::/0"] == LINK_LOCAL


def test_route_information_gives_a_route_through_its_router_rfc4191_3():
    """RFC 4191 section 3: with its own lifetime and preference; lifetime 0 takes it back."""
    host = two_routers()
    site = IPv6Network("2001:db8:100::/40")
    host.hear(
        advertisement(PREFIX2, routes=(RouteInformation(site, RouterPreference.HIGH, 60),)),
        ROUTER2,
    )
    assert host.gateways[str(site)] == LINK_LOCAL2
    host.hear(
        advertisement(PREFIX2, routes=(RouteInformation(site, RouterPreference.HIGH, 0),)), ROUTER2
    )
    assert str(site) not in host.gateways


def test_mtu_option_sets_the_mtu_up_to_what_the_underlay_carries_rfc4861_6_3_4():
    """RFC 4861 section 6.3.4: within the link's own limit; 1280 without (RFC 4213 3.2.1)."""
    host = Node.host()
    host.hear(advertisement(PREFIX))
    assert host.wanted.interface.mtu == 1280
    host.hear(advertisement(PREFIX, mtu=1400))
    assert host.wanted.interface.mtu == 1400
    host.hear(advertisement(PREFIX, mtu=9000))
    assert host.wanted.interface.mtu == 1480


def test_dns_servers_and_search_domains_are_honoured_rfc8106_5():
    """RFC 8106 sections 5.1 and 5.2; a lifetime of 0 takes them back."""
    host = Node.host()
    server = IPv6Address("2001:db8::53")

    def options(lifetime):
        return advertisement(
            PREFIX,
            dns_servers=(RecursiveDnsServer((server,), lifetime),),
            dns_search=(DnsSearchList(("corp.example",), lifetime),),
        )

    host.hear(options(600))
    assert host.wanted.dns.servers == (server,)
    assert host.wanted.dns.search == ("corp.example",)
    host.hear(options(0))
    assert host.wanted.dns.servers == ()
    declining = Node.host(rdnss=False)
    declining.hear(options(600))
    assert declining.wanted.dns.servers == ()


def test_redirect_is_ignored():
    host = two_routers()
    before = host.gateways
    host.hear(Redirect(IPv6Address(LINK_LOCAL2), IPv6Address("2001:db8:9::1")))
    assert host.gateways == before
    assert any("Redirect" in why for why in host.status["discarded"])


# Reachability


def test_router_in_use_is_probed_and_its_silence_noticed_within_ten_seconds_rfc4861_7_3():
    """RFC 4861 section 7.3: three probes a second apart, then the other router is used."""
    host = two_routers()
    host.run(60)
    host.sent.clear()
    start = host.now
    while host.gateways["::/0"] == LINK_LOCAL:
        host.use(packets=10)
        host.run(0.1)
        assert host.now - start < 10, "still the silent router"
    assert len(host.times(NeighborSolicitation, ROUTER)) == 3
    assert host.gateways["::/0"] == LINK_LOCAL2


def test_addresses_that_only_a_silent_router_advertises_are_deprecated():
    """Answers to them would come back through the dead router: new connections avoid them."""
    host = two_routers()
    for _turn in range(100):
        host.use()
        host.run(0.1)
    assert host.lifetimes(ADDRESS_A)[0] == 0
    assert host.lifetimes("2001:db8:0:8:0:5efe:c0a8:2f63")[0] > 0


def test_router_that_answers_again_is_used_again_rfc4861_7_3_3():
    """RFC 4861 section 7.3.3; it is asked at least every ten seconds meanwhile."""
    host = two_routers()
    for _turn in range(100):
        host.use()
        host.run(0.1)
    host.sent.clear()
    host.run(30)
    assert len(host.times(RouterSolicitation, ROUTER)) >= 3
    host.hear(advertisement(PREFIX))
    assert host.gateways["::/0"] == LINK_LOCAL
    assert host.lifetimes(ADDRESS_A)[0] > 0


def test_probe_that_is_answered_keeps_the_router_rfc4861_7_3_3():
    """RFC 4861 section 7.3.3: a solicited advertisement confirms reachability."""
    host = two_routers()
    for _turn in range(300):
        host.use()
        before = len(host.times(NeighborSolicitation, ROUTER))
        host.run(0.1)
        if len(host.times(NeighborSolicitation, ROUTER)) > before:
            host.hear(NeighborAdvertisement(IPv6Address(LINK_LOCAL), True, True, True))
    assert host.gateways["::/0"] == LINK_LOCAL
    assert len(host.times(NeighborSolicitation, ROUTER)) > 5


def test_unused_router_is_not_probed_rfc4861_7_3_1():
    """RFC 4861 section 7.3.1: reachability is checked only while packets are sent."""
    host = two_routers()
    host.run(600)
    assert host.times(NeighborSolicitation) == []


def test_the_only_router_stays_even_if_it_is_silent_rfc4861_6_3_6():
    """RFC 4861 section 6.3.6: a router that may be dead is better than none."""
    host = Node.host()
    host.run(1)
    host.hear(advertisement(PREFIX))
    for _turn in range(200):
        host.use()
        host.run(0.1)
    assert host.gateways["::/0"] == LINK_LOCAL
    assert host.status["routers"][0]["reachability"] == "unreachable"
    assert host.lifetimes(ADDRESS_A)[0] > 0


def test_neighbor_solicitation_for_our_address_is_answered_rfc4861_7_2_4():
    """RFC 4861 section 7.2.4: unicast, solicited, no router; back to the outer source."""
    host = Node.host()
    host.hear(advertisement(PREFIX))
    host.sent.clear()
    host.hear(NeighborSolicitation(IPv6Address(ADDRESS_A)), HOST_B)
    ((_time, endpoint, answer),) = host.sent
    assert endpoint == HOST_B
    assert answer == NeighborAdvertisement(IPv6Address(ADDRESS_A), False, True, True)
    host.sent.clear()
    host.hear(NeighborSolicitation(IPv6Address("2001:db8::1")), HOST_B)
    assert host.sent == []


# Succession


def test_snapshot_carries_everything_over_a_restart():
    host = two_routers()
    host.hear(advertisement(PREFIX, router_lifetime=600))
    host.run(100)
    heir = Node.host(now=host.now, routers=[str(ROUTER), str(ROUTER2)])
    heir.now = host.now
    heir.engine.restore(host.engine.snapshot(), heir.now)
    heir.set_addresses(HOST_A)
    assert heir.addresses == host.addresses
    assert heir.gateways == host.gateways
    assert heir.lifetimes(ADDRESS_A) == host.lifetimes(ADDRESS_A)


def test_advertisement_in_several_packets_survives_a_restart_whole():
    host = Node.host()
    host.run(1)
    host.hear(advertisement(PREFIX))
    host.hear(advertisement(PREFIX2))
    heir = Node.host(now=host.now)
    heir.now = host.now
    heir.engine.restore(host.engine.snapshot(), heir.now)
    heir.set_addresses(HOST_A)
    assert heir.addresses == host.addresses
    assert len(heir.addresses) == 3


def test_old_or_broken_snapshot_is_no_snapshot():
    host = two_routers()
    for broken in ({}, {"resolved": 1}, {"resolved": {}, "advertisements": [{"router": "x"}]}):
        heir = Node.host()
        heir.engine.restore(broken, 0.0)
        heir.set_addresses(HOST_A)
        assert ADDRESS_A not in heir.addresses
    late = Node.host(now=200000.0)
    late.now = 200000.0
    late.engine.restore(host.engine.snapshot(), late.now)
    assert DEFAULT not in {route.prefix for route in late.wanted.interface.routes}


def test_changed_specification_keeps_what_still_holds():
    from v6ferry.engines.isatap.specification import IsatapHostSpec  # noqa: PLC0415

    host = two_routers()
    spec = IsatapHostSpec.parse({"routers": [str(ROUTER2)], "ttl": 9}, "isatap_host/test")
    host.engine.update_spec(spec, host.now)
    host.settle()
    assert host.gateways["::/0"] == LINK_LOCAL2
    assert host.wanted.table.encapsulation.ttl == 9

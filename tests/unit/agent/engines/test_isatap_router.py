# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISATAP router engine: what it answers, and how it takes leave."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from v6ferry.addresses.isatap import isatap_link_local
from v6ferry.wire.icmpv6 import Icmpv6Type
from v6ferry.wire.neighbor_discovery import (
    NeighborSolicitation,
    RouterAdvertisement,
    RouterPreference,
    RouterSolicitation,
)

from tests.unit.agent.virtual import (
    HOST_A,
    HOST_B,
    PREFIX,
    PREFIX2,
    ROUTER,
    Node,
    advertisement,
    router_spec,
)

ADDRESS = "2001:db8:0:7:0:5efe:a00:1"


def answers(router, to=None):
    return [
        message
        for _time, endpoint, message in router.sent
        if isinstance(message, RouterAdvertisement) and to in (None, endpoint)
    ]


def solicited(router, *hosts):
    """What the router answers to one solicitation of each host."""
    router.sent.clear()
    for host in hosts or (HOST_A,):
        router.hear(RouterSolicitation(), host, destination=isatap_link_local(ROUTER))
    return answers(router)


def test_router_has_an_isatap_address_under_each_prefix_rfc5214_6_1():
    """RFC 5214 section 6.1."""
    router = Node.router(ROUTER, PREFIX, PREFIX2)
    assert router.addresses == {
        "fe80::5efe:a00:1",
        ADDRESS,
        "2001:db8:0:8:0:5efe:a00:1",
    }
    assert router.gateways == {"fe80::/64": None, str(PREFIX): None, str(PREFIX2): None}
    assert router.wanted.interface.forwarding


def test_solicitation_is_answered_at_once_and_unicast_rfc5214_8_3_1():
    """RFC 5214 section 8.3.1: to the host that asked, and to nobody else; never unasked."""
    router = Node.router()
    router.run(10000)
    assert router.sent == []
    assert len(solicited(router, HOST_A)) == 1
    ((time, endpoint, _message),) = router.sent
    assert (time, endpoint) == (router.now, HOST_A)


def test_solicitation_whose_source_is_not_its_sender_s_is_ignored():
    router = Node.router()
    router.sent.clear()
    router.hear(RouterSolicitation(), HOST_A, source=isatap_link_local(HOST_B))
    assert answers(router) == []
    assert sum(router.status["discarded"].values()) == 1


def test_advertisement_says_what_the_user_set_rfc4861_6_2_3():
    """RFC 4861 section 6.2.3, RFC 4191 section 2, RFC 8106 section 5."""
    router = Node.router(
        ROUTER,
        {
            "prefix": str(PREFIX),
            "preferred_lifetime": 100,
            "valid_lifetime": 200,
            "on_link": False,
        },
        PREFIX2,
        router_lifetime=600,
        preference="high",
        advertised_mtu=1400,
        hop_limit=32,
        reachable_time=30000,
        retransmit_timer=500,
        routes=[{"prefix": "2001:db8:100::/40", "preference": "low", "lifetime": 60}],
        dns_servers=["2001:db8::53"],
        dns_search=["corp.example"],
        dns_lifetime=300,
    )
    (message,) = solicited(router)
    assert message.router_lifetime == 600
    assert message.preference is RouterPreference.HIGH
    assert (message.mtu, message.current_hop_limit) == (1400, 32)
    assert (message.reachable_time, message.retransmit_timer) == (30000, 500)
    first, second = message.prefixes
    assert (first.prefix, first.preferred_lifetime, first.valid_lifetime) == (PREFIX, 100, 200)
    assert (first.on_link, first.autonomous) == (False, True)
    assert (second.prefix, second.preferred_lifetime, second.valid_lifetime) == (
        PREFIX2,
        604800,
        2592000,
    )
    assert message.routes[0].prefix == IPv6Network("2001:db8:100::/40")
    assert message.routes[0].preference is RouterPreference.LOW
    assert message.dns_servers[0].servers == (IPv6Address("2001:db8::53"),)
    assert message.dns_search[0].domains == ("corp.example",)


def test_default_route_that_is_not_published_is_router_lifetime_zero_rfc4861_6_2_3():
    """RFC 4861 section 6.2.3; the white paper's publish=no on ::/0."""
    (message,) = solicited(Node.router(ROUTER, PREFIX, default_route=False))
    assert message.router_lifetime == 0
    assert message.prefixes


def test_router_that_does_not_advertise_leaves_solicitations_to_another_daemon():
    router = Node.router(ROUTER, PREFIX, advertise=False)
    assert solicited(router) == []
    assert int(Icmpv6Type.ROUTER_SOLICITATION) not in router.wanted.table.handed_up
    assert int(Icmpv6Type.NEIGHBOR_SOLICITATION) in router.wanted.table.handed_up


def test_more_options_than_fit_go_out_in_several_packets_rfc4861_6_2_3():
    """RFC 4861 section 6.2.3: each with the header and a part of the options."""
    many = [f"2001:db8:{number:x}::/64" for number in range(1, 61)]
    messages = solicited(Node.router(ROUTER, *many))
    assert len(messages) > 1
    assert {str(one.prefix) for message in messages for one in message.prefixes} == set(many)
    assert {message.router_lifetime for message in messages} == {1800}


def test_neighbor_solicitation_is_answered_as_a_router_rfc4861_7_2_4():
    """RFC 4861 section 7.2.4: this is how hosts notice that the router lives."""
    router = Node.router()
    router.hear(NeighborSolicitation(isatap_link_local(ROUTER)), HOST_A)
    ((_time, endpoint, answer),) = router.sent
    assert endpoint == HOST_A
    assert (answer.router, answer.solicited, answer.target) == (
        True,
        True,
        isatap_link_local(ROUTER),
    )


def test_changed_specification_is_told_to_all_hosts_at_once():
    router = Node.router()
    solicited(router, HOST_A, HOST_B)
    router.sent.clear()
    router.engine.update_spec(router_spec(PREFIX, preference="high"), router.now)
    router.settle()
    assert {endpoint for _time, endpoint, _message in router.sent} == {HOST_A, HOST_B}
    assert all(message.preference is RouterPreference.HIGH for message in answers(router))


def test_withdrawn_prefix_decreases_until_it_ends_rfc4861_6_2_7():
    """RFC 4861 section 6.2.7: deprecated at once, its valid lifetime counting down."""
    router = Node.router(ROUTER, PREFIX, PREFIX2)
    solicited(router)
    router.engine.update_spec(router_spec(PREFIX2), router.now)
    router.settle()

    def lifetimes_of_the_old_prefix():
        (message,) = solicited(router)
        return [
            (one.preferred_lifetime, one.valid_lifetime)
            for one in message.prefixes
            if one.prefix == PREFIX
        ]

    assert lifetimes_of_the_old_prefix() == [(0, 7200)]
    assert router.lifetimes(ADDRESS) == (0, 7200)
    router.run(7000)
    assert lifetimes_of_the_old_prefix() == [(0, 200)]
    router.run(300)
    assert lifetimes_of_the_old_prefix() == []
    assert ADDRESS not in router.addresses


def test_prefix_that_comes_back_is_as_before():
    router = Node.router(ROUTER, PREFIX)
    solicited(router)
    router.engine.update_spec(router_spec(PREFIX2), router.now)
    router.engine.update_spec(router_spec(PREFIX, PREFIX2), router.now)
    router.settle()
    (message,) = solicited(router)
    assert {one.preferred_lifetime for one in message.prefixes} == {604800}


def test_withdrawn_route_is_taken_back_rfc4191_4():
    """RFC 4191 section 4: a route information option with lifetime 0."""
    site = {"prefix": "2001:db8:100::/40"}
    router = Node.router(ROUTER, PREFIX, routes=[site])
    solicited(router)
    router.engine.update_spec(router_spec(PREFIX), router.now)
    router.settle()
    (message,) = solicited(router)
    assert [one.lifetime for one in message.routes] == [0]


def test_removed_router_says_goodbye_to_every_host_rfc4861_6_2_5():
    """RFC 4861 section 6.2.5: router lifetime 0, up to three times; prefixes deprecated."""
    router = Node.router()
    solicited(router, HOST_A, HOST_B)
    router.sent.clear()
    router.engine.begin_withdrawal(router.now)
    router.settle()
    assert not router.engine.withdrawn()
    router.run(3)
    assert router.engine.withdrawn()
    for host in (HOST_A, HOST_B):
        messages = answers(router, host)
        assert len(messages) == 3
        assert all(one.router_lifetime == 0 for one in messages)
        assert all(
            (one.preferred_lifetime, one.valid_lifetime) == (0, 7200)
            for message in messages
            for one in message.prefixes
        )


def test_router_without_hosts_leaves_at_once():
    router = Node.router()
    router.engine.begin_withdrawal(router.now)
    assert router.engine.withdrawn()


def test_restarted_router_still_knows_its_hosts_and_what_is_ending():
    router = Node.router(ROUTER, PREFIX, PREFIX2)
    solicited(router)
    router.engine.update_spec(router_spec(PREFIX2), router.now)
    heir = Node.router(ROUTER, PREFIX2)
    heir.engine.restore(router.engine.snapshot(), heir.now)
    heir.settle()
    assert heir.status["hosts"] == 1
    assert list(heir.status["ending_prefixes"]) == [str(PREFIX)]
    heir.engine.restore({"hosts": 1}, heir.now)
    assert heir.status["hosts"] == 1


def test_peer_routers_may_carry_any_source_rfc5214_7_3():
    """RFC 5214 section 7.3: routers of the list pass for sources beyond the link."""
    router = Node.router(ROUTER, PREFIX, peer_routers=["10.0.2.1", "isatap.corp.example"])
    assert router.wanted.names == {"isatap.corp.example"}
    assert router.status["peer_routers"] == ["10.0.2.1"]


@pytest.mark.parametrize("message", [advertisement(PREFIX)])
def test_other_messages_are_not_for_a_router(message):
    router = Node.router()
    router.hear(message, HOST_A)
    assert router.sent == []
    assert any("not for a router" in why for why in router.status["discarded"])

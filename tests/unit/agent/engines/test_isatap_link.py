# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and routers together on one underlay, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v6ferry.addresses.isatap import isatap_link_local

from tests.unit.agent.virtual import (
    HOST_A,
    HOST_B,
    PREFIX,
    ROUTER,
    ROUTER2,
    Node,
    RouterSolicitation,
    Underlay,
)

A, B = "2001:db8:0:7:0:5efe:192.168.47.99", "2001:db8:0:7:200:5efe:131.107.71.209"
NATIVE = "2001:db8:0:c::c"
LINK_LOCAL, LINK_LOCAL2 = str(isatap_link_local(ROUTER)), str(isatap_link_local(ROUTER2))


@pytest.fixture
def link():
    """Router and hosts of the white paper, configured."""
    router, a, b = Node.router(), Node.host(HOST_A), Node.host(HOST_B)
    underlay = Underlay(router, a, b)
    underlay.run(2)
    return underlay, router, a, b


def test_two_seconds_after_the_start_everybody_has_addresses(link):
    _underlay, router, a, b = link
    assert a.status["ready"]
    assert b.status["ready"]
    assert router.status["hosts"] == 2


def test_hosts_reach_each_other_without_the_router_rfc5214_7_2(link):
    """RFC 5214 section 7.2: the endpoint is in the destination's interface identifier."""
    underlay, router, a, b = link
    underlay.cut.add(router)
    assert underlay.send(a, A, B) is b
    assert underlay.send(b, B, A) is a
    assert underlay.send(a, "fe80::5efe:192.168.47.99", "fe80::200:5efe:131.107.71.209") is b


def test_native_hosts_are_reached_through_the_router(link):
    underlay, router, a, _b = link
    assert underlay.send(a, A, NATIVE) is router
    assert underlay.send(router, NATIVE, A) is a


def test_spoofed_sources_get_nowhere_rfc5214_7_3(link):
    """RFC 5214 section 7.3: the outer source must be embedded, or be a router's."""
    underlay, router, a, b = link
    assert underlay.send(a, B, "2001:db8:0:7:0:5efe:10.0.0.1") is None
    assert underlay.send(a, NATIVE, B) is None
    assert underlay.send(router, NATIVE, B) is b


def test_router_that_was_removed_is_let_go_rfc4861_6_2_5(link):
    """RFC 4861 section 6.2.5 and RFC 4862 section 5.5.4."""
    underlay, router, a, _b = link
    router.engine.begin_withdrawal(router.now)
    router.settle()
    underlay.run(3)
    assert "::/0" not in a.gateways
    assert a.lifetimes("2001:db8:0:7:0:5efe:c0a8:2f63") == (0, pytest.approx(7200, abs=5))
    underlay.nodes.remove(router)
    underlay.run(7210)
    assert a.addresses == {"fe80::5efe:c0a8:2f63"}


def test_lifetimes_never_lapse_while_the_router_lives(link):
    underlay, _router, a, _b = link

    def look():
        assert a.gateways["::/0"] == LINK_LOCAL
        assert a.lifetimes("2001:db8:0:7:0:5efe:c0a8:2f63")[0] > 0

    for _turn in range(12):
        underlay.run(500)
        look()
    assert len(a.times(RouterSolicitation)) == pytest.approx(6000 / 900, abs=2)


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 30), st.floats(1, 20), st.integers(0, 1000))
def test_traffic_is_back_within_ten_seconds_of_a_router_s_death_and_the_router_after_it(
    alive, dead, seed
):
    """RFC 4861 section 7.3, whenever the router dies, and for how long (RFC 4861 6.3.6)."""
    first = Node.router(ROUTER, PREFIX)
    second = Node.router(ROUTER2, PREFIX)
    host = Node.host(HOST_A, routers=[str(ROUTER), str(ROUTER2)], seed=seed)
    underlay = Underlay(first, second, host)
    underlay.run(5)
    reached = []

    def ping():
        way = underlay.send(host, A, NATIVE)
        reached.append((host.now, way))

    underlay.run(alive, ping)
    underlay.cut.add(first)
    death = host.now
    underlay.run(10 + dead, ping)
    back = min((time for time, way in reached if time > death and way is second), default=None)
    assert back is not None
    assert back - death <= 10
    assert all(way is second for time, way in reached if time > back)
    underlay.cut.clear()
    underlay.run(11, ping)
    assert host.gateways["::/0"] == LINK_LOCAL


def test_thousand_hosts_do_not_ask_at_once_rfc4861_6_3_7():
    """RFC 4861 section 6.3.7: after a power failure solicitations are spread over a second."""
    times = []
    for seed in range(1000):
        host = Node.host(HOST_A, seed=seed)
        host.run(1)
        times += host.times(RouterSolicitation)
    slots = [sum(1 for time in times if slot <= time * 10 < slot + 1) for slot in range(10)]
    assert min(slots) > 50

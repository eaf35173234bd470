# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of what an interface should be with what it is."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st
from v6ferry.system.interface_changes import (
    INFINITE_LIFETIME,
    AddressChange,
    BringUp,
    MtuChange,
    Preparation,
    PresentAddress,
    PresentInterface,
    PresentRoute,
    RouteChange,
    interface_changes,
)
from v6ferry.system.state import (
    DEFAULT_ROUTE,
    ROUTE_PROTOCOL,
    InterfaceAddress,
    InterfaceState,
    Route,
)

NOW = 1000.0
STATIC = 4
ADDRESS = IPv6Address("2001:db8:0:7:0:5efe:c0a8:2f63")
ROUTER_1 = IPv6Address("fe80::5efe:10.0.0.1")
ROUTER_2 = IPv6Address("fe80::5efe:10.0.0.2")


def wanted(**parts):
    return InterfaceState("isatap0", 1280, **parts)


def as_it_should_be(**parts):
    return PresentInterface(mtu=1280, up=True, prepared=True, **parts)


def changes(state, present):
    return list(interface_changes(state, present, NOW))


def test_new_device_is_prepared_before_it_comes_up():
    address = InterfaceAddress(ADDRESS)
    kinds = [type(c) for c in changes(wanted(addresses=(address,)), PresentInterface())]
    assert kinds == [MtuChange, Preparation, BringUp, AddressChange]


def test_nothing_to_do_is_no_change():
    route = Route(DEFAULT_ROUTE, ROUTER_1, 2048)
    state = wanted(addresses=(InterfaceAddress(ADDRESS),), routes=(route,))
    present = as_it_should_be(
        addresses=(PresentAddress(ADDRESS, 64),), routes=(PresentRoute(route, ROUTE_PROTOCOL),)
    )
    assert changes(state, present) == []


def test_countdown_of_the_kernel_is_not_a_difference():
    state = wanted(addresses=(InterfaceAddress(ADDRESS, 64, NOW + 600, NOW + 900),))
    present = as_it_should_be(addresses=(PresentAddress(ADDRESS, 64, 598, 902),))
    assert changes(state, present) == []


def test_lifetime_off_by_more_than_two_seconds_is_refreshed():
    state = wanted(addresses=(InterfaceAddress(ADDRESS, 64, NOW + 600, NOW + 900),))
    present = as_it_should_be(addresses=(PresentAddress(ADDRESS, 64, 597, 900),))
    assert changes(state, present) == [
        AddressChange("refresh", "isatap0", ADDRESS, 64, preferred_lifetime=600, valid_lifetime=900)
    ]


def test_deprecation_is_never_within_the_tolerance():
    state = wanted(addresses=(InterfaceAddress(ADDRESS, 64, NOW, NOW + 900),))
    present = as_it_should_be(addresses=(PresentAddress(ADDRESS, 64, 1, 900),))
    assert [c.preferred_lifetime for c in changes(state, present)] == [0]


def test_infinite_lifetime_is_not_a_long_one():
    state = wanted(addresses=(InterfaceAddress(ADDRESS),))
    present = as_it_should_be(
        addresses=(PresentAddress(ADDRESS, 64, INFINITE_LIFETIME, INFINITE_LIFETIME - 1),)
    )
    assert [c.operation for c in changes(state, present)] == ["refresh"]


def test_expired_address_goes():
    state = wanted(addresses=(InterfaceAddress(ADDRESS, 64, NOW - 1, NOW),))
    present = as_it_should_be(addresses=(PresentAddress(ADDRESS, 64, 0, 1),))
    assert [c.operation for c in changes(state, present)] == ["remove"]


def test_preferred_lifetime_is_never_longer_than_the_valid_one():
    state = wanted(addresses=(InterfaceAddress(ADDRESS, 64, None, NOW + 60),))
    (change,) = changes(state, as_it_should_be())
    assert (change.preferred_lifetime, change.valid_lifetime) == (60, 60)


def test_other_prefix_length_means_remove_and_add():
    state = wanted(addresses=(InterfaceAddress(ADDRESS, 64),))
    present = as_it_should_be(addresses=(PresentAddress(ADDRESS, 128),))
    assert [(c.operation, c.prefix_length) for c in changes(state, present)] == [
        ("remove", 128),
        ("add", 64),
    ]


def test_address_that_makes_a_prefix_route_is_written_anew():
    state = wanted(addresses=(InterfaceAddress(ADDRESS),))
    present = as_it_should_be(addresses=(PresentAddress(ADDRESS, 64, makes_prefix_route=True),))
    assert [c.operation for c in changes(state, present)] == ["refresh"]


def test_failover_adds_the_new_default_route_before_the_old_one_goes():
    old, new = Route(DEFAULT_ROUTE, ROUTER_1, 2048), Route(DEFAULT_ROUTE, ROUTER_2, 2048)
    present = as_it_should_be(routes=(PresentRoute(old, ROUTE_PROTOCOL),))
    assert changes(wanted(routes=(new,)), present) == [
        RouteChange("add", "isatap0", new, beside_own=True),
        RouteChange("remove", "isatap0", old),
    ]


def test_foreign_routes_stay():
    static = Route(IPv6Network("2001:db8:9::/48"), ROUTER_1, 1024)
    other_table = Route(IPv6Network("2001:db8:8::/48"), ROUTER_1, 1024)
    present = as_it_should_be(
        routes=(
            PresentRoute(static, STATIC),
            PresentRoute(other_table, ROUTE_PROTOCOL, main_table=False),
        )
    )
    assert changes(wanted(), present) == []


def test_route_that_somebody_else_set_alike_is_enough():
    route = Route(DEFAULT_ROUTE, ROUTER_1, 2048)
    present = as_it_should_be(routes=(PresentRoute(route, STATIC),))
    assert changes(wanted(routes=(route,)), present) == []


def test_changes_read_as_sentences():
    state = wanted(
        addresses=(InterfaceAddress(ADDRESS),), routes=(Route(DEFAULT_ROUTE, ROUTER_1, 2048),)
    )
    assert [str(c) for c in changes(state, PresentInterface())] == [
        "set the MTU of isatap0 to 1280",
        "leave addresses and router discovery of isatap0 to the agent",
        "bring isatap0 up",
        "add address 2001:db8:0:7:0:5efe:c0a8:2f63/64 to isatap0",
        "add route default via fe80::5efe:a00:1 dev isatap0 metric 2048",
    ]


addresses = st.builds(
    InterfaceAddress,
    st.integers(0, 7).map(lambda n: IPv6Address((0x20010DB8 << 96) + n)),
    st.sampled_from([64, 128]),
    st.none() | st.floats(0, 5000),
    st.none() | st.floats(0, 5000),
)
routes = st.builds(
    Route,
    st.sampled_from([DEFAULT_ROUTE, IPv6Network("2001:db8::/64")]),
    st.sampled_from([None, ROUTER_1, ROUTER_2]),
    st.sampled_from([1024, 2048]),
)


def after(present: PresentInterface, done) -> PresentInterface:
    """A model of the kernel."""
    held = {a.address: a for a in present.addresses}
    table = list(present.routes)
    for change in done:
        if isinstance(change, AddressChange) and change.operation == "remove":
            del held[change.address]
        elif isinstance(change, AddressChange):
            held[change.address] = PresentAddress(
                change.address,
                change.prefix_length,
                change.preferred_lifetime,
                change.valid_lifetime,
            )
        elif isinstance(change, RouteChange) and change.operation == "add":
            assert change.route not in [entry.route for entry in table]
            table.append(PresentRoute(change.route, ROUTE_PROTOCOL))
        elif isinstance(change, RouteChange):
            table.remove(PresentRoute(change.route, ROUTE_PROTOCOL))
    return as_it_should_be(addresses=tuple(held.values()), routes=tuple(table))


@given(
    st.lists(addresses, max_size=6, unique_by=lambda a: a.address),
    st.lists(routes, max_size=5),
    st.lists(addresses, max_size=6, unique_by=lambda a: a.address),
    st.lists(routes, max_size=5, unique=True),
    st.sampled_from([ROUTE_PROTOCOL, STATIC]),
)
def test_one_round_of_changes_is_enough(to_have, to_route, had, routed, protocol):
    state = wanted(addresses=tuple(to_have), routes=tuple(to_route))
    present = PresentInterface(
        addresses=tuple(PresentAddress(a.address, a.prefix_length, 10, 20) for a in had),
        routes=tuple(PresentRoute(r, protocol) for r in routed),
    )
    settled = after(present, changes(state, present))
    assert changes(state, settled) == []
    assert {a.address for a in settled.addresses} == {
        a.address for a in to_have if a.valid_until is None or a.valid_until > NOW
    }
    if protocol == STATIC:
        assert {r.route for r in settled.routes} >= set(routed)

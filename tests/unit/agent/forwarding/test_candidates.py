# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnels are asked about a packet, also when one change has come after another."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st
from v6ferry.forwarding.candidates import Candidates
from v6ferry.forwarding.sharing import Parts, Shared, shared_by
from v6ferry.forwarding.table import (
    ANYBODY,
    ISATAP,
    SIXTOFOUR,
    TEREDO,
    Encapsulation,
    IngressRule,
    Listed,
    TunnelTable,
)

HERE = [IPv4Address(f"10.0.0.{number}") for number in (1, 2)]
THERE = [IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3)]
NAMES = ["a", "b", "c", "d"]
ALL = IPv6Network("::/0")
TABLES = st.builds(
    lambda accept, endpoints, port: TunnelTable(
        "any",
        ingress=(IngressRule(ALL, (accept,), "all"),),
        local_endpoints=frozenset(endpoints),
        encapsulation=Encapsulation(port=port),
    ),
    st.just(ANYBODY) | st.sets(st.sampled_from(THERE)).map(lambda one: Listed(frozenset(one))),
    st.sets(st.sampled_from(HERE)),
    st.sampled_from([0, 3544]),
)
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | TABLES), max_size=12)


def found_of(*tables):
    """The candidates of tables that are there from the beginning."""
    found = Candidates()
    for one in tables:
        found.change(one.interface, one)
    return found.found


def test_tunnel_that_lists_its_far_ends_is_asked_about_those_alone():
    here, there = HERE[0], THERE[0]
    listing = IngressRule(ALL, (Listed(frozenset({there})),), "peer")
    embedding = IngressRule(ALL, (ISATAP,), "embedded")
    ours = frozenset({here})
    assert found_of(
        TunnelTable("isatap0", ingress=(embedding,), local_endpoints=ours),
        TunnelTable("peer0", ingress=(listing,), local_endpoints=ours),
    ) == {
        (here, None, 0): ("isatap0",),
        (here, there, 0): ("isatap0", "peer0"),
    }


def test_tunnels_in_udp_are_asked_about_their_port_alone():
    rule = IngressRule(ALL, (TEREDO,), "embedded")
    here, in_udp = HERE[0], Encapsulation(port=3544)
    ours = frozenset({here})
    assert found_of(
        TunnelTable("teredo0", ingress=(rule,), local_endpoints=ours, encapsulation=in_udp),
        TunnelTable("isatap0", ingress=(rule,), local_endpoints=ours),
    ) == {
        (here, None, 0): ("isatap0",),
        (here, None, 3544): ("teredo0",),
    }


@given(CHANGES)
def test_one_change_after_another_comes_to_the_same_as_all_at_once(changes):
    tables, found = {}, Candidates()
    for name, table in changes:
        if table is None:
            tables.pop(name, None)
            found.remove(name)
        else:
            tables[name] = replace(table, interface=name)
            found.change(name, table)
        assert found.found == found_of(*tables.values())


PARTS = st.builds(Shared, st.sets(st.sampled_from([ISATAP, SIXTOFOUR])).map(tuple))


@given(st.lists(PARTS, max_size=6), st.data())
def test_what_is_shared_is_what_those_that_are_left_say(said, data):
    parts, left = Parts(), list(said)
    for one in said:
        parts.add(one)
    for one in data.draw(st.lists(st.sampled_from(said), unique_by=id)) if said else []:
        parts.discard(one)
        left.remove(one)
    parts.settle()
    assert set(parts.shared.automatic) == set(shared_by(left).automatic)
    assert not parts.settle()

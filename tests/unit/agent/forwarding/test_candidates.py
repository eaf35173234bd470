# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates that follow one change after another are those of all tables together."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st
from v6ferry.forwarding.candidates import Candidates, candidates
from v6ferry.forwarding.sharing import Parts, Shared, shared_by
from v6ferry.forwarding.table import (
    ANYBODY,
    ISATAP,
    SIXTOFOUR,
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


@given(CHANGES)
def test_one_change_after_another_comes_to_the_same_as_all_at_once(changes):
    tables, found = {}, Candidates()
    for name, table in changes:
        if table is None:
            tables.pop(name, None)
            found.remove(name)
        else:
            tables[name] = table
            found.change(name, table)
        assert found.found == candidates(tables)


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

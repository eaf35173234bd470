# SPDX-License-Identifier: GPL-3.0-or-later
"""What tunnels of a host have to know of each other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from v6ferry.addresses.sixtofour import sixtofour_prefix
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import (
    Accept,
    Drop,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.forwarding.sharing import in_force, shared_by
from v6ferry.forwarding.table import (
    ISATAP,
    SIXTOFOUR,
    TEREDO,
    ForwardingRule,
    IngressRule,
    NearRule,
    TunnelTable,
)

HERE = IPv4Address("131.107.0.1")
ISATAP_PREFIX, SITE = IPv6Network("2002:836b:1:2::/64"), sixtofour_prefix(HERE)
ISATAP_HOST = IPv6Address("2002:836b:1:2:0:5efe:10.0.0.9")
LAN_HOST = IPv6Address("2002:836b:1:1::5")


def isatap(**fields):
    """Of an ISATAP router, with hosts in a subnet of a 6to4 site."""
    return TunnelTable(
        "isatap0",
        forwarding=(ForwardingRule(ISATAP_PREFIX, ISATAP, "hosts"),),
        ingress=(IngressRule(ISATAP_PREFIX, (ISATAP,), "hosts"),),
        local_endpoints=frozenset({HERE}),
        host_endpoints=frozenset({HERE}),
        **fields,
    )


def beside(table, *others):
    return in_force(table, shared_by((table, *others)))


SIXTOFOUR_ROUTER = TunnelTable("sixtofour0", site_prefixes=(SITE,))


def into(table):
    return decide_decapsulation(table, IPv4Address("10.0.0.9"), HERE, ISATAP_HOST, LAN_HOST)


def test_hosts_of_one_site_reach_each_other_through_any_tunnel_of_its_router_rfc6324_3_3():
    """RFC 6324 section 3.3: what the router delivers in the site does not come back."""
    table = beside(isatap(), SIXTOFOUR_ROUTER)
    assert into(table) == Accept("hosts")
    assert isinstance(decide_encapsulation(table, LAN_HOST, ISATAP_HOST), Encapsulate)


def test_site_of_another_6to4_router_is_a_loop_as_before_rfc6324_3_3():
    table = beside(isatap(), TunnelTable("sixtofour0", automatic=(SIXTOFOUR,)))
    assert into(table) == Drop(DropReason.LOOP_DESTINATION)
    assert decide_encapsulation(table, LAN_HOST, ISATAP_HOST) == Drop(
        DropReason.LOOP_SOURCE, "hosts"
    )


@pytest.mark.parametrize("prefix", ["::/0", "2002::/16", "2002:836b:1::/48", "2002:836b:1:1::/64"])
def test_what_a_rule_refuses_stays_refused(prefix):
    rules = (NearRule(IPv6Network(prefix), False),)
    table = beside(isatap(source_rules=rules, destination_rules=rules), SIXTOFOUR_ROUTER)
    assert into(table) == Drop(DropReason.INNER_DESTINATION)
    assert decide_encapsulation(table, LAN_HOST, ISATAP_HOST) == Drop(DropReason.INNER_SOURCE)


def test_loops_of_all_tunnels_are_refused_rfc6324_3_3():
    shared = shared_by(
        (isatap(automatic=(ISATAP,)), TunnelTable("one", automatic=(TEREDO, ISATAP)))
    )
    assert shared.automatic == (ISATAP, TEREDO)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of an ISATAP host, and the routers it finds."""

from __future__ import annotations

import math
from ipaddress import IPv4Address, IPv6Network

import pytest
from v6ferry.wire.neighbor_discovery import INFINITE_LIFETIME, PrefixInformation

from tests.unit.agent.virtual import (
    HOST_A,
    HOST_B,
    PREFIX,
    PREFIX2,
    ROUTER,
    ROUTER2,
    Node,
    RouterSolicitation,
    advertisement,
)

ADDRESS_A = "2001:db8:0:7:0:5efe:c0a8:2f63"


def prefix(preferred, valid, network=PREFIX, **flags):
    return advertisement(
        PrefixInformation(network, valid_lifetime=valid, preferred_lifetime=preferred, **flags)
    )


def test_addresses_of_the_white_paper_rfc5214_6_1():
    """RFC 5214 section 6.1: u bit 0 for a private, 1 for a globally unique IPv4 address."""
    host = Node.host(HOST_A, HOST_B)
    host.hear(advertisement(PREFIX))
    assert host.addresses == {
        "fe80::5efe:c0a8:2f63",
        "fe80::200:5efe:836b:47d1",
        ADDRESS_A,
        "2001:db8:0:7:200:5efe:836b:47d1",
    }


def test_link_local_addresses_only_once_a_router_is_known_as_server_2008():
    """The white paper: without a router, Windows Server 2008 has no ISATAP addresses."""
    host = Node.host(routers=["isatap"])
    assert host.addresses == set()
    assert host.gateways == {}
    host.engine.name_resolved("isatap", (ROUTER,), host.now)
    host.settle()
    assert host.addresses == {"fe80::5efe:c0a8:2f63"}
    assert host.gateways == {"fe80::/64": None}


def test_link_local_addresses_always_by_setting_as_windows_xp():
    assert Node.host(routers=["isatap"], link_local="always").addresses == {"fe80::5efe:c0a8:2f63"}


def test_prefix_without_the_autonomous_flag_gives_no_address_rfc4862_5_5_3():
    """RFC 4862 section 5.5.3 (a); the on-link flag still gives the route."""
    host = Node.host()
    host.hear(prefix(600, 1200, autonomous=False))
    assert host.addresses == {"fe80::5efe:c0a8:2f63"}
    assert host.gateways[str(PREFIX)] is None


def test_prefix_without_the_on_link_flag_gives_no_route_rfc4861_6_3_4():
    """RFC 4861 section 6.3.4: such addresses are reached through the default router."""
    host = Node.host()
    host.hear(prefix(600, 1200, on_link=False))
    assert ADDRESS_A in host.addresses
    assert str(PREFIX) not in host.gateways


def test_prefix_that_is_not_a_64_is_ignored_and_said_rfc4862_5_5_3():
    """RFC 4862 section 5.5.3 (d): prefix and interface identifier must make 128 bits."""
    host = Node.host()
    host.hear(prefix(600, 1200, IPv6Network("2001:db8::/63")))
    assert host.addresses == {"fe80::5efe:c0a8:2f63"}
    assert "only a /64 can" in host.status["ignored"][0]


def test_lifetimes_are_the_advertised_ones_and_are_refreshed_rfc4862_5_5_3():
    """RFC 4862 section 5.5.3 (e): every advertisement sets them anew."""
    host = Node.host()
    host.hear(prefix(600, 1200))
    assert host.lifetimes(ADDRESS_A) == (600, 1200)
    host.run(100)
    assert host.lifetimes(ADDRESS_A) == (500, 1100)
    host.hear(prefix(600, 1200))
    assert host.lifetimes(ADDRESS_A) == (600, 1200)


def test_infinite_lifetimes_stay():
    host = Node.host()
    host.hear(prefix(INFINITE_LIFETIME, INFINITE_LIFETIME))
    host.run(10000)
    assert host.lifetimes(ADDRESS_A) == (math.inf, math.inf)


@pytest.mark.parametrize(
    ("remaining", "heard", "then"),
    [(10000, 9000, 9000), (10000, 100, 7200), (3600, 100, 3600), (3600, 5000, 5000), (100, 0, 100)],
)
def test_valid_lifetime_is_not_cut_below_two_hours_rfc4862_5_5_3_e(remaining, heard, then):
    """RFC 4862 section 5.5.3 (e) 1 to 3: a forged advertisement cannot end an address at once."""
    host = Node.host()
    host.hear(prefix(0, remaining))
    host.hear(prefix(0, heard))
    assert host.lifetimes(ADDRESS_A)[1] == then


def test_preferred_lifetime_zero_deprecates_at_once_rfc4862_5_5_4():
    """RFC 4862 section 5.5.4: a deprecated address goes on carrying old connections."""
    host = Node.host()
    host.hear(prefix(600, 3600))
    host.hear(prefix(0, 3600))
    assert host.lifetimes(ADDRESS_A) == (0, 3600)


def test_address_goes_when_its_valid_lifetime_ends_rfc4862_5_5_4():
    """RFC 4862 section 5.5.4: an invalid address must not be used."""
    host = Node.host()
    host.hear(prefix(10, 20))
    host.run(21)
    assert ADDRESS_A not in host.addresses
    assert str(PREFIX) not in host.gateways


def test_several_prefixes_of_several_routers_all_give_addresses():
    host = Node.host(routers=[str(ROUTER), str(ROUTER2)])
    host.hear(advertisement(PREFIX))
    host.hear(advertisement(PREFIX2), ROUTER2)
    assert {ADDRESS_A, "2001:db8:0:8:0:5efe:c0a8:2f63"} <= host.addresses


def test_ipv4_addresses_come_and_go_while_running():
    host = Node.host(HOST_A)
    host.hear(advertisement(PREFIX))
    host.set_addresses(HOST_A, HOST_B)
    assert "2001:db8:0:7:200:5efe:836b:47d1" in host.addresses
    host.set_addresses(HOST_B)
    assert host.addresses == {"fe80::200:5efe:836b:47d1", "2001:db8:0:7:200:5efe:836b:47d1"}
    host.set_addresses()
    assert (host.addresses, host.gateways) == (set(), {})


def test_new_ipv4_address_makes_the_host_ask_its_routers_at_once():
    host = Node.host(HOST_A)
    host.hear(advertisement(PREFIX))
    host.run(50)
    host.sent.clear()
    host.set_addresses(HOST_B)
    host.run(0.1)
    assert host.times(RouterSolicitation, ROUTER) == [50.0]


@pytest.mark.parametrize("unusable", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_address_that_is_no_unicast_endpoint_is_not_used(unusable):
    host = Node.host(IPv4Address(unusable), link_local="always")
    assert host.addresses == set()


def test_underlay_may_be_chosen_by_interface_and_by_address():
    assert Node.host(link_local="always", underlay_interfaces=["eth1"]).addresses == set()
    chosen = Node.host(HOST_A, HOST_B, link_local="always", underlay_addresses=["131.107.0.0/16"])
    assert chosen.addresses == {"fe80::200:5efe:836b:47d1"}


def test_router_name_that_is_lost_keeps_its_addresses():
    """A name server that fails for an hour must not take the routers away."""
    host = Node.host(routers=["isatap"])
    host.engine.name_resolved("isatap", (ROUTER,), host.now)
    host.hear(advertisement(PREFIX))
    host.engine.name_resolved("isatap", (), host.now)
    host.settle()
    assert ADDRESS_A in host.addresses
    assert host.status["stale_names"] == ["isatap"]


def test_router_that_leaves_the_name_is_forgotten_rfc5214_8_3_2():
    """RFC 5214 section 8.3.2: the list is what the name says now; old addresses end in peace."""
    host = Node.host(routers=["isatap"])
    host.engine.name_resolved("isatap", (ROUTER,), host.now)
    host.hear(advertisement(PREFIX))
    host.engine.name_resolved("isatap", (ROUTER2,), host.now)
    host.settle()
    assert "::/0" not in host.gateways
    assert host.lifetimes(ADDRESS_A)[0] == 0
    assert [one["address"] for one in host.status["routers"]] == [str(ROUTER2)]


def test_own_address_in_the_router_list_is_no_router_of_ours():
    host = Node.host(routers=[str(HOST_A), str(ROUTER)])
    assert [one["address"] for one in host.status["routers"]] == [str(ROUTER)]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a 6to4 router wants for the IPv4 of the hosts behind it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.daemon.resources import check
from v6ferry.engines.lan.ipv4 import AddressRange, DhcpInterface
from v6ferry.engines.sixtofour.router import SixToFourRouter
from v6ferry.engines.sixtofour.router_specification import SixToFourRouterSpec
from v6ferry.engines.specification import Options, SpecificationError
from v6ferry.system.state import (
    DhcpRange,
    HostFacts,
    Ipv4Sharing,
    LinkFacts,
    Masquerading,
    UnderlayAddress,
)

PUBLIC = IPv4Address("131.107.23.89")
OWN = IPv4Interface("192.168.0.1/24")
BASE = {"private_interfaces": [{"interface": "lan0"}]}
LAN = {"interface": "lan0", "dhcp": True}


def facts(*public, lan=(OWN,), interface="eth0"):
    underlay = [UnderlayAddress(one, interface, interface == "lo") for one in public]
    return HostFacts(
        underlay=(*underlay, *(UnderlayAddress(one.ip, "lan0") for one in lan)),
        links={"lan0": LinkFacts(5, IPv6Address("fe80::1"), ipv4=tuple(lan))},
    )


def parse(**options):
    return SixToFourRouterSpec.parse({**BASE, **options}, "sixtofour_router/test")


def router(known=None, **options):
    engine = SixToFourRouter(parse(**options), Random(1), 0.0)
    engine.update_facts(known or facts(PUBLIC), 0.0)
    return engine


def sharing(engine):
    return engine.wanted(0.0).sharing


def test_nothing_is_shared_by_default():
    engine = router()
    assert sharing(engine) == Ipv4Sharing()
    assert not parse().programs()
    assert engine.status(0.0)["ready"]


def test_shared_through_the_interfaces_of_the_public_addresses():
    engine = router(ipv4_sharing=True)
    assert sharing(engine).masquerading == Masquerading(("lan0",), ("eth0",))
    assert engine.status(0.0)["ipv4_sharing"] == {
        "private_interfaces": ["lan0"],
        "public_interfaces": ["eth0"],
    }


def test_stays_shared_while_the_public_address_is_away_and_after_a_restart():
    engine = router(ipv4_sharing=True)
    engine.update_facts(facts(), 1.0)
    assert sharing(engine).masquerading == Masquerading(("lan0",), ("eth0",))
    successor = SixToFourRouter(parse(ipv4_sharing=True), Random(1), 2.0)
    successor.restore(engine.snapshot(), 2.0)
    successor.update_facts(facts(), 2.0)
    assert sharing(successor) == sharing(engine)


def test_public_interfaces_are_the_user_s_where_given():
    engine = router(ipv4_sharing=True, public_interfaces=["ppp0"])
    assert sharing(engine).masquerading == Masquerading(("lan0",), ("ppp0",))


@pytest.mark.parametrize("known", [facts(), facts(PUBLIC, interface="lo")])
def test_says_that_no_public_interface_is_known(known):
    engine = router(known, ipv4_sharing=True)
    assert sharing(engine) == Ipv4Sharing()
    assert any("public_interfaces" in one for one in engine.status(0.0)["problems"])


def test_dhcp_gives_the_subnet_of_the_interface():
    dhcp = sharing(router(private_interfaces=[LAN])).dhcp
    first, last = IPv4Address("192.168.0.1"), IPv4Address("192.168.0.254")
    assert dhcp.ranges == (DhcpRange("lan0", first, last, IPv4Address("255.255.255.0")),)
    assert (dhcp.lease_time, dhcp.dns_servers) == (3600, ())


def test_range_picks_the_subnet_that_it_lies_in():
    lan = {**LAN, "dhcp_range": "10.0.0.10 - 10.0.0.20"}
    known = facts(PUBLIC, lan=(OWN, IPv4Interface("10.0.0.1/8")))
    (one,) = sharing(router(known, private_interfaces=[lan])).dhcp.ranges
    assert (str(one.first), str(one.netmask)) == ("10.0.0.10", "255.0.0.0")


@pytest.mark.parametrize(
    ("known", "lan", "said"),
    [
        (facts(PUBLIC, lan=()), LAN, "has no IPv4 address"),
        (facts(PUBLIC, lan=(IPv4Interface("10.0.0.1/31"),)), LAN, "has no IPv4 address"),
        (replace(facts(PUBLIC), links={}), LAN, "there is no such interface"),
        (facts(PUBLIC), {**LAN, "dhcp_range": "10.0.0.1-10.0.0.2"}, "is not in its subnet"),
    ],
)
def test_says_why_there_is_no_dhcp(known, lan, said):
    engine = router(known, private_interfaces=[lan])
    assert sharing(engine).dhcp is None
    status = engine.status(0.0)
    assert not status["ready"]
    assert any(said in one for one in status["problems"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ipv4_sharing": True, "private_interfaces": []}, "ipv4_sharing: there is nobody"),
        ({"public_interfaces": ["eth0"]}, "public_interfaces: is without effect"),
        (
            {"ipv4_sharing": True, "public_interfaces": ["lan0"]},
            "public_interfaces[0]: lan0 is among the private",
        ),
        (
            {"private_interfaces": [{"interface": "lan0", "dhcp_range": "10.0.0.1-10.0.0.2"}]},
            "private_interfaces[0]: dhcp_range: is without effect",
        ),
        (
            {"ipv4_sharing": True, "private_interfaces": [{"interface": "lan*"}]},
            "'lan*' cannot be used here",
        ),
        ({"private_interfaces": [{**LAN, "dhcp_range": "10.0.0.1"}]}, "is no range"),
        ({"private_interfaces": [{**LAN, "dhcp_range": "10.0.0.9-10.0.0.1"}]}, "comes after"),
        ({"private_interfaces": [{**LAN, "dhcp_range": "10.0.0.900-10.0.0.1"}]}, "not an IPv4"),
        ({"dhcp_lease_time": 60}, "use 120 to"),
        ({"dhcp_dns_servers": ["2001:db8::53"]}, "is an IPv6 address"),
    ],
)
def test_bad_input_names_the_option(options, said):
    with pytest.raises(SpecificationError) as raised:
        parse(**options)
    assert said in str(raised.value)


@given(st.lists(st.ip_addresses(v=4), min_size=2, max_size=2).map(sorted))
def test_range_is_read_as_it_is_written(ends):
    written = AddressRange(*ends)
    options = Options({"dhcp": True, "dhcp_range": str(written)}, "here")
    assert DhcpInterface.read(options, "lan0").range == written


@given(st.text())
def test_range_that_is_none_is_one_error(text):
    options = Options({"dhcp": True, "dhcp_range": text}, "here")
    try:
        found, said = DhcpInterface.read(options, "lan0").range, "here: dhcp_range: "
    except SpecificationError as error:
        found, said = None, str(error)
    assert found is None or found.first <= found.last
    assert said.startswith("here: dhcp_range: ")


def test_programs_are_those_of_the_parts_in_use():
    resource = check("sixtofour_router", "default", {"private_interfaces": [LAN]})
    assert {one: program.name for one, program in resource.parsed.programs().items()} == {
        "dhcp": "dnsmasq"
    }
    assert parse(ipv4_sharing=True).programs()["ipv4_sharing"].package == "nftables"

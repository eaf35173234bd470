# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of PortProxy: what may be written, and what comes of it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from v6ferry.engines.portproxy.rule import PortProxyRule
from v6ferry.engines.portproxy.specification import PortProxySpec, clash, ports
from v6ferry.engines.specification import SpecificationError
from v6ferry.portproxy.rules import Rule
from v6ferry.system.state import HostFacts


def spec(**options) -> PortProxySpec:
    given_options = {"listen_port": "80", "connect_address": "192.0.2.1", **options}
    return PortProxySpec.parse(given_options, "portproxy/x")


def listens(parsed: PortProxySpec) -> list[tuple[str, int, int]]:
    return [(one.host, one.port, one.connect_port) for one in parsed.listeners()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("0.0.0.0", 80, 80), ("::", 80, 80)]),
        ({"direction": "v6tov4"}, [("::", 80, 80)]),
        ({"direction": "v4tov4", "connect_port": 8080}, [("0.0.0.0", 80, 8080)]),
        (
            {"listen_address": "10.0.0.1", "listen_port": "80,8000-8001", "connect_port": "1-3"},
            [("10.0.0.1", 80, 1), ("10.0.0.1", 8000, 2), ("10.0.0.1", 8001, 3)],
        ),
        ({"listen_address": "fe80::1%eth0"}, [("fe80::1%eth0", 80, 80)]),
    ],
)
def test_rule_listens_where_direction_addresses_and_ports_say(options, expected):
    assert listens(spec(**options)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"listen_port": None}, "listen_port: is required"),
        ({"connect_address": None}, "connect_address: is required"),
        ({"listen_port": "http"}, "listen_port: 'http' is no port, use 1 to 65535, as in 80 or"),
        ({"listen_port": "0"}, "listen_port: '0' is no port"),
        ({"listen_port": "65536"}, "listen_port: '65536' is no port"),
        ({"listen_port": "90-80"}, "listen_port: 90-80 ends before it begins"),
        ({"listen_port": "80,79-81"}, "listen_port: 80 is there twice"),
        ({"listen_port": "1-65535"}, "listen_port: 65535 ports are too many"),
        ({"listen_port": "1-3", "connect_port": "1-2"}, "connect_port: has 2 ports, listen_port"),
        ({"direction": "v4tov5"}, "direction: 'v4tov5' is not one of v4tov4"),
        ({"direction": "v4tov6"}, "connect_address: 192.0.2.1 is an IPv4 address, but direction"),
        (
            {"direction": "v4tov4", "listen_address": "::1"},
            "listen_address: ::1 is an IPv6 address, but direction is v4tov4",
        ),
        ({"listen_address": "::"}, "listen_address: :: is not an address of this host, or *, use"),
        ({"listen_address": "fe80::1"}, "listen_address: fe80::1 is link-local, so add its inter"),
        ({"listen_address": "10.0.0.1%eth0"}, "only link-local addresses have an interface"),
        ({"connect_address": "ff02::1"}, "connect_address: ff02::1 is not an address or a host"),
        ({"connect_address": "-x-"}, "connect_address: '-x-' is neither"),
        ({"connect_address": "127.0.0.1"}, "connect_address: 127.0.0.1 port 80 leads to this rule"),
        (
            {"listen_address": "192.0.2.1"},
            "connect_address: 192.0.2.1 port 80 leads to this rule",
        ),
        (
            {"direction": "v6tov4", "transparent_source": True},
            "transparent_source: needs one family on both sides",
        ),
        ({"allowed_sources": ["10.0.0.1/8"]}, "allowed_sources[0]: '10.0.0.1/8' is not a prefix"),
        ({"maximum_connections": 0}, "maximum_connections: 0 is out of range"),
        ({"send_proxy": "v3"}, "send_proxy: 'v3' is not one of none, v1, v2"),
        ({"listen_prot": 1}, "unknown option listen_prot; did you mean listen_port?"),
    ],
)
def test_mistakes_are_named_with_what_would_do(options, message):
    with pytest.raises(SpecificationError) as raised:
        spec(**options)
    assert message in str(raised.value)
    assert str(raised.value).startswith("portproxy/x: ")


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=20, unique=True))
def test_ports_are_read_as_they_are_written(numbers):
    assert ports(",".join(map(str, numbers))) == tuple(numbers)


@given(st.text(alphabet="0123456789-, x", max_size=12))
@example("0100000")
def test_any_text_is_ports_or_one_error(text):
    try:
        found = ports(text)
    except ValueError:
        return
    assert all(1 <= port <= 65535 for port in found)


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ({}, {}, "* port 80"),
        ({"listen_address": "10.0.0.1"}, {}, "10.0.0.1 port 80"),
        ({"listen_address": "10.0.0.1"}, {"listen_address": "10.0.0.2"}, None),
        ({"listen_port": "70-90"}, {"listen_port": "85-99"}, "* port 85"),
        ({"direction": "v4tov4"}, {"direction": "v6tov4"}, None),
        ({"direction": "v4tov4"}, {"listen_address": "::1", "connect_address": "a.b"}, None),
    ],
)
def test_rules_clash_where_both_would_listen(one, other, where):
    assert clash(spec(**one), spec(**other)) == where
    assert clash(spec(**other), spec(**one)) == where


def test_name_leads_nowhere_until_it_is_resolved_and_then_to_all_its_addresses():
    rule = PortProxyRule("x", spec(connect_address="www.example.com"))
    assert not rule.status({})["ready"]
    rule.name_failed("no address found")
    assert rule.status({})["summary"] == "* port 80: no address found"
    rule.name_resolved(["2001:db8::1", "2001:db8::2", "192.0.2.1"])
    assert rule.addresses() == ("2001:db8::1", "192.0.2.1", "2001:db8::2")
    assert rule.status({})["ready"]
    rule.name_failed("the server is silent")
    assert rule.addresses()
    assert list(rule.problems()) == ["the server is silent; its last addresses go on to be used"]


def test_direction_leaves_the_other_family_out():
    rule = PortProxyRule("x", spec(direction="v4tov6", connect_address="www.example.com"))
    rule.name_resolved(["192.0.2.1", "2001:db8::1"])
    assert rule.addresses() == ("2001:db8::1",)


def test_name_of_this_host_never_leads_to_the_rule_itself():
    rule = PortProxyRule("x", spec(connect_address="www.example.com"))
    rule.update_facts(HostFacts(host_endpoints=frozenset({IPv4Address("10.0.0.1")})))
    rule.name_resolved(["10.0.0.1"])
    assert all(not listener["targets"] for listener in rule.listeners())
    assert "leads to this rule again" in next(iter(rule.problems()))


def test_protocols_with_addresses_inside_are_warned_of():
    told = list(PortProxyRule("x", spec(listen_port="21,5060")).problems())
    assert [one.partition(":")[0] for one in told] == ["port 21", "port 5060"]


def test_what_workers_are_told_is_what_they_take():
    rule = Rule("x")
    rule.configure(PortProxyRule("x", spec(refused_sources=["10.0.0.0/8"])).told())
    assert not rule.quick
    assert not rule.admits(bytes([10, 1, 2, 3]))
    assert rule.admits(bytes([11, 1, 2, 3]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies check themselves, and survive JSON."""

import json
from ipaddress import IPv6Network, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.topologies import ISATAP, ISATAP_TWO_ROUTERS, PORTPROXY, TOPOLOGIES
from tests.lab.topology import Host, Interface, Network, Route, Topology, TopologyError, Zone


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_a_topology_survives_json(topology):
    assert Topology.from_dict(json.loads(json.dumps(topology.as_dict()))) == topology


@given(
    address=st.ip_addresses(),
    mtu=st.integers(1280, 65535),
    metric=st.integers(0, 2**32 - 1),
    offload=st.booleans(),
    records=st.lists(st.text()),
)
def test_any_topology_survives_json(address, mtu, metric, offload, records):
    link = Interface("eth0", "link", (ip_interface(address),))
    route = Route(ip_network(address), address, metric)
    host = Host("a", (link,), (route,), zones=(Zone("example", tuple(records)),), groups=("g",))
    network = Network("link", mtu=mtu, transmit_offload=offload)
    topology = Topology("any", (network,), (host,), name_servers=(address,))
    assert Topology.from_dict(json.loads(json.dumps(topology.as_dict()))) == topology


def test_the_example_has_the_white_papers_addresses():
    assert {host.name: [str(a) for a in host.addresses] for host in ISATAP.hosts} == {
        "router": ["10.0.0.1", "2001:db8:0:c::1"],
        "a": ["192.168.47.99"],
        "b": ["131.107.71.209"],
        "dns": ["10.0.1.53"],
        "c": ["2001:db8:0:c::c"],
        "core": ["10.0.0.254", "192.168.47.254", "131.107.71.254", "10.0.1.254"],
    }


def test_no_two_hosts_of_the_intranet_are_on_one_link():
    for network in ISATAP.networks:
        names = {host.name for host, _interface in ISATAP.attachments(network)}
        assert "core" in names or network.name == "native"
        assert len(names) == 2


def test_no_underlay_carries_ipv6():
    private = {"native", "branch-lan", "lan", "lan1", "lan2"}
    for topology in TOPOLOGIES.values():
        assert {n.name for n in topology.networks if n.ipv6} <= private
        if topology is not PORTPROXY:  # its two segments have no router between them
            assert not topology.host("core").ipv6


def test_the_second_router_is_on_both_sides():
    second = ISATAP_TWO_ROUTERS.host("router2")
    assert [str(a) for a in second.addresses] == ["10.0.2.1", "2001:db8:0:c::2"]
    native = ISATAP_TWO_ROUTERS.host("c")
    assert [(str(r.gateway), r.metric) for r in native.routes] == [
        ("2001:db8:0:c::1", 1024),
        ("2001:db8:0:c::2", 2048),
    ]
    assert native.routes[0].destination == IPv6Network("::/0")


def one_host(**changes):
    """Return a topology of one host on one network, with ``changes`` to the host."""
    options = {"interfaces": (Interface("eth0", "link"),), **changes}
    return Topology("t", (Network("link", ipv6=False),), (Host("a", **options),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Network("Link"), "network 'Link'"),
        (lambda: Network("link", mtu=1000), "network link: mtu=1000"),
        (lambda: Zone("corp..example"), "zone 'corp..example', label ''"),
        (lambda: Host("../a", ()), "host '../a'"),
        (lambda: Host("a", (Interface("lo", "l"),)), "host a: interface 'lo'"),
        (lambda: Host("a", (Interface("e" * 16, "l"),)), "host a: interface 'eeee"),
        (lambda: Host("a", (Interface("e0", "l"), Interface("e0", "m"))), "one name"),
        (
            lambda: one_host(routes=(Route(ip_network("::/0"), ip_address("fe80::1")),)),
            "host a: gateway fe80::1",
        ),
        (lambda: one_host(interfaces=(Interface("eth0", "lnk"),)), "network 'lnk'"),
        (
            lambda: one_host(interfaces=(Interface("e0", "link", (ip_interface("::1/64"),)),)),
            "host a: interface e0: ::1/64 is IPv6",
        ),
        (lambda: Topology("t", (Network("n"), Network("n")), ()), "two networks"),
        (lambda: Topology("t", (), (Host("a", ()), Host("a", ()))), "two hosts"),
        (lambda: ISATAP.host("d"), "has no host 'd'; it has router, a, b"),
    ],
)
def test_a_contradiction_is_named_in_one_line(make, message):
    with pytest.raises(TopologyError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)

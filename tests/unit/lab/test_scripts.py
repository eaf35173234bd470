# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab hands to the shell and to ``ip -batch``."""

import re
from ipaddress import ip_interface
from pathlib import Path

import pytest

from tests.lab import scripts
from tests.lab.topologies import ISATAP, ISATAP_TWO_ROUTERS
from tests.lab.topology import Host, Interface, Network, Topology


def links(topology):
    return scripts.links_batch(topology, {h.name: Path("/ns") / h.name for h in topology.hosts})


def test_two_hosts_on_a_network_share_a_veth_pair():
    assert links(ISATAP).splitlines()[0] == (
        "link add name eth0 index 10 mtu 1500 netns /ns/router "
        "type veth peer name eth0 index 11 mtu 1500 netns /ns/core"
    )
    assert "bridge" not in links(ISATAP)


def test_three_hosts_on_a_network_share_a_bridge():
    batch = links(ISATAP_TWO_ROUTERS)
    assert batch.count("type bridge") == 1
    assert len(re.findall(r"link set dev port\d+ master bridge5 up", batch)) == 3


@pytest.mark.parametrize("topology", [ISATAP, ISATAP_TWO_ROUTERS])
def test_no_two_interfaces_have_one_index(topology):
    indexes = re.findall(r"index (\d+)", links(topology))
    assert len(set(indexes)) == len(indexes)


def test_no_link_ever_exists_in_the_machines_own_namespace():
    for line in links(ISATAP).splitlines():
        assert line.count("netns /ns/") == 2


def test_the_lab_leaves_ipv6_forwarding_to_the_agent():
    for host in ISATAP_TWO_ROUTERS.hosts:
        text = scripts.namespace_script(host, Path("/h"))
        assert "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding" in text
        assert "ipv6/conf/all/forwarding" not in scripts.interfaces_script(ISATAP_TWO_ROUTERS, host)


def test_only_the_core_router_forwards_ipv4_and_has_no_ipv6():
    for host in ISATAP.hosts:
        text = scripts.namespace_script(host, Path("/h"))
        is_core = int(host.name == "core")
        assert f"echo {is_core} > /proc/sys/net/ipv4/ip_forward" in text
        assert f"echo {is_core} > /proc/sys/net/ipv6/conf/all/disable_ipv6" in text


def test_ipv6_is_off_on_an_ipv4_only_link_before_the_link_comes_up():
    text = scripts.interfaces_script(ISATAP, ISATAP.host("router"))
    disable = text.index("echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    assert disable < text.index("link set dev eth0 up")
    assert "echo 0 > /proc/sys/net/ipv6/conf/lan0/disable_ipv6" in text


def test_a_host_is_configured_with_addresses_and_routes():
    text = scripts.interfaces_script(ISATAP, ISATAP.host("c"))
    assert "address add 2001:db8:0:c::c/64 dev lan0 nodad\n" in text
    assert "route add ::/0 via 2001:db8:0:c::1 dev lan0 metric 1024 onlink\n" in text


def test_transmit_offload_is_left_alone_unless_the_network_says_so():
    interface = Interface("eth0", "link", (ip_interface("192.0.2.1/24"),))
    for offload in (True, False):
        network = Network("link", transmit_offload=offload)
        topology = Topology("t", (network,), (Host("a", (interface,)),))
        text = scripts.interfaces_script(topology, topology.hosts[0])
        assert ("ethtool -K eth0 tx off" in text) is not offload


def test_the_namespaces_of_other_labs_are_let_go_before_run_is_covered():
    text = scripts.namespace_script(ISATAP.host("a"), Path("/h"))
    assert text.index("umount --lazy") < text.index("--move /sys /run")


def test_a_hosts_file_names_nobody_else():
    text = scripts.hosts_file(ISATAP.host("a"), "corp.example")
    assert "127.0.1.1 a.corp.example a\n" in text
    assert "router" not in text


def test_resolver_file():
    text = scripts.resolver_file(ISATAP.domain, ISATAP.name_servers)
    assert text == "search corp.example\nnameserver 10.0.1.53\n"


def test_host_names_come_from_the_hosts_file_and_the_dns_alone():
    machine = "passwd: files systemd\nhosts: files mdns4_minimal [NOTFOUND=return] resolve\n"
    text = scripts.name_service_switch_file(machine)
    assert text == "passwd: files systemd\nhosts: files dns\n"

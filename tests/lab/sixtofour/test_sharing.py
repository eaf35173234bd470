# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 router that shares its IPv4 as Internet Connection Sharing does on Windows."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually, pings, refusal, remove, status
from tests.lab.sixtofour.site import OLD_SITE, PUBLIC, REMOTE, SITES, address_in, set_address

pytestmark = pytest.mark.lab

KIND = "sixtofour_router"
LAN = {"interface": "lan0", "dhcp": True}
SPEC = {"private_interfaces": [LAN], "ipv4_sharing": True}
TABLE = "v6ferry/sixtofour_router/default"
FOREIGN = """
table inet filter {
    set blocked { type ipv4_addr; elements = { 203.0.113.7, 203.0.113.9 } }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ip saddr @blocked counter drop comment "not ours"
    }
}
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "tun9" masquerade
    }
}
"""
# What DHCP has given, as busybox udhcpc tells its script.
SCRIPT = """#!/bin/sh
case "$1" in
    deconfig) ip -4 addr flush dev $interface ;;
    bound|renew)
        ip addr replace $ip/$mask dev $interface
        ip route replace default via $router dev $interface
        echo "nameserver $dns" > /etc/resolv.conf
        echo "$1 $ip $router $dns $lease" >> /run/udhcpc.log ;;
esac
"""
SERVER = """
import socket
with socket.create_server(("0.0.0.0", 8080)) as server:
    while True:
        client, address = server.accept()
        with client:
            client.sendall(address[0].encode())
"""
ASK = "import socket,sys; print(socket.create_connection((sys.argv[1],8080),2).recv(99).decode())"


@pytest.fixture(scope="module")
def site() -> Iterator[Lab]:
    with Lab(SITES) as lab:
        router, remote = lab["router"], lab["remote"]
        router.run(["nft", "-f", "-"], input=FOREIGN)
        router.start_agent()
        for host in (remote, router):
            host.start_service(
                "server", [sys.executable, "-c", SERVER], ready=lambda _one, h=host: listens(h)
            )
        router.write("/etc/resolv.conf", "nameserver 127.0.0.9\n")
        yield lab


def listens(host: LabHost) -> bool:
    return ":8080" in host.run(["ss", "-Hltn"]).stdout


def rules(host: LabHost, *what: str) -> str:
    return host.run(["nft", "list", *what], check=False).stdout


def foreign_rules(host: LabHost) -> str:
    return rules(host, "table", "inet", "filter") + rules(host, "table", "ip", "nat")


def lease(host: LabHost) -> list[str]:
    """Get an address as a stock host does; returns address, router, DNS server and seconds."""
    host.write("/etc/udhcpc.script", SCRIPT)
    host.path("/etc/udhcpc.script").chmod(0o755)
    host.path("/run/udhcpc.log").unlink(missing_ok=True)
    command = ["busybox", "udhcpc", "-i", "eth0", "-s", "/etc/udhcpc.script", "-n", "-q", "-f"]
    host.run([*command, "-t", "8", "-T", "1", "-x", f"hostname:{host.name}"])
    return host.path("/run/udhcpc.log").read_text().split()[1:]


def asks(host: LabHost, server: str) -> str:
    """The address that a TCP server sees of a host; nothing if it cannot be reached."""
    done = host.run([sys.executable, "-c", ASK, server], check=False)
    return done.stdout.strip()


def test_all_of_it_is_off_by_default(site):
    router = site["router"]
    apply(router, KIND, private_interfaces=[{"interface": "lan0"}])
    assert TABLE not in rules(router, "ruleset")
    assert "dnsmasq" not in router.run(["ss", "-Hlnup"]).stdout
    assert router.run(["sysctl", "-n", "net.ipv4.conf.lan0.forwarding"]).stdout == "0\n"
    shown = status(router)
    assert (shown["ipv4_sharing"], shown["dhcp"]) == (None, {})


def test_a_stock_host_gets_a_lease_and_reaches_an_ipv4_server(site):
    """The white paper: the private interface uses private addresses of 192.168.0.0/24."""
    router, a = site["router"], site["a"]
    before = foreign_rules(router)
    apply(router, KIND, **SPEC)
    address, gateway, dns, seconds = lease(a)
    assert address in {f"192.168.0.{number}" for number in range(2, 255)}
    assert (gateway, dns, seconds) == ("192.168.0.1", "192.168.0.1", "3600")
    assert asks(a, REMOTE) == PUBLIC
    with site["core"].capture("eth0", "ip proto 1") as capture:
        assert pings(a, REMOTE)
    assert {packet["IP"].src for packet in capture.packets} == {PUBLIC, REMOTE}
    assert foreign_rules(router) == before
    assert TABLE in rules(router, "tables")
    shown = router.v6ferry("show").stdout
    assert "IPv4 of eth0 with lan0" in shown
    assert "lan0: 192.168.0.1-192.168.0.254" in shown
    # Only what has to forwards: there may be other interfaces.
    assert router.run(["sysctl", "-n", "net.ipv4.ip_forward"]).stdout == "0\n"
    eventually(lambda: address_in(a, OLD_SITE) is not None)


def test_the_router_itself_and_its_hosts_are_not_translated_to_each_other(site):
    assert asks(site["router"], REMOTE) == PUBLIC
    assert asks(site["a"], "192.168.0.1").startswith("192.168.0.")


def test_second_apply_changes_nothing(site):
    router = site["router"]
    before = rules(router, "-a", "ruleset")
    log = router.agent.log.read_text()
    resource = [{"kind": KIND, "name": "default", "spec": SPEC}]
    done = router.v6ferry("apply", "-", "--json", input=json.dumps(resource))
    assert json.loads(done.stdout)["changed"] is False
    time.sleep(0.5)
    assert rules(router, "-a", "ruleset") == before
    assert "masquerade" not in router.agent.log.read_text()[len(log) :]


def test_check_mode_says_what_would_change_and_changes_nothing(site):
    router = site["router"]
    resource = [{"kind": KIND, "name": "default", "spec": {**SPEC, "ipv4_sharing": False}}]
    done = router.v6ferry("apply", "-", "--dry-run", "--json", input=json.dumps(resource))
    (one,) = json.loads(done.stdout)["resources"]
    assert one["actions"] == ["change sixtofour_router default: ipv4_sharing"]
    assert TABLE in rules(router, "tables")


@pytest.mark.parametrize(
    "undo",
    [
        ["nft", "delete", "table", "ip", TABLE],
        ["nft", "flush", "chain", "ip", TABLE, "postrouting"],
        ["nft", "add", "rule", "ip", TABLE, "postrouting", "counter"],
        ["sysctl", "-qw", "net.ipv4.ip_forward=0"],
    ],
)
def test_what_somebody_undoes_is_made_again(site, undo):
    router = site["router"]
    before = rules(router, "table", "ip", TABLE)
    router.run(undo)
    eventually(lambda: rules(router, "table", "ip", TABLE) == before)
    eventually(lambda: asks(site["a"], REMOTE) == PUBLIC)


def test_a_killed_dhcp_server_is_started_again(site):
    router = site["router"]
    (process,) = servers(router)
    router.run(["kill", "-9", process])
    eventually(lambda: servers(router) not in ([], [process]), 10)
    eventually(lambda: status(router)["ready"], 10)
    assert lease(site["a"])


def servers(host: LabHost) -> list[str]:
    """Process ids of the DHCP servers of a host."""
    found = host.run(["ss", "-HlnupO", "sport = :67"]).stdout
    return [one.partition(",")[0] for one in found.split("pid=")[1:]]


def test_hosts_notice_nothing_of_an_agent_that_is_away(site):
    """The table stays, the leases are kept, and a server that was left makes room."""
    router, a = site["router"], site["a"]
    address = lease(a)[0]
    left = servers(router)
    router.kill_agent()
    assert asks(a, REMOTE) == PUBLIC
    assert lease(a)[0] == address
    router.start_agent()
    eventually(lambda: len(servers(router)) == 1 and servers(router) != left)
    assert lease(a)[0] == address
    assert lease(site["b"])[0] != address
    assert router.stop_agent() == 0
    assert servers(router) == []
    assert TABLE in rules(router, "tables")
    router.start_agent()
    eventually(lambda: len(servers(router)) == 1)


def test_no_private_source_leaves_while_the_public_address_changes(site):
    router, a = site["router"], site["a"]
    ping = a.popen(["ping", "-n", "-i", "0.02", "-c", "150", REMOTE], stdout=-1)
    with site["core"].capture("eth0", "icmp and src net 192.168.0.0/16") as capture:
        time.sleep(0.5)
        set_address(site, PUBLIC, "131.107.23.90")
        eventually(lambda: asks(a, REMOTE) == "131.107.23.90")
        set_address(site, "131.107.23.90", PUBLIC)
        ping.wait(20)
    assert capture.packets == []
    eventually(lambda: asks(a, REMOTE) == PUBLIC)
    assert "masquerade IPv4" not in router.agent.log.read_text()


def test_range_dns_servers_and_lease_time_are_the_user_s(site):
    router, b = site["router"], site["b"]
    lan = {**LAN, "dhcp_range": "192.168.0.100-192.168.0.101"}
    spec = {**SPEC, "private_interfaces": [lan]}
    apply(router, KIND, **spec, dhcp_dns_servers=["198.51.100.53"], dhcp_lease_time=600)
    address, _gateway, dns, seconds = lease(b)
    assert address in ("192.168.0.100", "192.168.0.101")
    assert (dns, seconds) == ("198.51.100.53", "600")
    assert ":53 " not in router.run(["ss", "-Hlnu"]).stdout


def test_what_is_not_yet_possible_is_told(site):
    router = site["router"]
    lan = {**LAN, "dhcp_range": "10.0.0.1-10.0.0.9"}
    resource = [{"kind": KIND, "name": "default", "spec": {**SPEC, "private_interfaces": [lan]}}]
    router.v6ferry("apply", "-", input=json.dumps(resource))
    shown = status(router)
    assert not shown["ready"]
    assert "dhcp_range 10.0.0.1-10.0.0.9 is not in its subnet" in shown["summary"]
    assert "192.168.0.1/24" in router.v6ferry("doctor", check=False).stdout
    apply(router, KIND, **SPEC)


def test_a_server_that_is_in_the_way_is_told_and_nothing_is_half_applied(site):
    remote = site["remote"]
    before = rules(remote, "ruleset")
    other = remote.start_service(
        "named",
        [sys.executable, "-c", OTHER_SERVER],
        ready=lambda _one: ":53 " in remote.run(["ss", "-Hlnu"]).stdout,
    )
    remote.start_agent()
    said = refusal(remote, KIND, **SPEC)
    assert "dnsmasq does not start" in said
    assert "Address already in use" in said
    assert rules(remote, "ruleset") == before
    assert remote.run(["sysctl", "-n", "net.ipv4.conf.lan0.forwarding"]).stdout == "0\n"
    assert remote.v6ferry("show").stdout.endswith("no resources\n")
    other.stop()
    apply(remote, KIND, **SPEC)
    remove(remote, KIND)
    assert rules(remote, "ruleset") == before


OTHER_SERVER = """
import signal, socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("192.168.1.1", 53))
signal.pause()
"""


def test_doctor_names_a_firewall_in_the_way(site):
    router = site["router"]
    firewall = "add chain inet filter forward { policy drop; }"
    router.run(["nft", firewall])
    said = router.v6ferry("doctor", check=False).stdout
    assert "inet filter forward drops forwarded packets" in said
    router.run(["nft", firewall.replace("drop", "accept")])
    assert "forwarded packets" not in router.v6ferry("doctor", check=False).stdout


def test_missing_program_is_one_clear_line_and_names_the_package(site):
    """Also in check mode: the host would refuse."""
    router = site["router"]
    router.stop_agent()
    router.path("/run/empty").mkdir()
    router.run(["mount", "--bind", "/run/empty", "/usr/sbin"])
    try:
        router.start_agent()
        said = refusal(router, KIND, **SPEC)
        assert "ipv4_sharing: the program nft is not installed" in said
        assert "nftables" in said
        resource = [{"kind": KIND, "spec": {"private_interfaces": [LAN]}}]
        done = router.v6ferry("apply", "-", "--dry-run", input=json.dumps(resource), check=False)
        assert "dhcp: the program dnsmasq is not installed" in done.stderr
    finally:
        router.stop_agent()
        router.run(["umount", "/usr/sbin"])
        router.start_agent()
    eventually(lambda: status(router)["ready"])


def test_removal_leaves_the_host_as_it_was(site):
    router = site["router"]
    before = foreign_rules(router)
    remove(router, KIND)
    assert TABLE not in rules(router, "ruleset")
    assert foreign_rules(router) == before
    assert servers(router) == []
    for name in ("lan0", "eth0"):
        parameter = f"net.ipv4.conf.{name}.forwarding"
        assert router.run(["sysctl", "-n", parameter]).stdout == "0\n"
    assert not list(router.path("/var/lib/v6ferry/dhcp").iterdir())
    assert not router.path("/run/v6ferry/sharing.json").exists()


def test_file_that_is_removed_while_the_agent_is_away_takes_the_table_with_it(site):
    router = site["router"]
    apply(router, KIND, **SPEC)
    router.stop_agent()
    router.path(f"/var/lib/v6ferry/resources/{KIND}/default.json").unlink()
    router.start_agent()
    assert TABLE not in rules(router, "ruleset")
    assert router.run(["sysctl", "-n", "net.ipv4.conf.lan0.forwarding"]).stdout == "0\n"

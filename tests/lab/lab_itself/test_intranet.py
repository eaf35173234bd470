# SPDX-License-Identifier: GPL-3.0-or-later
"""The example intranet is what it promises to be: IPv4-only, routed, with IPv6 beyond it."""

from __future__ import annotations

import os
import shlex
import signal
import sys

import pytest

from tests.lab import LabError, inventory_yaml

pytestmark = pytest.mark.lab

PING = ("ping", "-n", "-c", "1", "-W", "1")


def test_hosts_of_the_intranet_reach_each_other_through_the_core_router(lab):
    with lab["core"].capture("any", "icmp") as capture:
        said = lab["a"].run([*PING, str(lab["b"].ipv4)]).stdout
    assert "ttl=63" in said  # of 64: one router in the path
    assert capture.packets


@pytest.mark.parametrize("name", ["router", "a", "b", "dns", "core"])
def test_no_link_of_the_intranet_carries_ipv6(lab, name):
    for interface in lab[name].host.interfaces:
        if interface.network != "native":
            shown = lab[name].run(["ip", "-6", "address", "show", "dev", interface.name]).stdout
            assert shown == ""


def test_a_router_that_speaks_no_ipv6_forwards_none(lab):
    settings = "/proc/sys/net/ipv6/conf/all"
    assert lab["core"].run(["cat", f"{settings}/disable_ipv6"]).stdout == "1\n"
    assert lab["core"].run(["cat", f"{settings}/forwarding"]).stdout == "0\n"


def test_the_native_host_has_no_ipv4_and_reaches_the_isatap_router(lab):
    c = lab["c"]
    assert c.run(["ip", "-4", "address", "show", "dev", "lan0"]).stdout == ""
    c.run([*PING, str(lab["router"].ipv6)])


def test_nobody_on_the_intranet_reaches_the_native_host_before_anything_is_done(lab):
    for name in ("a", "b"):
        assert lab[name].run([*PING, str(lab["c"].ipv6)], check=False).returncode != 0


def test_a_host_has_files_of_its_own_and_nobody_else_sees_them(lab, tmp_path):
    paths = [f"{directory}/only-in-a" for directory in ("/etc", "/run", "/var/lib")]
    a, b = lab["a"], lab["b"]
    for path in paths:
        a.run(["tee", path], input="mine")
    try:
        for path in paths:
            assert a.path(path).read_text() == "mine"
            assert b.run(["test", "-e", path], check=False).returncode == 1
            assert not tmp_path.joinpath(path).exists()  # joined with an absolute path: the path
    finally:
        a.run(["rm", *paths])


def test_a_host_has_a_name_and_interfaces_of_its_own(lab):
    for host in lab.hosts:
        assert host.run(["uname", "-n"]).stdout == f"{host.name}\n"
        shown = host.run(["ls", "/sys/class/net"]).stdout.split()
        wanted = {interface.name for interface in host.host.interfaces}
        assert set(shown) - {"lo"} >= wanted


def test_names_come_from_the_name_server(lab):
    assert lab["a"].run(["getent", "ahostsv4", "b"]).stdout.startswith("131.107.71.209 ")
    assert lab["a"].run(["getent", "hosts", "isatap"], check=False).returncode == 2


def update(host, *arguments):
    """Try to add a name to the zone, as DNS update (RFC 2136)."""
    commands = "server 10.0.1.53\nzone corp.example\nupdate add new.corp.example 5 A 192.0.2.1\n"
    return host.run(["nsupdate", *arguments], input=f"{commands}send\n", check=False)


def test_the_name_server_takes_signed_updates_and_no_others_rfc8945(lab):
    """A name server refuses what is not signed with the zone's key (RFC 8945 section 5)."""
    a, key = lab["a"], lab.tsig_key
    assert "REFUSED" in update(a).stderr
    wrong = f"{key.algorithm}:{key.name}:d3Jvbmc="
    assert "BADSIG" in update(a, "-y", wrong).stderr
    assert a.run(["getent", "hosts", "new"], check=False).returncode == 2
    done = update(a, "-y", f"{key.algorithm}:{key.name}:{key.secret}")
    assert (done.returncode, done.stderr) == (0, "")
    assert a.run(["dig", "+short", "new.corp.example"]).stdout == "192.0.2.1\n"


def test_a_capture_has_what_its_block_has_caused(lab):
    with lab["core"].capture("any", "icmp and host 10.0.1.53") as capture:
        lab["a"].run([*PING, "10.0.1.53"])
    kinds = [packet.getlayer("ICMP").type for packet in capture.packets]
    assert (kinds.count(8), kinds.count(0)) == (2, 2)  # each seen coming in and going out


def send_while_tcpdump_stands_still(lab, count):
    """Send datagrams from ``a`` to the DNS server's host; return the capture of them there."""
    send = f"""
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range({count}):
    sender.sendto(bytes(100), ("10.0.1.53", 9))
"""
    with lab["dns"].capture("eth0", "udp dst port 9") as capture:
        os.kill(capture.service.process.pid, signal.SIGSTOP)
        lab["a"].run([sys.executable, "-c", send])
        os.kill(capture.service.process.pid, signal.SIGCONT)
    return capture


def test_a_capture_has_what_came_while_tcpdump_had_no_processor(lab):
    assert len(send_while_tcpdump_stands_still(lab, 200).packets) == 200


def test_a_capture_that_lacks_packets_says_so(lab):
    with pytest.raises(LabError, match=r"tcpdump: \d+ packets came too fast to be written"):
        send_while_tcpdump_stands_still(lab, 1000)


def test_a_failing_program_is_one_line_with_its_own_words(lab):
    with pytest.raises(LabError, match=r"^host a: `ls /missing` ended with status 2: ls: cannot"):
        lab["a"].run(["ls", "/missing"])


def test_a_service_that_ends_early_shows_its_log(lab):
    with pytest.raises(LabError, match=r"(?s)host a: moody ended with status 3;.*not today"):
        lab["a"].start_service(
            "moody", ["sh", "-c", "echo not today; exit 3"], ready=lambda _: False
        )


def test_radvd_runs_in_a_host(lab):
    configuration = "interface lan0 { AdvSendAdvert on; prefix 2001:db8:0:c::/64 { }; };\n"
    service = lab["c"].start_radvd(configuration)
    assert service.running
    service.stop()


def test_ansible_enters_every_host_by_the_inventory(lab, ansible):
    (lab.directory / "hosts.yml").write_text(inventory_yaml(lab))
    said = ansible("all", "-i", lab.directory / "hosts.yml", "-m", "command", "-a", "uname -n")
    for host in lab.hosts:
        assert f"{host.name} | CHANGED | rc=0 >>\n{host.name}\n" in said


def test_a_person_can_enter_a_host(lab, command_line):
    done = command_line("enter", lab.name, "b", "sh", "-c", "uname -n; command -v v6ferry; pwd")
    name, agent, directory = done.stdout.splitlines()
    assert name == "b"
    assert agent.endswith("/v6ferry")
    assert directory == command_line.directory, shlex.join(done.args)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom, and by which way."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from tests.lab.isatap.intranet import (
    LINK_LOCAL_A,
    LINK_LOCAL_B,
    A,
    B,
    C,
    addresses,
    pings,
    status,
)

pytestmark = pytest.mark.lab

RECEIVE = """
import hashlib, socket
server = socket.create_server(("::", 5001), family=socket.AF_INET6)
print("ready", flush=True)
connection, digest = server.accept()[0], hashlib.sha256()
while data := connection.recv(65536):
    digest.update(data)
print(digest.hexdigest())
"""
SEND = """
import hashlib, random, socket, sys
data = random.Random(1).randbytes(10_000_000)
with socket.create_connection((sys.argv[1], 5001)) as connection:
    connection.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""


def test_hosts_have_the_white_paper_s_addresses_rfc5214_6_1(lab):
    """RFC 5214 section 6.1."""
    assert addresses(lab["a"]) == {LINK_LOCAL_A, A}
    assert addresses(lab["b"]) == {LINK_LOCAL_B, B}


@pytest.mark.parametrize(
    ("source", "target"),
    [("a", B), ("b", A), ("a", C), ("b", C), ("c", A), ("c", B)],
)
def test_everybody_reaches_everybody(lab, source, target):
    assert pings(lab[source], target)


def test_link_local_addresses_reach_each_other(lab):
    assert pings(lab["a"], f"{LINK_LOCAL_B}%isatap0")
    assert pings(lab["b"], f"{LINK_LOCAL_A}%isatap0")


def test_hosts_talk_directly_rfc5214_7_2(lab):
    """RFC 5214 section 7.2: the router sees none of it."""
    with (
        lab["core"].capture("any", "proto 41") as middle,
        lab["router"].capture("eth0", "proto 41") as at_router,
    ):
        assert pings(lab["a"], B)
        assert pings(lab["a"], f"{LINK_LOCAL_B}%isatap0")
    ways = {(one[IP].src, one[IP].dst) for one in middle.packets if one.haslayer(IP)}
    assert ways == {("192.168.47.99", "131.107.71.209"), ("131.107.71.209", "192.168.47.99")}
    assert at_router.packets == []


def test_native_hosts_are_reached_through_the_router(lab):
    with lab["core"].capture("any", "proto 41") as middle:
        assert pings(lab["a"], C)
    ways = {(one[IP].src, one[IP].dst) for one in middle.packets if one.haslayer(IP)}
    assert ways == {("192.168.47.99", "10.0.0.1"), ("10.0.0.1", "192.168.47.99")}


def test_tunnel_is_one_hop_rfc4213_3_3(lab):
    """RFC 4213 section 3.3: however many IPv4 routers lie in between."""
    with lab["b"].capture("eth0", "proto 41") as capture:
        assert pings(lab["a"], B)
    request, *_rest = capture.packets
    assert request[IPv6].hlim == 64
    with lab["a"].capture("eth0", "proto 41") as capture:
        assert pings(lab["a"], C)
    answer = next(one for one in capture.packets if one[IPv6].src == C)
    assert answer[IPv6].hlim == 63


def test_hop_limit_that_ends_at_the_router_is_answered_rfc4443_3_3(lab):
    """RFC 4443 section 3.3."""
    done = lab["a"].run(["ping", "-n", "-c", "1", "-W", "2", "-t", "1", C], check=False)
    assert "From 2001:db8:0:7:0:5efe:a00:1" in done.stdout
    assert "Hop limit" in done.stdout


def test_tcp_of_ten_megabytes_arrives_intact(lab):
    for source, target, address in (("a", "b", B), ("a", "c", C), ("c", "a", A)):
        receiver = lab[target].popen(["python3", "-c", RECEIVE], stdout=-1, text=True)
        assert receiver.stdout.readline() == "ready\n"
        sent = lab[source].run(["python3", "-c", SEND, address]).stdout
        assert receiver.communicate(timeout=30)[0] == sent


def test_show_and_explain_say_so(lab):
    assert status(lab["a"])["ready"]
    said = lab["a"].v6ferry("explain", B).stdout
    assert "from 192.168.47.99 to 131.107.71.209" in said
    assert "=> it goes through isatap0 to the endpoint 131.107.71.209" in said
    assert lab["a"].v6ferry("explain", LINK_LOCAL_B).returncode == 0
    assert lab["a"].v6ferry("explain", "2001:db8:0:7::1", check=False).returncode == 1
    assert "all is well" in lab["a"].v6ferry("doctor").stdout

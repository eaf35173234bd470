# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 in UDP between two hosts, the endpoint inside the address or in the peer table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

from tests.lab import Lab, bulk
from tests.lab.fast_path.teredo import (
    PORT,
    A,
    B,
    client,
    native_address,
    teredo_address,
    two_hosts,
)
from tests.lab.isatap.intranet import eventually, pings
from tests.lab.isatap.test_data_plane import send
from tests.lab.plane_process import PlaneProcess, plane_process

pytestmark = pytest.mark.lab

MTU = "1472"


class Scene(NamedTuple):
    """Two hosts and their planes."""

    lab: Lab
    plane: str
    a: PlaneProcess
    b: PlaneProcess


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    plane = request.param
    with (
        # The userspace plane needs checksums that somebody has finished.
        Lab(two_hosts(transmit_offload=plane == "ebpf")) as lab,
        plane_process(lab["a"], plane, client, str(A), str(B), MTU) as a,
        plane_process(lab["b"], plane, client, str(B), str(A), MTU) as b,
    ):
        yield Scene(lab, plane, a, b)


ADDRESSES = pytest.mark.parametrize(
    ("target", "rule"), [(teredo_address(B), "clients"), (native_address(B), "peers")]
)


@ADDRESSES
def test_echo_is_answered_in_udp_from_our_port_to_theirs(scene: Scene, target, rule) -> None:
    with scene.lab["b"].capture("eth0", "udp") as capture:
        assert pings(scene.lab["a"], str(target))
    request, *_rest = (one for one in capture.packets if one[IP].src == str(A))
    assert (request[UDP].sport, request[UDP].dport, request[UDP].chksum) == (PORT, PORT, 0)
    assert request[IP].dst == str(B)
    assert IPv6(bytes(request[UDP].payload)).dst == str(target)


@ADDRESSES
def test_bulk_tcp_arrives_whole(scene: Scene, target, rule) -> None:
    before = scene.b.counters()
    receive = bulk.receive(scene.lab["b"], 4242)
    sent = bulk.send(scene.lab["a"], str(target), 4242, 20)
    assert receive(60) == sent(60)
    after = scene.b.counters()
    assert after["rules"][rule] - before["rules"].get(rule, 0) > 20e6 / 1472
    if scene.plane == "ebpf":
        packets = after["packets_in"] - before["packets_in"]
        assert sum(after["handed_up"].values()) < packets / 100


@ADDRESSES
def test_largest_packet_passes_and_a_larger_one_is_answered(scene: Scene, target, rule) -> None:
    assert pings(scene.lab["a"], str(target), "-M", "do", "-s", str(1472 - 48))
    assert not pings(scene.lab["a"], str(target), "-M", "do", "-s", str(1473 - 48), wait=0.3)


def outer(sport: int, inner: IPv6, **fields: int) -> IP:
    return IP(src=str(A), dst=str(B)) / UDP(sport=sport, dport=PORT, **fields) / inner


def test_right_source_from_the_wrong_port_is_dropped_rfc4380_5_2_3(scene: Scene) -> None:
    echo = IPv6(src=str(teredo_address(A)), dst=str(teredo_address(B))) / ICMPv6EchoRequest()
    for source in (teredo_address(A), native_address(A)):
        echo.src = str(source)
        before = scene.b.counters()["drops"].get("inner_source_does_not_match_outer", 0)
        send(scene.lab["a"], outer(PORT + 1, echo))
        eventually(
            lambda seen=before: (
                scene.b.counters()["drops"].get("inner_source_does_not_match_outer", 0) == seen + 1
            )
        )


def test_packet_with_a_udp_checksum_is_taken_too(scene: Scene) -> None:
    """Other implementations write one; the kernel looks at it where no network card has."""
    echo = IPv6(src=str(teredo_address(A)), dst=str(teredo_address(B))) / ICMPv6EchoRequest()
    before = scene.b.counters()["packets_in"]
    send(scene.lab["a"], outer(PORT, echo))
    eventually(lambda: scene.b.counters()["packets_in"] == before + 1)
    send(scene.lab["a"], outer(PORT, echo, chksum=1))
    send(scene.lab["a"], outer(PORT, echo))
    eventually(lambda: scene.b.counters()["packets_in"] == before + 2)


def test_unknown_peer_is_told_to_the_sender(scene: Scene) -> None:
    before = scene.a.counters()["drops"].get("no_peer", 0)
    assert not pings(scene.lab["a"], "2001:db8::77", wait=0.3)
    eventually(lambda: scene.a.counters()["drops"].get("no_peer", 0) == before + 1)


def test_udp_of_other_programs_passes_by(scene: Scene) -> None:
    with scene.lab["b"].capture("eth0", "icmp") as capture:
        send(scene.lab["a"], IP(src=str(A), dst=str(B)) / UDP(sport=9, dport=9) / Raw(b"hello"))
        capture.wait_for(1)
    assert capture.packets[0][IP].src == str(B)  # nobody listens there


def test_datagrams_of_one_send_arrive_one_by_one(scene: Scene) -> None:
    """UDP_SEGMENT, as QUIC uses it: the kernel's super-packets in UDP cannot be put into UDP."""
    receiver = scene.lab["b"].popen(["python3", "-c", RECEIVE_DATAGRAMS], stdout=-1, text=True)
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "ready\n"
    scene.lab["a"].run(["python3", "-c", SEND_DATAGRAMS, str(teredo_address(B))])
    assert receiver.communicate(timeout=20)[0] == "20 datagrams of 1000\n"


RECEIVE_DATAGRAMS = """
import socket
receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
receiver.bind(("::", 5005))
receiver.settimeout(5)
print("ready", flush=True)
sizes = [len(receiver.recv(65535)) for _number in range(20)]
assert set(sizes) == {1000}, sizes
print(len(sizes), "datagrams of 1000")
"""
SEND_DATAGRAMS = """
import socket, sys
sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sender.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
sender.sendto(bytes(20000), (sys.argv[1], 5005))
"""

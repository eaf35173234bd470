# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to packets: sizes, errors, congestion marks, loops, and hostile ones."""

from __future__ import annotations

import itertools
import time

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

from tests.lab.isatap.intranet import (
    LINK_LOCAL_A,
    A,
    B,
    C,
    addresses,
    apply,
    drops,
    eventually,
    pings,
    status,
)

pytestmark = pytest.mark.lab

HOST_A, HOST_B, ROUTER = "192.168.47.99", "131.107.71.209", "10.0.0.1"
SEND = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for line in sys.stdin:
    packet = bytes.fromhex(line)
    raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
"""
_identification = itertools.count(1)


def send(host, *packets):
    """Put IPv4 packets, made by scapy, on a host's wire."""
    lines = "".join(f"{bytes(one).hex()}\n" for one in packets)
    host.run(["python3", "-c", SEND], input=lines)


def tunnelled(inner, source=HOST_B, destination=HOST_A, **fields):
    fields.setdefault("id", next(_identification))
    return IP(src=source, dst=destination, proto=41, ttl=64, **fields) / inner


def echo(source=B, destination=A, **fields):
    return IPv6(src=source, dst=destination, **fields) / ICMPv6EchoRequest(id=7, data=b"x" * 8)


@pytest.fixture(scope="module")
def a(lab):
    return lab["a"]


def interface_towards_b(core):
    """The interface of the IPv4 router that leads to host b."""
    lines = core.run(["ip", "-o", "-4", "addr"]).stdout.splitlines()
    return next(line.split()[1] for line in lines if "131.107.71.254" in line)


@pytest.fixture
def dynamic(lab):
    """Hosts a and b with a dynamic tunnel MTU; the path between them carries 1400 bytes."""
    core, interface = lab["core"], interface_towards_b(lab["core"])
    for name in "ab":
        apply(lab[name], "isatap_host", routers=[ROUTER], tunnel_mtu="dynamic")
    core.run(["ip", "link", "set", interface, "mtu", "1400"])
    yield lab
    core.run(["ip", "link", "set", interface, "mtu", "1500"])
    for name in "ab":
        lab[name].run(["ip", "route", "flush", "cache"])
        apply(lab[name], "isatap_host", routers=[ROUTER], solicitation_interval=4)


def test_static_tunnel_mtu_is_1280_without_df_rfc4213_3_2_1(lab, a):
    """RFC 4213 section 3.2.1."""
    assert status(a)["mtu"] == 1280
    with lab["b"].capture("eth0", "proto 41") as capture:
        assert pings(a, B, "-s", "1232")
    assert {str(one[IP].flags) for one in capture.packets} == {""}


def test_outer_packet_is_fragmented_where_the_underlay_is_narrow_rfc4213_3_2_1(lab, a):
    """RFC 4213 section 3.2.1: and reassembled before it is decapsulated."""
    ends = ((lab["core"], interface_towards_b(lab["core"])), (lab["b"], "eth0"))
    for host, interface in ends:
        host.run(["ip", "link", "set", interface, "mtu", "900"])
    try:
        with lab["b"].capture("eth0", "proto 41") as capture:
            assert pings(a, B, "-s", "1232")
        assert any(one[IP].flags.MF for one in capture.packets)
    finally:
        for host, interface in ends:
            host.run(["ip", "link", "set", interface, "mtu", "1500"])


def test_dynamic_tunnel_mtu_follows_the_ipv4_path_rfc4213_3_2_2(dynamic):
    """RFC 4213 section 3.2.2: DF set, and Packet Too Big to the sender for what does not fit."""
    a, b = dynamic["a"], dynamic["b"]
    assert status(a)["mtu"] == 1480
    with b.capture("eth0", "proto 41") as outer, a.capture("isatap0", "icmp6") as inner:
        a.run(["ping", "-c", "3", "-i", "0.2", "-s", "1400", "-M", "do", B], check=False)
        assert pings(a, B, "-s", "1300")
    assert all(one[IP].flags.DF for one in outer.packets)
    too_big = [one for one in inner.packets if one.haslayer(ICMPv6PacketTooBig)]
    assert {one[ICMPv6PacketTooBig].mtu for one in too_big} == {1380}
    route = a.run(["ip", "-6", "route", "get", B]).stdout
    assert "mtu 1380" in route


def test_unreachable_endpoint_is_told_to_the_sender_rfc4213_3_4(lab, a):
    """RFC 4213 section 3.4: an ICMPv4 error becomes an ICMPv6 one."""
    nobody = "2001:db8:0:7:200:5efe:131.107.71.77"
    done = a.run(["ping", "-n", "-c", "2", "-W", "4", nobody], check=False, timeout=20)
    assert "Destination unreachable: Address unreachable" in done.stdout
    assert status(a)["counters"]["icmp_errors_in"] >= 1


def test_underlay_without_a_route_is_told_to_the_sender(lab, a):
    a.run(["ip", "route", "add", "unreachable", "203.0.114.0/24"])
    try:
        target = "2001:db8:0:7:200:5efe:203.0.114.1"
        done = a.run(["ping", "-n", "-c", "1", "-W", "2", target], check=False)
        assert "Destination unreachable: No route" in done.stdout
        assert a.v6ferry("explain", target, check=False).returncode == 1
    finally:
        a.run(["ip", "route", "del", "unreachable", "203.0.114.0/24"])


@pytest.mark.parametrize(("mark", "codepoint"), [(0, 0), (2, 2), (1, 1), (3, 3)])
def test_ecn_is_copied_to_the_outer_header_rfc6040_4_1(lab, a, mark, codepoint):
    """RFC 6040 section 4.1; the differentiated services field stays 0 by default."""
    with lab["b"].capture("eth0", "proto 41 and dst host 131.107.71.209") as capture:
        assert pings(a, B, "-Q", str(0xB8 | mark))
    assert capture.packets[0][IP].tos == codepoint


def test_dscp_is_inherited_by_setting_rfc2983(lab, a):
    """RFC 2983 section 3.1: the uniform model, where the user wants it."""
    apply(a, "isatap_host", routers=[ROUTER], dscp="inherit", solicitation_interval=4)
    with lab["b"].capture("eth0", "proto 41 and dst host 131.107.71.209") as capture:
        assert pings(a, B, "-Q", "0xb8")
    assert capture.packets[0][IP].tos == 0xB8
    apply(a, "isatap_host", routers=[ROUTER], solicitation_interval=4)


@pytest.mark.parametrize(
    ("inner", "outer", "expected"), [(2, 3, 3), (2, 1, 1), (1, 3, 3), (0, 1, 0), (3, 0, 3)]
)
def test_congestion_mark_of_the_underlay_reaches_the_inner_packet_rfc6040_4_2(
    lab, a, inner, outer, expected
):
    """RFC 6040 section 4.2."""
    with a.capture("isatap0", f"icmp6 and src {B}") as capture:
        send(lab["b"], tunnelled(echo(tc=inner), tos=outer))
        capture.wait_for(1)
    assert capture.packets[0][IPv6].tc == expected


def test_mark_on_a_packet_that_takes_no_part_in_ecn_drops_it_rfc6040_4_2(lab, a):
    """RFC 6040 section 4.2, figure 4."""
    assert counted(lab, a, tunnelled(echo(tc=0), tos=3)) == {"ecn_congestion_marked_not_ect": 1}


def counted(lab, host, *packets, sender="b"):
    """By which reasons a host drops packets that another one sends; none may get through."""
    before = drops(host)
    with host.capture("isatap0", "icmp6 and ip6[40] = 128") as capture:
        send(lab[sender], *packets)
        eventually(lambda: sum(drops(host).values()) >= sum(before.values()) + len(packets))
    assert capture.packets == []
    after = drops(host)
    return {why: after[why] - before.get(why, 0) for why in after if after[why] != before.get(why)}


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (echo("2001:db8:0:7:0:5efe:10.7.7.7"), "inner_source_does_not_match_outer"),
        (echo(C), "inner_source_does_not_match_outer"),
        (echo("::1"), "inner_source_forbidden"),
        (echo("ff02::1"), "inner_source_forbidden"),
        (echo("::ffff:10.0.0.9"), "inner_source_forbidden"),
        (echo(destination="ff02::16"), "inner_destination_forbidden"),
        (echo(destination="2002:c0a8:2f63::1"), "loop_destination_embeds_our_endpoint"),
        (
            echo(destination="2001:db8:9:9:0:5efe:192.168.47.99"),
            "loop_destination_embeds_our_endpoint",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.src} to {value.dst}",
)
def test_packet_that_may_not_come_in_is_counted_by_its_reason_rfc5214_7_3_rfc6324(
    lab, a, packet, reason
):
    """RFC 5214 section 7.3, RFC 4213 section 3.6, RFC 6324 section 3."""
    assert counted(lab, a, tunnelled(packet)) == {reason: 1}


def test_loop_between_router_and_itself_is_cut_rfc6324_3(lab):
    """RFC 6324 section 3: one packet must not go round (Linux sit lets it 32 times)."""
    router = lab["router"]
    before = status(router)["counters"]["packets_out"]
    attack = echo(A, "2001:db8:0:7:0:5efe:10.0.0.1", hlim=64)
    loop = echo(A, "2002:a00:1::9", hlim=64)
    counted(lab, router, tunnelled(loop, HOST_A, ROUTER), sender="a")
    send(lab["a"], tunnelled(attack, HOST_A, ROUTER))
    time.sleep(0.3)
    # The one answer to the echo request for the router's own address, and nothing that goes round.
    assert status(router)["counters"]["packets_out"] - before <= 2


def test_truncated_and_hostile_packets_do_no_harm(lab, a):
    inner = bytes(echo())
    garbage = [tunnelled(Raw(inner[:length])) for length in (0, 1, 8, 39, 40, 47)]
    garbage += [
        tunnelled(Raw(b"\x45" + inner[1:])),
        tunnelled(Raw(b"\xff" * 100)),
        tunnelled(Raw(inner[:4] + b"\xff\xff" + inner[6:])),
        tunnelled(IPv6(src="fe80::5efe:10.0.0.1", dst=LINK_LOCAL_A, nh=58, hlim=255) / b"\x86"),
        tunnelled(IPv6(src=B, dst=A, nh=58, hlim=255) / Raw(b"\x87" + b"\0" * 3)),
    ]
    garbage += [IP(src=HOST_B, dst=HOST_A) / ICMP(type=3, code=4) / Raw(b"\x45" * 20)]
    garbage += [
        IP(src=HOST_B, dst=HOST_A) / ICMP(type=3, code=1) / tunnelled(echo(), HOST_A, HOST_B)
    ]
    send(lab["b"], *garbage)
    assert pings(a, B)
    assert pings(a, C)
    assert addresses(a) >= {LINK_LOCAL_A, A}
    assert "fault of its own" not in a.agent.log.read_text()
    assert "Traceback" not in a.agent.log.read_text()


def test_forged_advertisement_from_outside_the_router_list_changes_nothing_rfc5214_8_3_3(lab, a):
    """RFC 5214 section 8.3.3."""
    from scapy.layers.inet6 import (  # noqa: PLC0415 - used here alone
        ICMPv6ND_RA,
        ICMPv6NDOptPrefixInfo,
    )

    forged = (
        IPv6(src="fe80::200:5efe:131.107.71.209", dst=LINK_LOCAL_A, hlim=255)
        / ICMPv6ND_RA(routerlifetime=1800, prf=1)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)
    )
    before = a.run(["ip", "-6", "route"]).stdout
    send(lab["b"], tunnelled(forged))
    time.sleep(0.3)
    assert not any(one.startswith("2001:db8:bad") for one in addresses(a))
    assert a.run(["ip", "-6", "route"]).stdout == before


def test_packets_for_nobody_s_tunnel_are_counted_apart(lab):
    send(lab["b"], tunnelled(echo(), destination="10.0.1.53"), tunnelled(echo(), HOST_B, ROUTER))
    assert pings(lab["a"], C)


def test_address_that_embeds_no_ipv4_one_is_unreachable_rfc4443_3_1(lab, a):
    """RFC 4443 section 3.1, code 3: it resolves to no link address."""
    done = a.run(["ping", "-n", "-c", "1", "-W", "2", "2001:db8:0:7::1"], check=False)
    assert "Destination unreachable: Address unreachable" in done.stdout


def test_errors_are_limited_rfc4443_2_4_f(lab, a):
    """RFC 4443 section 2.4 (f): whoever sends thousands of bad packets hears of some."""
    before = status(a)["counters"]
    dropped, sent = sum(before["drops"].values()), 8 * BURST
    for after in range(BURST, sent + 1, BURST):
        a.run(["python3", "-c", UDP_BURST, "2001:db8:0:7::1"])
        eventually(lambda after=after: sum(drops(a).values()) - dropped >= after)
    errors = status(a)["counters"]["icmp_errors_out"] - before["icmp_errors_out"]
    assert 0 < errors < sent / 4


# As many as the queue of a TUN device (500) surely takes, however late the agent comes to read it.
BURST = 250
UDP_BURST = f"""
import socket, sys
for number in range({BURST}):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (sys.argv[1], 9))
"""


def test_udp_through_the_tunnel_keeps_its_checksum(lab, a, plane):
    if plane == "ebpf":
        # Between namespaces nobody finishes a checksum: the receiver is told that it is right.
        a.run(["ethtool", "-K", "eth0", "tx", "off"])
    with lab["b"].capture("isatap0", "udp") as capture:
        a.run(["python3", "-c", UDP_HELLO, B])
        capture.wait_for(1)
    packet = capture.packets[0]
    sent = packet[UDP].chksum
    del packet[UDP].chksum
    a.run(["ethtool", "-K", "eth0", "tx", "on"])
    assert IPv6(bytes(packet[IPv6]))[UDP].chksum == sent


UDP_HELLO = """
import socket, sys
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"hello", (sys.argv[1], 9999))
"""

# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6rd domain with real packets: who reaches whom by which way, and who does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from tests.lab import SIXRD, Lab, LabHost
from tests.lab.isatap.intranet import (
    addresses,
    apply,
    drops,
    eventually,
    pings,
    refusal,
    remove,
    status,
)

pytestmark = pytest.mark.lab

C = "2001:db9:0:c::c"
CE1, CE2 = "2001:db8:100:100::a01:1", "2001:db8:200:100::a02:1"
BEHIND1, BEHIND2 = "2001:db8:100:101:", "2001:db8:200:101:"
NEW_CE1, NEW_BEHIND1 = "2001:db8:100:700::a01:7", "2001:db8:100:701:"
DOMAIN = {"prefix": "2001:db8::/32"}
CE = {
    **DOMAIN,
    "ipv4_mask_length": 8,
    "border_relays": ["10.0.0.1"],
    "private_interfaces": [{"interface": "lan0"}],
    "reachability_interval": 1,
}
BR = {**DOMAIN, "ipv4_prefix": "10.0.0.0/8"}
SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, 41) as raw:
    raw.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 0))
"""


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    with Lab(SIXRD) as lab:
        for name in ("br", "ce1", "ce2"):
            lab[name].start_agent("--plane", plane)
        apply(lab["br"], "sixrd_br", **BR)
        for name in ("ce1", "ce2"):
            apply(lab[name], "sixrd_ce", **CE)
        for name, behind in (("h1", BEHIND1), ("h2", BEHIND2)):
            eventually(lambda name=name, behind=behind: usable(lab[name], behind) is not None, 10)
        yield lab


def listed(host: LabHost, prefix: str) -> list[dict[str, object]]:
    """What a stock host has formed of a prefix."""
    links = json.loads(host.run(["ip", "-j", "-6", "addr", "show", "dev", "eth0"]).stdout)
    found = [one for link in links for one in link.get("addr_info", ())]
    return [one for one in found if one["local"].startswith(prefix)]


def usable(host: LabHost, prefix: str) -> str | None:
    """The address of a stock host in a prefix, once it may be used for new connections."""
    for one in listed(host, prefix):
        if not one.get("tentative") and one["preferred_life_time"] != 0:
            return str(one["local"])
    return None


def deprecated(host: LabHost, prefix: str) -> bool:
    found = listed(host, prefix)
    return bool(found) and all(one["preferred_life_time"] == 0 for one in found)


def spoof(host: LabHost, to: str, source: str, destination: str) -> None:
    """Send a packet in protocol 41 that only says whose it is."""
    packet = IPv6(src=source, dst=destination, nh=59, hlim=64)
    host.run(["python3", "-c", SEND, to, bytes(packet).hex()])


def ways(packets: list[object], inner: str) -> set[tuple[str, str]]:
    """Outer sources and destinations of packets from or to an inner address."""
    return {
        (one[IP].src, one[IP].dst)
        for one in packets
        if one.haslayer(IP) and one.haslayer(IPv6) and inner in (one[IPv6].src, one[IPv6].dst)
    }


def test_customer_edge_has_its_delegated_prefix_rfc5969_4(lab):
    """RFC 5969 section 4."""
    assert status(lab["ce1"])["delegated_prefix"] == "2001:db8:100:100::/56"
    assert addresses(lab["ce1"], "sixrd0") == {CE1}
    assert f"{BEHIND1}:1" in addresses(lab["ce1"], "lan0")
    assert addresses(lab["br"], "sixrd0") == {"2001:db8:0:100::a00:1"}


def test_hosts_behind_customer_edges_talk_directly_rfc5969_1(lab):
    """RFC 5969 section 1: the border relay sees none of it."""
    h2 = usable(lab["h2"], BEHIND2)
    with lab["core"].capture("any", "proto 41") as middle:
        assert pings(lab["h1"], h2)
    assert ways(middle.packets, h2) == {("10.1.0.1", "10.2.0.1"), ("10.2.0.1", "10.1.0.1")}


def test_native_hosts_are_reached_through_the_border_relay_both_ways(lab):
    h1 = usable(lab["h1"], BEHIND1)
    with lab["core"].capture("any", "proto 41") as middle:
        assert pings(lab["h1"], C)
        assert pings(lab["c"], h1)
    assert ways(middle.packets, C) == {("10.1.0.1", "10.0.0.1"), ("10.0.0.1", "10.1.0.1")}


def test_everybody_reaches_everybody(lab):
    for name in ("ce1", "ce2", "br"):
        for target in (CE1, CE2, C, "2001:db8:0:100::a00:1"):
            assert pings(lab[name], target), f"{name} to {target}"


def test_border_relay_is_seen_to_forward_rfc5969_8(lab):
    """RFC 5969 section 8: a packet to ourselves comes back from it."""

    def seen() -> bool:
        (relay,) = status(lab["ce1"])["border_relays"]
        return bool(relay["reachability"] == "reachable")

    eventually(seen, 10)
    assert "all is well" in lab["ce1"].v6ferry("doctor").stdout


@pytest.mark.parametrize(
    ("victim", "to", "source", "destination", "reason"),
    [
        ("ce1", "10.1.0.1", CE2, CE1, "inner_source_does_not_match_outer"),
        ("ce1", "10.1.0.1", C, CE1, "inner_source_does_not_match_outer"),
        ("ce1", "10.1.0.1", CE1, CE1, "inner_source_does_not_match_outer"),
        ("ce1", "10.1.0.1", "2001:db8:300:100::1", CE2, "inner_destination_forbidden"),
        ("ce1", "10.1.0.1", "2001:db8:300:100::1", C, "inner_destination_forbidden"),
        ("br", "10.0.0.1", CE2, C, "inner_source_does_not_match_outer"),
        ("br", "10.0.0.1", "2001:db9:0:f::1", C, "inner_source_does_not_match_outer"),
        ("br", "10.0.0.1", "fe80::1", C, "inner_source_does_not_match_outer"),
    ],
)
def test_spoofed_packets_are_refused_and_counted_rfc5969_9_2(
    lab, victim, to, source, destination, reason
):
    """RFC 5969 sections 9.2 and 12; the rogue is in the domain, with 10.3.0.1."""
    before = drops(lab[victim]).get(reason, 0)
    with lab["c"].capture("lan0", "ip6 proto 59") as capture:
        spoof(lab["rogue"], to, source, destination)
        eventually(lambda: drops(lab[victim]).get(reason, 0) == before + 1)
    assert capture.packets == []


def test_customer_edge_sends_in_no_other_s_name_rfc2827(lab):
    """RFC 2827: a host behind it that takes a foreign address gets no packet out."""
    h1, before = lab["h1"], drops(lab["ce1"]).get("inner_source_forbidden", 0)
    h1.run(["ip", "addr", "add", "2001:db8:ff:ff::1/128", "dev", "eth0", "nodad"])
    try:
        assert not pings(h1, C, "-I", "2001:db8:ff:ff::1", wait=0.3)
    finally:
        h1.run(["ip", "addr", "del", "2001:db8:ff:ff::1/128", "dev", "eth0"])
    assert drops(lab["ce1"])["inner_source_forbidden"] > before


def test_subnet_that_nobody_has_is_unreachable_and_goes_nowhere_rfc5969_7_1_1(lab):
    """RFC 5969 section 7.1.1: the rest of the delegated prefix has a null route."""
    nobody = str(IPv6Address("2001:db8:100:1ff::1"))
    with lab["core"].capture("any", "proto 41") as middle:
        done = lab["h1"].run(["ping", "-n", "-c", "1", "-W", "2", nobody], check=False)
        assert not pings(lab["c"], nobody, wait=0.3)
    assert "unreachable" in done.stdout.lower()
    assert ways(middle.packets, nobody) == {("10.0.0.1", "10.1.0.1")}


def test_show_and_explain_say_so(lab):
    shown = lab["ce1"].v6ferry("show").stdout
    assert "2001:db8:100:100::/56 for lan0 at 10.1.0.1, border relay 10.0.0.1" in shown
    said = lab["ce1"].v6ferry("explain", CE2).stdout
    assert "from 10.1.0.1 to 10.2.0.1" in said
    said = lab["ce1"].v6ferry("explain", C).stdout
    assert "to the endpoint 10.0.0.1" in said
    said = lab["ce1"].v6ferry("explain", "2001:db8:100:1ff::1", check=False).stdout
    assert "is ours, but not in use" in said


def test_prefix_without_room_for_a_subnet_is_refused_rfc5969_4(lab):
    """RFC 5969 section 4; what worked goes on."""
    said = refusal(lab["ce1"], "sixrd_ce", **{**CE, "prefix": "2001:db8::/48"})
    assert "sixrd_ce/default: prefix: 2001:db8::/48 and 24 bits of the IPv4 address" in said
    two = [{"interface": "lan0"}, {"interface": "lan9"}]
    said = refusal(
        lab["ce1"], "sixrd_ce", **{**CE, "ipv4_mask_length": 0, "private_interfaces": two}
    )
    assert "2 interfaces need a /64 each, but a delegated /64 has 1" in said
    assert pings(lab["h1"], C)


def test_restarted_agent_loses_nothing(lab, plane):
    ce1, h1 = lab["ce1"], lab["h1"]
    ce1.kill_agent()
    ce1.start_agent("--plane", plane)
    eventually(lambda: pings(h1, C, wait=0.5))
    assert usable(h1, BEHIND1)


def test_second_border_relay_steps_in_and_back_rfc5969_8(lab, plane):
    """RFC 5969 section 8: one that forwards no more is left, and taken again when it does."""
    ce1, h1, c, br, br2 = (lab[name] for name in ("ce1", "h1", "c", "br", "br2"))
    br2.start_agent("--plane", plane)
    apply(br2, "sixrd_br", **BR)
    apply(ce1, "sixrd_ce", **{**CE, "border_relays": ["10.0.0.1", "10.0.4.1"]})
    eventually(lambda: in_use(ce1) == "10.0.0.1")
    assert pings(h1, C)
    try:
        for interface in ("eth0", "lan0"):
            br.run(["ip", "link", "set", interface, "down"])
        # On the native side that is a routing protocol's business, here ours.
        c.run(["ip", "-6", "route", "replace", "default", "via", "2001:db9:0:c::2"])
        # A look each second, then three probes a second apart.
        eventually(lambda: pings(h1, C, wait=0.2), 8)
        eventually(lambda: in_use(ce1) == "10.0.4.1", 2)
        with lab["core"].capture("any", "proto 41") as middle:
            assert pings(h1, C)
            assert pings(c, usable(h1, BEHIND1))
        assert ways(middle.packets, C) == {("10.1.0.1", "10.0.4.1"), ("10.0.4.1", "10.1.0.1")}
    finally:
        for words in (
            ["link", "set", "eth0", "up"],
            ["link", "set", "lan0", "up"],
            ["route", "replace", "default", "via", "10.0.0.254"],
            ["-6", "address", "replace", "2001:db9:0:c::1/64", "dev", "lan0", "nodad"],
        ):
            br.run(["ip", *words])
        c.run(["ip", "-6", "route", "replace", "default", "via", "2001:db9:0:c::1"])
    # A silent one is tried every six seconds.
    eventually(lambda: in_use(ce1) == "10.0.0.1", 15)
    eventually(lambda: pings(h1, C, wait=0.5))
    apply(ce1, "sixrd_ce", **CE)
    remove(br2, "sixrd_br")


def in_use(edge: LabHost) -> str:
    """The border relay that a customer edge uses."""
    (relay,) = (one for one in status(edge)["border_relays"] if one["in_use"])
    return str(relay["address"])


def test_another_ipv4_address_is_another_prefix_within_three_seconds_rfc5969_7_1(lab):
    """RFC 5969 section 7.1, RFC 9096: the old prefix is deprecated, the new one is there."""
    ce1, h1 = lab["ce1"], lab["h1"]
    ce1.run(["ip", "addr", "del", "10.1.0.1/24", "dev", "eth0"])
    ce1.run(["ip", "addr", "add", "10.1.0.7/24", "dev", "eth0"])
    ce1.run(["ip", "route", "replace", "default", "via", "10.1.0.254"])
    eventually(lambda: deprecated(h1, BEHIND1), 3)
    eventually(lambda: bool(listed(h1, NEW_BEHIND1)), 3)
    eventually(lambda: usable(h1, NEW_BEHIND1) is not None, 5)
    # Hosts hear before the tunnel has its own address, by some hundredths of a second.
    eventually(lambda: addresses(ce1, "sixrd0") == {NEW_CE1}, 3)
    eventually(lambda: pings(h1, C, wait=0.5))
    assert pings(h1, usable(lab["h2"], BEHIND2))


def test_removal_leaves_the_hosts_as_they_were_found(lab):
    for name, kind in (("ce1", "sixrd_ce"), ("ce2", "sixrd_ce"), ("br", "sixrd_br")):
        remove(lab[name], kind)
        assert addresses(lab[name], "sixrd0") == set()
        forwards = lab[name].run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout
        assert forwards == "0\n"
    assert not any(one.startswith("2001:db8:") for one in addresses(lab["ce1"], "lan0"))
    eventually(lambda: deprecated(lab["h2"], BEHIND2))

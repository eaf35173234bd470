# SPDX-License-Identifier: GPL-3.0-or-later
"""6to4 as the white paper shows it: every pair by the path that it tells, and what may not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from tests.lab import SIXTOFOUR, Lab, bulk
from tests.lab.isatap.intranet import apply, drops, eventually, pings, remove, status
from tests.lab.isatap.test_data_plane import send, tunnelled
from tests.lab.sixtofour.internet import B_ADDRESS, RELAY, ROUTER, SITE, B, C
from tests.lab.sixtofour.site import address_in

pytestmark = pytest.mark.lab

FORBIDDEN, MISMATCH = "inner_source_forbidden", "inner_source_does_not_match_outer"
DESTINATION, REFUSED = "inner_destination_forbidden", "endpoint_refused"
LOOP = "loop_destination_embeds_our_endpoint"


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(SIXTOFOUR) as lab:
        for name in ("router", "b", "relay"):
            lab[name].start_agent("--plane", request.param)
        apply(lab["relay"], "sixtofour_relay")
        site = {"private_interfaces": [{"interface": "lan0", "subnet_id": 1}], "relay": RELAY}
        apply(lab["router"], "sixtofour_router", **site)
        apply(lab["b"], "sixtofour_host", relay=RELAY)
        eventually(lambda: address_in(lab["a"], SITE) is not None)
        eventually(lambda: pings(lab["a"], C, wait=0.5))
        yield lab


def ways(lab: Lab, source: str, target: str) -> set[tuple[str, str]]:
    """Between whom the packets of an echo and its answer cross the IPv4 Internet."""
    with lab["core"].capture("any", "proto 41") as middle:
        assert pings(lab[source], target)
    return {(one[IP].src, one[IP].dst) for one in middle.packets if one.haslayer(IP)}


def both(one: str, other: str) -> set[tuple[str, str]]:
    return {(one, other), (other, one)}


def test_site_and_host_reach_each_other_directly_rfc3056_5_3(lab):
    """Figures 21 and 22."""
    assert ways(lab, "a", B_ADDRESS) == both(ROUTER, B)
    assert ways(lab, "b", address_in(lab["a"], SITE)) == both(B, ROUTER)


def test_native_hosts_are_reached_through_the_relay_rfc3056_5_2(lab):
    """Figures 23 and 24."""
    assert ways(lab, "a", C) == both(ROUTER, RELAY)
    assert ways(lab, "b", C) == both(B, RELAY)
    assert ways(lab, "c", address_in(lab["a"], SITE)) == both(RELAY, ROUTER)
    assert ways(lab, "c", B_ADDRESS) == both(RELAY, B)


def test_bulk_tcp_arrives_whole_through_the_relay(lab):
    for sender, receiver, address in (("a", "c", C), ("c", "a", address_in(lab["a"], SITE))):
        receive = bulk.receive(lab[receiver], 4242)
        sent = bulk.send(lab[sender], address, 4242, 5)
        assert receive(60) == sent(60)


def echo(source: str, destination: str) -> IPv6:
    return IPv6(src=source, dst=destination) / ICMPv6EchoRequest(id=7, data=b"x" * 8)


def assert_drops(lab: Lab, name: str, packets: list[tuple[tuple[str, str], str, str]]) -> None:
    """Packets to a node, of (inner ends, outer source, reason), are dropped and counted."""
    node, endpoint = lab[name], {"b": B, "router": ROUTER, "relay": RELAY}[name]
    before = drops(node)
    sent = [tunnelled(echo(*ends), outer_source, endpoint) for ends, outer_source, _why in packets]
    send(lab["core"], *sent)
    expected = Counter(before) + Counter(reason for _ends, _source, reason in packets)
    eventually(lambda: sum(drops(node).values()) >= expected.total(), 3)
    assert Counter(drops(node)) == expected


def test_relay_drops_what_may_not_pass_rfc3964_5_2(lab):
    relay = lab["relay"]
    with relay.capture("lan0", "icmp6 and ip6[40] == 128") as native:
        assert_drops(
            lab,
            "relay",
            [
                # RFC 3964 section 5.2, and section 4.1.1: a source that another has
                (("2002:102:304::1", C), B, MISMATCH),
                # section 5.2: a native source does not come from a site
                (("2001:db8:1::1", C), B, MISMATCH),
                # section 5.2: traffic between two sites is none of a relay's
                ((B_ADDRESS, "2002:9d3c:1:1::1"), B, DESTINATION),
                # section 5.3.1: endpoints that are nobody's own
                (("2002:a00:1::1", C), "10.0.0.1", REFUSED),
                (("2002:a9fe:1::1", C), "169.254.0.1", REFUSED),
                (("2002:ac10:1::1", C), "172.16.0.1", REFUSED),
                (("2002:c0a8:1::1", C), "192.168.0.1", REFUSED),
                # section 5.3.2: 0::/16 with loopback, IPv4-mapped and the like, and multicast
                (("::", C), B, FORBIDDEN),
                (("::1", C), B, FORBIDDEN),
                (("::131.107.0.1", C), B, FORBIDDEN),
                (("::ffff:131.107.0.1", C), B, FORBIDDEN),
                (("::ffff:0:131.107.0.1", C), B, MISMATCH),
                (("ff0e::1", C), B, FORBIDDEN),
                ((B_ADDRESS, "::194.207.1.5"), B, DESTINATION),
                ((B_ADDRESS, "::ffff:0:194.207.1.5"), B, DESTINATION),
                ((B_ADDRESS, "ff02::1"), B, DESTINATION),
                ((B_ADDRESS, "ff0e::1"), B, DESTINATION),
                # section 5.3.2, and RFC 4193 section 4.3: scopes that end at a site
                ((B_ADDRESS, "fec0::1"), B, DESTINATION),
                ((B_ADDRESS, "fe80::1"), B, DESTINATION),
                ((B_ADDRESS, "fd00::1"), B, DESTINATION),
                # RFC 6324 section 3.3: it would come back by an ISATAP interface
                ((B_ADDRESS, f"2001:db8:0:9:200:5efe:{RELAY}"), B, LOOP),
            ],
        )
    assert native.packets == []


def test_outer_source_that_is_no_host_gets_nowhere_rfc3964_5_3_1(lab):
    """RFC 3964 section 5.3.1; the kernel drops most of these before the agent could count them."""
    hostile = [
        tunnelled(echo(str(IPv6Address(0x2002 << 112 | int(one) << 80 | 1)), C), str(one), RELAY)
        for one in map(IPv4Address, ("0.0.0.1", "127.0.0.1", "224.0.0.1", "240.0.0.1"))
    ]
    with lab["relay"].capture("lan0", "icmp6 and ip6[40] == 128") as native:
        send(lab["core"], *hostile)
        assert pings(lab["b"], C)
    assert {one[IPv6].src for one in native.packets} == {B_ADDRESS}


@pytest.mark.parametrize("source", ["2002:836b:1::99", "fec0::9", "fd00::9"])
def test_relay_sends_no_foreign_source_into_6to4_rfc3964_5_1(lab, source):
    """From the native side, as if it were of a site, or of no Internet at all."""
    c, relay = lab["c"], lab["relay"]
    c.run(["ip", "-6", "addr", "add", f"{source}/128", "dev", "eth0", "nodad"])
    before = drops(relay).get(FORBIDDEN, 0)
    with lab["core"].capture("any", "proto 41") as middle:
        pings(c, "2002:9d3c:1:1::1", "-I", source, wait=0.3)
    c.run(["ip", "-6", "addr", "del", f"{source}/128", "dev", "eth0"])
    assert middle.packets == []
    assert drops(relay)[FORBIDDEN] == before + 1


@pytest.mark.parametrize("name", ["b", "router"])
def test_host_and_router_drop_what_may_not_pass_rfc3964_5_2(lab, name):
    site = address_in(lab["a"], SITE)
    ours, other = (B_ADDRESS, site) if name == "b" else (site, B_ADDRESS)
    with lab["a"].capture("eth0", "icmp6 and ip6[40] == 128") as behind:
        assert_drops(
            lab,
            name,
            [
                # section 5.2: not for this site, but for another, or a native host
                (("2002:c2cf:105::1", "2001:db8:9::1"), RELAY, DESTINATION),
                (("2002:c2cf:105::1", C), RELAY, DESTINATION),
                (("2002:c2cf:105::1", other), RELAY, DESTINATION),
                (("2002:c2cf:105::1", "2002:102:304::1"), RELAY, DESTINATION),
                # section 5.2: a 6to4 source from another endpoint
                (("2002:102:304::1", ours), RELAY, MISMATCH),
                ((other, ours), RELAY, MISMATCH),
                # section 5.3.1
                (("2002:a00:1::1", ours), "10.0.0.1", REFUSED),
                (("2001:db8:1::1", ours), "10.0.0.1", REFUSED),
                (("2001:db8:1::1", ours), "192.168.0.1", REFUSED),
                # section 5.3.2
                (("::1", ours), RELAY, FORBIDDEN),
                (("::194.207.1.5", ours), RELAY, FORBIDDEN),
                (("::ffff:194.207.1.5", ours), RELAY, FORBIDDEN),
                (("::ffff:0:194.207.1.5", ours), RELAY, MISMATCH),
                (("fe80::1", ours), RELAY, MISMATCH),
                (("fec0::1", ours), RELAY, MISMATCH),
                (("ff0e::1", ours), RELAY, FORBIDDEN),
                (("2002:c2cf:105::1", "ff02::1"), RELAY, DESTINATION),
                (("2002:c2cf:105::1", "ff0e::1"), RELAY, DESTINATION),
                # RFC 4193 section 4.3
                (("fd00::1", ours), RELAY, MISMATCH),
            ],
        )
    assert behind.packets == []


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("2002:a00:1::1", REFUSED),
        ("2002:7f09:1::1", "endpoint_not_unicast"),
        ("2002:e000:1::1", "endpoint_not_unicast"),
        ("2002:ffff:ffff::1", "endpoint_not_unicast"),
        # The broadcast address of b's own subnet.
        ("2002:836b:ff::1", REFUSED),
        ("fec0::1", "refused_by_rule"),
        ("fd00::1", "refused_by_rule"),
        ("::ffff:0:194.207.1.5", "refused_by_rule"),
    ],
)
def test_host_sends_to_nobody_s_address_rfc3964_5_3(lab, destination, reason):
    host = lab["b"]
    before = drops(host).get(reason, 0)
    with lab["core"].capture("any", "proto 41") as middle:
        pings(host, destination, wait=0.3)
    assert middle.packets == []
    assert drops(host).get(reason, 0) == before + 1


def test_native_source_comes_by_any_relay_rfc3056_5_2(lab):
    before = status(lab["b"])["counters"]["packets_in"]
    send(lab["router"], tunnelled(echo("2001:db8:77::1", B_ADDRESS), ROUTER, B))
    eventually(lambda: status(lab["b"])["counters"]["packets_in"] > before, 3)


def test_native_source_comes_by_the_configured_relay_alone_where_the_user_says_so(lab):
    b = lab["b"]
    apply(b, "sixtofour_host", relay=RELAY, accept_relays="configured")
    before = drops(b).get(MISMATCH, 0)
    send(lab["router"], tunnelled(echo("2001:db8:77::1", B_ADDRESS), ROUTER, B))
    eventually(lambda: drops(b).get(MISMATCH, 0) == before + 1, 3)
    assert pings(b, C)
    assert pings(lab["c"], B_ADDRESS)
    apply(b, "sixtofour_host", relay=RELAY)


def test_relay_that_is_removed_leaves_nothing(lab):
    relay = lab["relay"]
    remove(relay, "sixtofour_relay")
    assert relay.run(["ip", "link", "show", "sixtofour0"], check=False).returncode != 0
    assert relay.run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout == "0\n"
    assert relay.run(["ip", "-6", "route", "show", "2002::/16"]).stdout == ""

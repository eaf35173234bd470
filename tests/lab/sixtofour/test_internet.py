# SPDX-License-Identifier: GPL-3.0-or-later
"""6to4 as the white paper shows it: every pair by the path that it tells, and what may not pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from tests.lab import Lab, bulk
from tests.lab.isatap.intranet import apply, drops, eventually, pings, remove, status
from tests.lab.isatap.test_data_plane import send, tunnelled
from tests.lab.sixtofour.internet import B_ADDRESS, INTERNET, RELAY, ROUTER, SITE, B, C
from tests.lab.sixtofour.site import address_in

pytestmark = pytest.mark.lab

FORBIDDEN, MISMATCH = "inner_source_forbidden", "inner_source_does_not_match_outer"
DESTINATION, REFUSED = "inner_destination_forbidden", "endpoint_refused"
LOOP = "loop_destination_embeds_our_endpoint"


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(INTERNET) as lab:
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


@pytest.mark.parametrize(
    ("inner", "outer_source", "reason"),
    [
        # RFC 3964 section 5.2, and section 4.1.1: a source that another has
        (("2002:102:304::1", C), B, MISMATCH),
        # section 5.2: a native source does not come from a site
        (("2001:db8:1::1", C), B, MISMATCH),
        # section 5.2: traffic between two sites is none of a relay's
        ((B_ADDRESS, "2002:9d3c:1:1::1"), B, DESTINATION),
        # section 5.1: scopes that end at a site
        ((B_ADDRESS, "fec0::1"), B, DESTINATION),
        ((B_ADDRESS, "fe80::1"), B, DESTINATION),
        # section 5.1: no loopback, no IPv4-mapped, no IPv4-compatible address, no multicast
        (("::1", C), B, FORBIDDEN),
        (("::ffff:131.107.0.1", C), B, FORBIDDEN),
        (("ff0e::1", C), B, FORBIDDEN),
        ((B_ADDRESS, "::194.207.1.5"), B, DESTINATION),
        ((B_ADDRESS, "ff0e::1"), B, DESTINATION),
        # section 5.3: endpoints that are nobody's own
        (("2002:a00:1::1", C), "10.0.0.1", REFUSED),
        (("2002:a9fe:1::1", C), "169.254.0.1", REFUSED),
        # RFC 6324 section 3.3: it would come back by an ISATAP interface of whoever has that
        ((B_ADDRESS, f"2001:db8:0:9:200:5efe:{RELAY}"), B, LOOP),
    ],
    ids=str,
)
def test_relay_drops_what_may_not_pass_rfc3964_5_2(lab, inner, outer_source, reason):
    relay = lab["relay"]
    before = drops(relay).get(reason, 0)
    with relay.capture("lan0", "icmp6 and ip6[40] == 128") as native:
        send(lab["b"], tunnelled(echo(*inner), outer_source, RELAY))
        eventually(lambda: drops(relay).get(reason, 0) == before + 1, 3)
    assert native.packets == []


@pytest.mark.parametrize("source", ["2002:836b:1::99", "fec0::9"])
def test_relay_sends_no_foreign_source_into_6to4_rfc3964_5_2(lab, source):
    """From the native side, as if it were of a site, or of no Internet at all."""
    c, relay = lab["c"], lab["relay"]
    c.run(["ip", "-6", "addr", "add", f"{source}/128", "dev", "eth0", "nodad"])
    before = drops(relay).get(FORBIDDEN, 0)
    with lab["core"].capture("any", "proto 41") as middle:
        pings(c, "2002:9d3c:1:1::1", "-I", source, wait=0.3)
    c.run(["ip", "-6", "addr", "del", f"{source}/128", "dev", "eth0"])
    assert middle.packets == []
    assert drops(relay)[FORBIDDEN] == before + 1


@pytest.mark.parametrize(
    ("inner", "outer_source", "reason"),
    [
        # RFC 3964 section 5.1: not for this site
        (("2002:c2cf:105::1", "2001:db8:9::1"), RELAY, DESTINATION),
        (("2002:c2cf:105::1", "2002:102:304::1"), RELAY, DESTINATION),
        # a 6to4 source from another endpoint
        (("2002:102:304::1", B_ADDRESS), RELAY, MISMATCH),
        (("::1", B_ADDRESS), RELAY, FORBIDDEN),
        (("fe80::1", B_ADDRESS), RELAY, MISMATCH),
    ],
    ids=str,
)
def test_host_drops_what_may_not_pass_rfc3964_5_1(lab, inner, outer_source, reason):
    host = lab["b"]
    before = drops(host).get(reason, 0)
    send(lab["relay"], tunnelled(echo(*inner), outer_source, B))
    eventually(lambda: drops(host).get(reason, 0) == before + 1, 3)


def test_native_source_comes_by_any_relay_rfc3056_5_2(lab):
    before = status(lab["b"])["counters"]["packets_in"]
    send(lab["router"], tunnelled(echo("2001:db8:77::1", B_ADDRESS), ROUTER, B))
    eventually(lambda: status(lab["b"])["counters"]["packets_in"] > before, 3)


def test_relay_that_is_removed_leaves_nothing(lab):
    relay = lab["relay"]
    remove(relay, "sixtofour_relay")
    assert relay.run(["ip", "link", "show", "sixtofour0"], check=False).returncode != 0
    assert relay.run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout == "0\n"
    assert relay.run(["ip", "-6", "route", "show", "2002::/16"]).stdout == ""

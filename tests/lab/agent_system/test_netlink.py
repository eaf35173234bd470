# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host has, and what changes, over rtnetlink."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from v6ferry.system.netlink import Ipv6Route, Netlink
from v6ferry.system.netlink_events import CHANGE_KINDS
from v6ferry.system.state import ROUTE_PROTOCOL, Route, UnderlayAddress, UnderlayRoute
from v6ferry.system.tun import open_tun

from tests.lab.agent_system.namespaces import ip, isolated
from tests.lab.processes import wait_until


def ask(method: str, *arguments: object) -> object:
    async def run() -> object:
        async with Netlink() as netlink:
            return await getattr(netlink, method)(*arguments)

    return asyncio.run(run())


def make_links() -> None:
    ip("link add eth1 type veth peer name eth1-peer")  # the lower index comes second below
    ip("link add eth0 type veth peer name eth0-peer")
    for name in ("eth0", "eth0-peer", "eth1", "eth1-peer"):
        ip(f"link set {name} up")
    ip("link set eth1 mtu 1400")
    ip("addr add 10.0.0.2/24 dev eth0")
    ip("addr add 10.0.0.1/24 dev eth0")
    ip("addr add 192.168.47.99/24 dev eth1")


@isolated
def test_underlay_is_sorted_by_interface_then_as_the_kernel_has_it():
    make_links()
    facts = ask("underlay")
    assert facts.underlay == (
        UnderlayAddress(IPv4Address("192.168.47.99"), "eth1"),
        UnderlayAddress(IPv4Address("10.0.0.2"), "eth0"),
        UnderlayAddress(IPv4Address("10.0.0.1"), "eth0"),
    )
    assert facts.underlay_mtu == {"eth0": 1500, "eth1": 1400}


@isolated
def test_underlay_leaves_out_what_no_tunnel_may_use():
    make_links()
    ip("addr add 169.254.1.1/16 dev eth0 scope link")
    ip("addr add 198.51.100.1/32 dev lo")
    ip("addr add 127.1.0.1/8 dev eth0")
    ip("link set eth1 down")
    open_tun("isatap0").close()
    ip("link set isatap0 up")
    ip("addr add 10.9.9.9/32 dev isatap0")
    facts = ask("underlay", ["isatap0"])
    assert [(str(entry.address), entry.is_loopback) for entry in facts.underlay] == [
        ("10.0.0.2", False),
        ("10.0.0.1", False),
        ("198.51.100.1", True),
    ]
    assert set(facts.underlay_mtu) == {"eth0"}


@isolated
def test_every_address_of_the_host_counts_against_loops_rfc6324_3_1():
    """RFC 6324 section 3.1: also those that no tunnel may use are never a tunnel's far end."""
    make_links()
    ip("addr add 169.254.1.1/16 dev eth0 scope link")
    open_tun("isatap0").close()
    ip("link set isatap0 up")
    ip("addr add 10.9.9.9/32 dev isatap0")
    endpoints = {str(address) for address in ask("underlay", ["isatap0"]).host_endpoints}
    assert endpoints == {
        "127.0.0.1", "169.254.1.1", "10.0.0.1", "10.0.0.2", "10.9.9.9", "192.168.47.99"
    }  # fmt: skip


@isolated
def test_underlay_of_a_point_to_point_link_is_the_local_end():
    open_tun("ppp0").close()
    ip("link set ppp0 up")
    ip("addr add 10.0.0.1 peer 10.0.0.99 dev ppp0")
    assert [str(entry.address) for entry in ask("underlay").underlay] == ["10.0.0.1"]


@isolated
def test_underlay_of_a_bare_host_is_empty():
    assert ask("underlay").underlay == ()


@isolated
def test_ipv6_addresses_of_all_interfaces():
    make_links()
    ip("addr add 2001:db8::1/64 dev eth0 nodad")
    assert {IPv6Address("2001:db8::1"), IPv6Address("::1")} <= ask("host_ipv6_addresses")


@isolated
def test_route_to_an_endpoint():
    make_links()
    ip("route add default via 192.168.47.1")
    assert ask("route_to", IPv4Address("131.107.71.209")) == UnderlayRoute(
        "eth1", IPv4Address("192.168.47.99"), 1400
    )
    there = IPv4Address("10.0.0.9")
    assert ask("preferred_sources", [there]) == {there: IPv4Address("10.0.0.2")}


@isolated
def test_route_to_an_endpoint_depends_on_the_source_and_the_tos_where_rules_say_so():
    make_links()
    endpoint, source = IPv4Address("131.107.71.209"), IPv4Address("10.0.0.1")
    ip("route add default via 192.168.47.254")
    ip("route add default via 10.0.0.254 table 100")
    ip("rule add from 10.0.0.1 lookup 100")
    ip("rule add tos 0x10 lookup 100")
    assert ask("route_to", endpoint).interface == "eth1"
    assert ask("route_to", endpoint, source) == UnderlayRoute("eth0", source, 1500)
    assert ask("route_to", endpoint, None, 0x10).interface == "eth0"
    assert ask("route_to", endpoint, IPv4Address("203.0.113.1")) is None


@isolated
def test_route_to_an_endpoint_with_its_own_mtu():
    make_links()
    ip("route add 203.0.113.0/24 via 10.0.0.9 mtu lock 1300")
    assert ask("route_to", IPv4Address("203.0.113.5")).mtu == 1300


@isolated
def test_own_address_is_reached_over_loopback():
    make_links()
    assert ask("route_to", IPv4Address("10.0.0.1")).interface == "lo"


@isolated
@pytest.mark.parametrize(
    "destination", ["10.0.0.255", "255.255.255.255", "224.0.0.1", "203.0.113.5"]
)
def test_broadcast_multicast_and_unreachable_are_no_endpoints(destination):
    make_links()
    assert ask("route_to", IPv4Address(destination)) is None
    assert ask("preferred_sources", [IPv4Address(destination)]) == {}


@isolated
@pytest.mark.parametrize("kind", ["blackhole", "prohibit", "unreachable", "throw"])
def test_refusing_route_is_no_route(kind):
    ip(f"route add {kind} 203.0.113.0/24")
    assert ask("route_to", IPv4Address("203.0.113.5")) is None


@isolated
def test_ipv6_route_says_gateway_source_and_interface():
    open_tun("isatap0").close()
    ip("link set isatap0 up")
    ip("addr add 2001:db8::1/64 dev isatap0 nodad")
    ip("-6 route add default via 2001:db8::9 dev isatap0")
    # The kernel makes the address local a little after it has taken it.
    assert wait_until(lambda: "2001:db8::1" in ip("-6 route show table local"), 5)
    own, gateway = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::9")
    assert ask("ipv6_route_to", IPv6Address("2001:db8:1::1")) == Ipv6Route(
        "isatap0", gateway, own, False
    )
    assert ask("ipv6_route_to", gateway) == Ipv6Route("isatap0", None, own, False)
    assert ask("ipv6_route_to", own) == Ipv6Route("lo", None, own, True)


@isolated
def test_ipv6_route_of_a_link_local_address_is_its_interface_s():
    open_tun("isatap0").close()
    ip("link set isatap0 up")
    ip("addr add fe80::5efe:10.0.0.1/64 dev isatap0 nodad")
    route = ask("ipv6_route_to", IPv6Address("fe80::5efe:10.0.0.2"), "isatap0")
    assert (route.interface, route.gateway) == ("isatap0", None)
    assert ask("ipv6_route_to", IPv6Address("2001:db8::1")) is None


@isolated
def test_alias_tells_whose_interface_it_is():
    open_tun("isatap0").close()
    assert ask("interface_alias", "isatap0") == ""
    assert ask("interface_alias", "nothing0") is None
    ask("set_interface_alias", "isatap0", "v6ferry isatap_host/default")
    assert ask("interface_alias", "isatap0") == "v6ferry isatap_host/default"


@isolated
def test_foreign_routes_are_those_of_people_and_daemons():
    open_tun("isatap0").close()
    ip("link set isatap0 up")
    ip("addr add 2001:db8::1/64 dev isatap0 nodad")  # with the kernel's own prefix route
    ip("-6 route add 2001:db8:1::/48 via 2001:db8::9 dev isatap0")
    ip("-6 route add 2001:db8:2::/48 via 2001:db8::9 dev isatap0 table 77 proto bgp metric 20")
    ip(f"-6 route add 2001:db8:3::/48 via 2001:db8::9 dev isatap0 proto {ROUTE_PROTOCOL}")
    ip(
        "-6 route add 2001:db8:4::/48 nexthop via 2001:db8::9 dev isatap0"
        " nexthop via 2001:db8::8 dev isatap0"
    )
    ip("-6 route add 2001:db8:5::/48 dev lo")
    gateway, other = IPv6Address("2001:db8::9"), IPv6Address("2001:db8::8")
    assert set(ask("foreign_routes", "isatap0")) == {
        Route(IPv6Network("2001:db8:1::/48"), gateway, 1024),
        Route(IPv6Network("2001:db8:2::/48"), gateway, 20),
        Route(IPv6Network("2001:db8:4::/48"), gateway, 1024),
        Route(IPv6Network("2001:db8:4::/48"), other, 1024),
    }
    assert ask("foreign_routes", "nothing0") == ()


def watched(*steps: str) -> list[frozenset[str]]:
    """What a watch tells while these ip(8) commands run, each after the last was told."""

    async def run() -> list[frozenset[str]]:
        told: asyncio.Queue[frozenset[str]] = asyncio.Queue()
        async with Netlink() as netlink:
            watching = asyncio.create_task(netlink.watch(told.put_nowait))
            seen = [await asyncio.wait_for(told.get(), 5)]
            for step in steps:
                ip(step)
                seen.append(await asyncio.wait_for(told.get(), 5))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            return seen

    return asyncio.run(run())


@isolated
def test_watch_begins_with_everything():
    assert watched() == [CHANGE_KINDS]


@isolated
def test_watch_tells_what_changed():
    ip("link add eth0 type veth peer name eth0-peer")
    ip("link set eth0-peer up")
    ip("link set eth0 up")
    seen = watched(
        "link set eth0 mtu 1400",
        "addr add 10.0.0.1/24 dev eth0",
        "route add 203.0.113.0/24 via 10.0.0.9",
    )
    assert "link" in seen[1]
    assert {"ipv4-address", "ipv4-route"} <= seen[2]
    assert seen[3] >= {"ipv4-route"}


@isolated
def test_watch_survives_events_that_the_kernel_had_to_drop(tmp_path):
    batch = tmp_path / "batch"
    lines = (
        f"route add 2001:db8:{n:x}::/48 dev lo\nroute del 2001:db8:{n:x}::/48\n"
        for n in range(4000)
    )
    batch.write_text("".join(lines))
    seen = watched(f"-6 -batch {batch}", "link add eth0 type veth peer name eth0-peer")
    assert seen[1] == CHANGE_KINDS
    assert "link" in seen[2]


@isolated
def test_uplinks_are_interfaces_with_addresses_and_unnumbered_ones_where_those_may_be_used():
    make_links()
    ip("link add br0 type bridge")
    ip("link set eth0-peer master br0")
    ip("addr add 169.254.1.1/16 dev eth1-peer scope link")
    assert set(ask("underlay").uplinks) == {"eth0", "eth1", "eth1-peer"}
    ip("addr flush dev eth0")
    ip("addr add 198.51.100.1/32 dev lo")
    assert set(ask("underlay", ["eth1"]).uplinks) == {"eth0", "eth1-peer"}

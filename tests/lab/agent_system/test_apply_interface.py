# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel interface becomes what it should be, and nothing else changes."""

from __future__ import annotations

import asyncio
import json
from ipaddress import IPv6Address, IPv6Network

import pytest
from v6ferry.system.errors import SystemFault
from v6ferry.system.netlink import Netlink
from v6ferry.system.state import (
    DEFAULT_ROUTE,
    LINK_LOCAL_PREFIX,
    ROUTE_PROTOCOL,
    InterfaceAddress,
    InterfaceState,
    Route,
)
from v6ferry.system.tun import open_tun, remove_tun

from tests.lab.agent_system.namespaces import ip, isolated, run_without_net_admin

NOW = 5000.0
ADDRESS = IPv6Address("2001:db8:0:7:0:5efe:c0a8:2f63")
LINK_LOCAL = IPv6Address("fe80::5efe:c0a8:2f63")
ROUTER_1 = IPv6Address("fe80::5efe:a00:1")
ROUTER_2 = IPv6Address("fe80::5efe:a00:2")
STATE = InterfaceState(
    "isatap0",
    1280,
    addresses=(
        InterfaceAddress(LINK_LOCAL),
        InterfaceAddress(ADDRESS, 64, NOW + 600, NOW + 900),
    ),
    routes=(
        Route(LINK_LOCAL_PREFIX, None, 256),
        Route(IPv6Network("2001:db8:0:7::/64"), None, 256),
        Route(DEFAULT_ROUTE, ROUTER_1, 2048),
    ),
)


def apply(state=STATE, now=NOW, **options):
    async def run():
        async with Netlink(**options.pop("netlink", {})) as netlink:
            return await netlink.apply_interface(state, now, **options)

    return asyncio.run(run())


def make_tun():
    open_tun("isatap0").close()


def changed(**parts):
    return InterfaceState(**{f: getattr(STATE, f) for f in STATE.__slots__} | parts)


def addresses():
    entries = json.loads(ip("-j addr show dev isatap0"))[0]["addr_info"]
    return {entry["local"]: entry for entry in entries}


def routes():
    """The interface's routes in the main table as {(prefix, gateway, metric, protocol)}."""
    found = set()
    for entry in json.loads(ip("-N -6 -j route show table main")):
        for hop in entry.get("nexthops", [entry]):
            if hop["dev"] == "isatap0":
                key = (
                    entry["dst"],
                    hop.get("gateway"),
                    entry["metric"],
                    entry.get("protocol", BOOT),
                )
                found.add(key)
    return found


BOOT = "3"  # RTPROT_BOOT: what ip(8) gives
OURS = {
    ("fe80::/64", None, 256, str(ROUTE_PROTOCOL)),
    ("2001:db8:0:7::/64", None, 256, str(ROUTE_PROTOCOL)),
    ("default", str(ROUTER_1), 2048, str(ROUTE_PROTOCOL)),
}


@isolated
def test_new_device_becomes_what_it_should_be():
    make_tun()
    apply()
    link = json.loads(ip("-j link show isatap0"))[0]
    assert link["mtu"] == 1280
    assert "UP" in link["flags"]
    assert routes() == OURS
    found = addresses()
    assert set(found) == {str(ADDRESS), str(LINK_LOCAL)}
    assert found[str(LINK_LOCAL)]["valid_life_time"] == 0xFFFFFFFF
    assert found[str(ADDRESS)]["noprefixroute"] is True
    assert found[str(ADDRESS)]["nodad"] is True
    assert 598 <= found[str(ADDRESS)]["preferred_life_time"] <= 600
    assert 898 <= found[str(ADDRESS)]["valid_life_time"] <= 900


@isolated
def test_second_time_changes_nothing():
    make_tun()
    assert apply() != []
    assert apply() == []


@isolated
def test_dry_run_says_the_same_and_does_nothing():
    promised = apply(dry_run=True)
    assert "isatap0" not in ip("link")
    make_tun()
    before = ip("addr show")
    assert apply(dry_run=True) == promised
    assert ip("addr show") == before
    assert apply() == promised


@isolated
def test_advertised_lifetimes_are_written_anew():
    make_tun()
    apply()
    longer = changed(addresses=(InterfaceAddress(ADDRESS, 64, NOW + 1200, NOW + 1800),))
    assert apply(longer) == [
        f"refresh the lifetimes of address {ADDRESS}/64 on isatap0",
        f"remove address {LINK_LOCAL}/64 from isatap0",
    ]
    assert addresses()[str(ADDRESS)]["valid_life_time"] >= 1798


@isolated
def test_address_past_its_preferred_lifetime_is_deprecated():
    make_tun()
    apply()
    apply(changed(addresses=(InterfaceAddress(ADDRESS, 64, NOW, NOW + 900),)))
    assert addresses()[str(ADDRESS)]["deprecated"] is True


@isolated
def test_other_prefix_length_is_put_right():
    make_tun()
    apply()
    ip(f"addr del {ADDRESS}/64 dev isatap0")
    ip(f"addr add {ADDRESS}/128 dev isatap0 nodad")
    apply()
    assert addresses()[str(ADDRESS)]["prefixlen"] == 64
    assert apply() == []


@isolated
def test_everything_that_was_taken_away_comes_back():
    make_tun()
    apply()
    ip("link set isatap0 down")
    ip("link set isatap0 mtu 1400")
    apply()
    assert (set(addresses()), routes()) == ({str(ADDRESS), str(LINK_LOCAL)}, OURS)
    assert apply() == []


@isolated
def test_device_below_the_minimum_mtu_of_ipv6_recovers():
    make_tun()
    apply()
    ip("link set isatap0 mtu 1000")
    apply()
    apply()
    assert (set(addresses()), routes()) == ({str(ADDRESS), str(LINK_LOCAL)}, OURS)
    assert apply() == []


@isolated
def test_stray_address_goes_and_foreign_routes_stay():
    make_tun()
    apply()
    ip("addr add 2001:db8:bad::1/64 dev isatap0 nodad")
    ip(f"-6 route add 2001:db8:9::/48 via {ROUTER_2} dev isatap0")
    ip(f"-6 route add 2001:db8:8::/48 via {ROUTER_2} dev isatap0 proto {ROUTE_PROTOCOL}")
    assert apply() == [
        f"remove route 2001:db8:8::/48 via {ROUTER_2} dev isatap0 metric 1024",
        "remove address 2001:db8:bad::1/64 from isatap0",
    ]
    assert routes() - OURS == {("2001:db8:9::/48", str(ROUTER_2), 1024, BOOT)}


@isolated
def test_failover_and_back_changes_only_the_gateway():
    make_tun()
    apply()
    others = STATE.routes[:2]
    for gateway in (ROUTER_2, ROUTER_1):
        apply(changed(routes=(*others, Route(DEFAULT_ROUTE, gateway, 2048))))
        assert [r[1] for r in routes() if r[0] == "default"] == [str(gateway)]


@isolated
def test_two_routers_of_one_metric_share():
    make_tun()
    both = tuple(Route(DEFAULT_ROUTE, gateway, 2048) for gateway in (ROUTER_1, ROUTER_2))
    apply(changed(routes=both))
    assert {r[1] for r in routes()} == {str(ROUTER_1), str(ROUTER_2)}
    assert apply(changed(routes=both)) == []
    apply(changed(routes=both[:1]))
    assert {r[1] for r in routes()} == {str(ROUTER_1)}


@isolated
def test_removing_our_route_spares_its_twin_of_another_owner():
    make_tun()
    apply()
    ip(f"-6 route add default via {ROUTER_1} dev isatap0 metric 4096")
    ip(f"-6 route append default via {ROUTER_2} dev isatap0 metric 2048 proto static")
    apply(changed(routes=()))
    left = {(prefix, gateway, metric) for prefix, gateway, metric, _protocol in routes()}
    assert left == {("default", str(ROUTER_1), 4096), ("default", str(ROUTER_2), 2048)}


@isolated
def test_removing_an_on_link_route_spares_its_twin_through_a_gateway():
    make_tun()
    prefix = IPv6Network("2001:db8:9::/48")
    on_link, through = Route(prefix, None, 512), Route(prefix, ROUTER_1, 512)
    apply(changed(routes=(through, on_link)))
    assert len(routes()) == 2
    apply(changed(routes=(through,)))
    assert {route[:2] for route in routes()} == {(str(prefix), str(ROUTER_1))}
    apply(changed(routes=(through, on_link)))
    apply(changed(routes=(on_link,)))
    assert {route[:2] for route in routes()} == {(str(prefix), None)}


@isolated
def test_link_local_prefix_is_routed_beside_those_of_other_interfaces():
    ip("link add eth0 type veth peer name eth0-peer")
    ip("link set eth0 up")
    ip("link set eth0-peer up")
    make_tun()
    apply()
    assert routes() == OURS
    assert "dev eth0 proto kernel metric 256" in ip("-6 route show fe80::/64")
    apply(changed(routes=()))
    assert "dev eth0 proto kernel metric 256" in ip("-6 route show fe80::/64")


@isolated
def test_metric_of_somebody_elses_route_is_not_shared():
    """Equal-cost multipath with a stranger's default route would steal half of its traffic."""
    make_tun()
    ip("link add eth0 type veth peer name eth0-peer")
    ip("link set eth0 up")
    ip("link set eth0-peer up")
    ip("addr add 2001:db8:1::2/64 dev eth0 nodad")
    ip("-6 route add default via 2001:db8:1::1 dev eth0 metric 2048")
    with pytest.raises(SystemFault, match=r"default via .* metric 2048.*another route metric"):
        apply()
    assert "via 2001:db8:1::1 dev eth0" in ip("-6 route show default")
    assert routes() == {r for r in OURS if r[0] != "default"}
    assert str(ADDRESS) in addresses()


@isolated
def test_missing_interface_is_named():
    with pytest.raises(SystemFault, match="interface isatap0: it does not exist"):
        apply()


@isolated
@pytest.mark.parametrize("step", ["link", "addr", "route"])
def test_interface_that_vanishes_meanwhile_is_named(monkeypatch, step):
    make_tun()

    async def run():
        async with Netlink() as netlink:
            original = getattr(netlink._rtnetlink, step)

            async def vanish_first(command, **arguments):
                if command != "dump":
                    remove_tun("isatap0")
                return await original(command, **arguments)

            monkeypatch.setattr(netlink._rtnetlink, step, vanish_first)
            await netlink.apply_interface(STATE, NOW)

    with pytest.raises(SystemFault, match=r"isatap0.*disappeared"):
        asyncio.run(run())


@isolated
def test_unusable_gateway_is_named():
    make_tun()
    gateway = IPv6Address("2001:db8:ffff::1")
    with pytest.raises(SystemFault, match="cannot add route default via 2001:db8:ffff::1"):
        apply(changed(routes=(Route(DEFAULT_ROUTE, gateway, 2048),)))


@isolated
def test_kernel_without_ipv6_is_named(tmp_path):
    make_tun()
    with pytest.raises(SystemFault, match=r"net\.ipv6 is missing.*ipv6\.disable=1"):
        apply(netlink={"sysctl_root": tmp_path})


@isolated
def test_host_with_ipv6_off_by_default_still_gets_its_tunnel():
    ip("link set lo up")
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as switch:
        switch.write("1")
    make_tun()
    apply()
    assert str(ADDRESS) in addresses()


@isolated
def test_process_without_capabilities_is_told_which_it_needs():
    make_tun()
    said = run_without_net_admin(
        "import asyncio\n"
        "from v6ferry.system.errors import SystemFault\n"
        "from v6ferry.system.netlink import Netlink\n"
        "from v6ferry.system.state import InterfaceState\n"
        "async def main():\n"
        "    async with Netlink() as netlink:\n"
        "        await netlink.apply_interface(InterfaceState('isatap0', 1280), 0.0)\n"
        "try: asyncio.run(main())\n"
        "except SystemFault as fault: print(fault)\n"
    )
    assert said.startswith("cannot set the MTU of isatap0 to 1280: not permitted")
    assert "CAP_NET_ADMIN" in said

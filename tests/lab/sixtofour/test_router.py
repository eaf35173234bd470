# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 router with stock hosts behind it, which know nothing but autoconfiguration."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, bulk
from tests.lab.isatap.intranet import addresses, apply, eventually, pings, refusal, remove, status
from tests.lab.sixtofour.site import (
    NEW_SITE,
    OLD_SITE,
    OTHER_PUBLIC,
    PUBLIC,
    SITES,
    address_in,
    deprecated,
    index,
    set_address,
)
from tests.lab.traffic import lost, stream

pytestmark = pytest.mark.lab

KIND = "sixtofour_router"
SPEC = {"private_interfaces": [{"interface": "lan0"}], "relay": "192.88.99.1"}
REMOTE_SPEC = {"private_interfaces": [{"interface": "lan0", "subnet_id": 1}]}


@pytest.fixture(scope="module")
def sites(plane: str) -> Iterator[Lab]:
    with Lab(SITES) as lab:
        for name in ("router", "remote"):
            lab[name].start_agent("--plane", plane)
        apply(lab["remote"], KIND, **REMOTE_SPEC)
        apply(lab["router"], KIND, **SPEC)
        for name, site in (("a", OLD_SITE), ("b", OLD_SITE), ("c", "2002:9d3c:1:1:")):
            eventually(lambda name=name, site=site: address_in(lab[name], site) is not None)
        yield lab


def test_prefix_is_that_of_address_and_interface_index_rfc3056_2(sites):
    """The white paper: index 5 of 131.107.23.89 is 2002:836b:1759:5::/64."""
    subnet = f"{index(sites['router']):x}"
    assert address_in(sites["a"], f"{OLD_SITE}{subnet}:")
    assert f"{OLD_SITE}{subnet}::1" in addresses(sites["router"], "lan0")
    shown = status(sites["router"])
    assert shown["ready"], shown
    assert shown["prefixes"] == ["2002:836b:1759::/48"]
    assert shown["private_interfaces"]["lan0"]["default_router"]


def test_hosts_of_two_sites_reach_each_other(sites):
    c = address_in(sites["c"], "2002:9d3c:1:1:")
    assert pings(sites["a"], c)
    assert pings(sites["c"], address_in(sites["b"], OLD_SITE))
    assert pings(sites["a"], address_in(sites["b"], OLD_SITE))
    assert pings(sites["a"], "2002:9d3c:1::9d3c:1")
    # The first one brings Packet Too Big: the LAN has 1500 bytes, the tunnel 1280.
    eventually(lambda: pings(sites["a"], c, "-s", "3000", wait=0.5), 3)


def test_what_others_ask_is_answered_by_rdisc6(sites):
    said = sites["b"].run(["rdisc6", "-1", "eth0"]).stdout
    prefix = f"{OLD_SITE}{index(sites['router']):x}::/64"
    assert prefix in said
    assert "Router lifetime           :         1800" in said
    assert "Valid time              :         5400" in said
    assert "Pref. time              :         2700" in said


def test_native_destinations_go_to_the_relay(sites):
    router = sites["router"]
    route = json.loads(router.run(["ip", "-j", "-6", "route", "show", "default"]).stdout)[0]
    assert route["gateway"] == "2002:c058:6301::c058:6301"
    with sites["core"].capture("eth0", "ip proto 41") as capture:
        pings(sites["a"], "2001:db8::1", wait=0.3)
    packet = capture.packets[0]
    assert packet["IP"].src == PUBLIC
    assert packet["IP"].dst == "192.88.99.1"
    assert packet["IPv6"].src == address_in(sites["a"], OLD_SITE)
    said = router.v6ferry("explain", "2001:db8::1").stdout
    assert "192.88.99.1" in said


def test_change_of_the_public_address_within_three_seconds(sites):
    """The bar: a working new prefix within 3 s, the old one deprecated, a LAN transfer goes on."""
    router, a, b, c = (sites[name] for name in ("router", "a", "b", "c"))
    old_b = address_in(b, OLD_SITE)
    received = bulk.receive(b, 4242)
    sent = bulk.send(a, old_b, 4242, 40, seconds=4)
    pinged = stream(a, old_b, 4)
    time.sleep(0.5)
    began = time.monotonic()
    set_address(sites, PUBLIC, OTHER_PUBLIC)
    eventually(lambda: address_in(a, NEW_SITE) is not None, 3)
    eventually(lambda: deprecated(a, OLD_SITE), 3)
    target = address_in(c, "2002:9d3c:1:1:")
    eventually(lambda: pings(a, target, wait=0.3), 3)
    assert time.monotonic() - began < 3
    assert received(20) == sent(20)
    # Nothing of it went astray: there was nothing for TCP to make good.
    assert lost(pinged) == 0
    (ending,) = status(router)["private_interfaces"]["lan0"]["ending_prefixes"].values()
    assert began + 5400 - time.monotonic() - 1 < ending <= 5400
    # Back again: preferred again.
    set_address(sites, OTHER_PUBLIC, PUBLIC)
    eventually(lambda: address_in(a, OLD_SITE) is not None, 3)
    eventually(lambda: deprecated(a, NEW_SITE), 3)


def test_killed_agent_s_successor_knows_what_is_its_own(sites, plane):
    """Also that hosts were given a prefix which is gone when it returns."""
    router, a = sites["router"], sites["a"]
    time.sleep(0.5)
    router.kill_agent()
    set_address(sites, PUBLIC, OTHER_PUBLIC)
    router.start_agent("--plane", plane)
    eventually(lambda: deprecated(a, OLD_SITE) and address_in(a, NEW_SITE) is not None, 3)
    set_address(sites, OTHER_PUBLIC, PUBLIC)
    eventually(lambda: address_in(a, OLD_SITE) is not None, 3)


def test_private_and_foreign_sources_are_dropped_rfc3964_4(sites):
    """RFC 3964 section 4: only what embeds the router's own address leaves."""
    router, a = sites["router"], sites["a"]
    a.run(["ip", "-6", "addr", "add", "2002:a00:1::5/128", "dev", "eth0", "nodad"])
    with sites["core"].capture("eth0", "ip proto 41") as capture:
        pings(a, "2002:9d3c:1::9d3c:1", "-I", "2002:a00:1::5", wait=0.3)
        pings(a, "2002:a00:1::1", "-I", address_in(a, OLD_SITE), wait=0.3)
    assert capture.packets == []
    drops = status(router)["counters"]["drops"]
    assert drops["inner_source_forbidden"] >= 1
    assert drops["endpoint_refused"] >= 1
    a.run(["ip", "-6", "addr", "del", "2002:a00:1::5/128", "dev", "eth0"])


def test_removal_withdraws_and_leaves_the_host_as_it_was(sites):
    """RFC 4861 section 6.2.5."""
    router, a = sites["router"], sites["a"]
    router.run(["ip", "addr", "add", "2001:db8::77/64", "dev", "lan0", "nodad"])
    remove(router, KIND)
    eventually(lambda: deprecated(a, OLD_SITE), 3)
    routes = a.run(["ip", "-6", "route", "show", "default"]).stdout
    assert routes == ""
    shown = {one for one in addresses(router, "lan0") if not one.startswith("fe80")}
    assert shown == {"2001:db8::77"}
    assert addresses(router, "sixtofour0") == set()
    assert router.run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout == "0\n"
    assert not router.path("/run/v6ferry/addresses.json").exists()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"private_interfaces": ["lan0"]}, "private_interfaces[0]: expected a mapping"),
        ({"private_interfaces": [{"interface": "lan0", "subnet_id": 0}]}, "use 1 to 65535"),
        ({"relay": "2001:db8::1"}, "relay: 2001:db8::1 is an IPv6 address"),
        ({"router_lifetime": 300}, "is shorter than advertisement_interval, 600"),
    ],
)
def test_bad_input_is_one_clear_line(sites, spec, said):
    assert said in refusal(sites["remote"], KIND, **spec)

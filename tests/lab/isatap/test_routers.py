# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding routers, losing them, and what they teach."""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest
from v6ferry.cli.control_client import ControlClient

from tests.lab import ISATAP_TWO_ROUTERS, Lab
from tests.lab.host import CONTROL_SOCKET
from tests.lab.isatap.intranet import (
    LINK_LOCAL_A,
    LINK_LOCAL_B,
    PREFIX,
    A,
    B,
    C,
    addresses,
    apply,
    eventually,
    pings,
    remove,
    set_up,
    status,
)

pytestmark = pytest.mark.lab


def default_gateway(host):
    routes = json.loads(host.run(["ip", "-j", "-6", "route", "show", "default"]).stdout)
    return routes[0]["gateway"] if routes else None


def update_name(lab, *updates):
    lab["dns"].write("/run/update", "\n".join(["server 10.0.1.53", *updates, "send", ""]))
    lab["dns"].run(["nsupdate", "-k", "/etc/bind/v6ferry-lab/update.key", "/run/update"])


def test_router_is_found_by_its_name_in_the_dns_when_it_appears_there(bare_lab):
    lab = bare_lab
    for name in ("router", "a"):
        lab[name].start_agent()
    apply(lab["router"], "isatap_router", prefixes=[PREFIX])
    apply(lab["a"], "isatap_host", wait=0)
    eventually(lambda: status(lab["a"])["unresolved_names"] == ["isatap"])
    assert addresses(lab["a"]) == set()
    doctor = lab["a"].v6ferry("doctor", check=False).stdout
    assert "isatap.corp.example" in doctor
    assert "isatap_dns" in doctor
    update_name(lab, "update add isatap.corp.example 60 A 10.0.0.1")
    eventually(lambda: addresses(lab["a"]) == {LINK_LOCAL_A, A}, 40)
    eventually(lambda: pings(lab["a"], C, wait=0.5))  # its routes come after its addresses


def test_host_that_is_ready_has_all_its_routes(bare_lab):
    """So that the next task of a playbook can use them."""
    router, a = bare_lab["router"], bare_lab["a"]
    service = router.start_agent()
    a.start_agent()
    # As many as fit; the kernel takes some milliseconds for them.
    offered = {f"2001:db8:{number:x}::/48" for number in range(1, 41)}
    apply(router, "isatap_router", prefixes=[PREFIX], routes=[{"prefix": one} for one in offered])
    agent = ControlClient(str(a.path(CONTROL_SOCKET)))
    present = {"kind": "isatap_host", "name": "default", "spec": {"routers": ["10.0.0.1"]}}
    for attempt in range(10):
        service.process.send_signal(signal.SIGSTOP)
        # The agent looks every 50 ms whether all is ready: the answer comes in each part of them.
        timer = threading.Timer(
            0.3 + attempt * 0.005, service.process.send_signal, [signal.SIGCONT]
        )
        timer.start()
        agent.call("apply", {"resources": [present], "wait": 10})
        done = a.run(["ip", "-j", "-6", "route", "show", "dev", "isatap0"])
        assert offered <= {route["dst"] for route in json.loads(done.stdout)}
        timer.join()
        remove(a, "isatap_host")


def test_router_is_found_by_its_name_in_the_hosts_file(bare_lab):
    lab = bare_lab
    for name in ("router", "a"):
        lab[name].start_agent()
    apply(lab["router"], "isatap_router", prefixes=[PREFIX])
    hosts = lab["a"].path("/etc/hosts")
    hosts.write_text(hosts.read_text() + "10.0.0.1 isatap.corp.example\n")
    apply(lab["a"], "isatap_host")
    assert status(lab["a"])["name_sources"]["isatap"].startswith("/etc/hosts")


def test_link_local_addresses_without_any_router_by_setting(bare_lab):
    """The older rule, before Server 2008: hosts of a site reach each other in any case."""
    for name in ("a", "b"):
        bare_lab[name].start_agent()
        apply(bare_lab[name], "isatap_host", wait=0, link_local="always")
    eventually(lambda: addresses(bare_lab["b"]) == {LINK_LOCAL_B})
    eventually(lambda: pings(bare_lab["a"], f"{LINK_LOCAL_B}%isatap0"))


@pytest.fixture(scope="module")
def two():
    with Lab(ISATAP_TWO_ROUTERS) as lab:
        set_up(lab, routers=("router", "router2"))
        yield lab


def test_traffic_is_back_within_ten_seconds_when_the_router_dies_rfc4861_7_3(two):
    """RFC 4861 section 7.3; and goes through the first router again once that is back."""
    a = two["a"]
    eventually(lambda: default_gateway(a) == "fe80::5efe:a00:1")
    two["router"].kill_agent()
    two["router"].run(["ip", "link", "set", "eth0", "down"])
    two["c"].run(["ip", "-6", "route", "replace", "2001:db8:0:7::/64", "via", "2001:db8:0:c::2"])
    began = time.monotonic()
    while not pings(a, C, wait=0.5):
        assert time.monotonic() - began < 10
    assert default_gateway(a) == "fe80::5efe:a00:201"
    router = two["router"]
    router.run(["ip", "link", "set", "eth0", "up"])
    router.run(["ip", "route", "replace", "default", "via", "10.0.0.254"])
    two["c"].run(["ip", "-6", "route", "del", "2001:db8:0:7::/64"])
    router.start_agent()
    eventually(lambda: default_gateway(a) == "fe80::5efe:a00:1", 20)
    assert pings(a, C)


def test_higher_preference_is_used_and_told_at_once_rfc4191_3_2(two):
    """RFC 4191 section 3.2."""
    apply(two["router2"], "isatap_router", prefixes=[PREFIX], preference="high")
    eventually(lambda: default_gateway(two["a"]) == "fe80::5efe:a00:201", 3)
    apply(two["router2"], "isatap_router", prefixes=[PREFIX])
    eventually(lambda: default_gateway(two["a"]) == "fe80::5efe:a00:1", 3)


# The following tests change what the shared intranet's router advertises and put it back.


@pytest.fixture
def router(lab):
    yield lab["router"]
    apply(lab["router"], "isatap_router", prefixes=[PREFIX])
    eventually(lambda: default_gateway(lab["a"]) is not None, 15)


def test_second_prefix_gives_second_addresses_and_ends_cleanly_rfc4861_6_2_7(lab, router):
    """RFC 4861 section 6.2.7: a withdrawn prefix is deprecated with a decreasing lifetime."""
    second = "2001:db8:0:8:0:5efe:c0a8:2f63"
    apply(router, "isatap_router", prefixes=[PREFIX, {"prefix": "2001:db8:0:8::/64"}])
    eventually(lambda: second in addresses(lab["a"]), 3)
    apply(router, "isatap_router", prefixes=[PREFIX])

    def deprecated():
        listed = lab["a"].run(["ip", "-6", "addr", "show", "dev", "isatap0"]).stdout
        line = next(line for line in listed.splitlines() if second in line)
        return "deprecated" in line

    eventually(deprecated, 3)
    (lifetime,) = (
        one["valid_lifetime"] for one in status(lab["a"])["addresses"] if one["address"] == second
    )
    assert 7100 < lifetime <= 7200


def test_default_route_that_is_not_published_is_not_used_rfc4861_6_3_4(lab, router):
    """RFC 4861 section 6.3.4; hosts of the link still reach each other."""
    apply(router, "isatap_router", prefixes=[PREFIX], default_route=False)
    eventually(lambda: default_gateway(lab["a"]) is None, 3)
    assert pings(lab["a"], B)
    assert not pings(lab["a"], C, wait=0.5)


def test_more_specific_route_works_without_a_default_one_rfc4191_3(lab, router):
    """RFC 4191 section 3."""
    site = [{"prefix": "2001:db8:0:c::/64", "preference": "high"}]
    apply(router, "isatap_router", prefixes=[PREFIX], default_route=False, routes=site)
    eventually(lambda: default_gateway(lab["a"]) is None, 3)
    assert pings(lab["a"], C)


def test_dns_server_lands_in_resolv_conf_and_leaves_no_trace_rfc8106_5_1(lab, router):
    """RFC 8106 section 5.1."""
    before = lab["a"].path("/etc/resolv.conf").read_bytes()
    apply(router, "isatap_router", prefixes=[PREFIX], dns_servers=["2001:db8:0:c::53"])
    eventually(lambda: b"2001:db8:0:c::53" in lab["a"].path("/etc/resolv.conf").read_bytes(), 3)
    assert before.strip() in lab["a"].path("/etc/resolv.conf").read_bytes()
    apply(router, "isatap_router", prefixes=[PREFIX])
    # Silence does not take it back (RFC 8106 section 5.1): the resource does when it goes.
    remove(lab["a"], "isatap_host")
    assert lab["a"].path("/etc/resolv.conf").read_bytes() == before
    apply(lab["a"], "isatap_host", routers=["10.0.0.1"], solicitation_interval=4)


def test_advertised_mtu_is_the_tunnel_s_rfc4861_6_3_4(lab, router):
    """RFC 4861 section 6.3.4."""
    apply(router, "isatap_router", prefixes=[PREFIX], advertised_mtu=1400)
    eventually(lambda: status(lab["a"])["mtu"] == 1400, 3)
    apply(router, "isatap_router", prefixes=[PREFIX], advertised_mtu=1280)
    eventually(lambda: status(lab["a"])["mtu"] == 1280, 3)


def test_removed_router_lets_its_hosts_go_rfc4861_6_2_5(lab, router):
    """RFC 4861 section 6.2.5: no default route, addresses deprecated, at once."""
    remove(router, "isatap_router")
    eventually(lambda: default_gateway(lab["a"]) is None, 3)
    assert "deprecated" in lab["a"].run(["ip", "-6", "addr", "show", "dev", "isatap0"]).stdout
    assert pings(lab["a"], B)


def test_ipv4_address_that_comes_and_goes_is_followed(lab):
    a = lab["a"]
    a.run(["ip", "addr", "add", "192.168.47.100/24", "dev", "eth0"])
    took = eventually(lambda: "2001:db8:0:7:0:5efe:c0a8:2f64" in addresses(a), 3)
    assert took < 1.5, f"{took:.1f} s"
    a.run(["ip", "addr", "del", "192.168.47.100/24", "dev", "eth0"])
    took = eventually(lambda: "2001:db8:0:7:0:5efe:c0a8:2f64" not in addresses(a), 3)
    assert took < 1.5, f"{took:.1f} s"
    assert pings(a, C)


def test_host_without_any_ipv4_address_has_no_tunnel_and_recovers(lab):
    b = lab["b"]
    b.run(["ip", "addr", "flush", "dev", "eth0"])
    eventually(lambda: addresses(b) == set(), 3)
    assert "no IPv4 address" in b.v6ferry("show").stdout
    b.run(["ip", "addr", "add", "131.107.71.209/24", "dev", "eth0"])
    b.run(["ip", "route", "add", "default", "via", "131.107.71.254"])
    eventually(lambda: addresses(b) >= {LINK_LOCAL_B, B}, 3)
    eventually(lambda: pings(b, C), 10)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 router that is an ISATAP router as well: one subnet of the site has no native link."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.isatap.intranet import addresses, apply, eventually, pings
from tests.lab.sixtofour.site import OLD_SITE, SITES, address_in

pytestmark = pytest.mark.lab

ISATAP_PREFIX = f"{OLD_SITE}77::/64"
ON_ISATAP = "2002:836b:1759:77:0:5efe:c0a8:2"


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def site(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A site in which a is on the LAN, and b reached by ISATAP alone."""
    with Lab(SITES) as lab:
        router, b = lab["router"], lab["b"]
        b.run(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1"])
        b.run(["ip", "addr", "add", "192.168.0.2/24", "dev", "eth0"])
        for host in (router, b):
            host.start_agent("--plane", request.param)
        private = {"private_interfaces": [{"interface": "lan0", "subnet_id": 5}]}
        apply(router, "sixtofour_router", **private)
        apply(
            router,
            "isatap_router",
            prefixes=[{"prefix": ISATAP_PREFIX}],
            underlay_interfaces=["lan0"],
        )
        apply(b, "isatap_host", routers=["192.168.0.1"])
        eventually(lambda: address_in(lab["a"], OLD_SITE) is not None)
        eventually(lambda: ON_ISATAP in addresses(b))
        yield lab


def test_hosts_of_both_subnets_reach_each_other_rfc6324_3_3(site):
    """RFC 6324 section 3.3: their addresses embed the router's public one, and are no loop."""
    on_lan = address_in(site["a"], f"{OLD_SITE}5:")
    eventually(lambda: pings(site["a"], ON_ISATAP, wait=0.5))
    assert pings(site["b"], on_lan)
    assert not any("loop" in reason for reason in drops_of_all(site))


def test_what_the_site_has_no_subnet_for_does_not_go_round_rfc6324_3_3(site):
    with site["core"].capture("any", "proto 41") as middle:
        assert not pings(site["b"], f"{OLD_SITE}99::1", wait=0.3)
    assert middle.packets == []
    assert "loop_endpoint_is_ours" in drops_of_all(site)


def drops_of_all(site: Lab) -> set[str]:
    """Reasons for which any tunnel of the router has dropped packets."""
    shown = json.loads(site["router"].v6ferry("show", "--json").stdout)["resources"]
    return {reason for one in shown for reason in one["status"]["counters"]["drops"]}

# SPDX-License-Identifier: GPL-3.0-or-later
"""An ISATAP router whose site has its prefix from 6to4 or 6rd, on the same machine.

One subnet of the site has no native link: it is ISATAP's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from scapy.layers.inet6 import IPv6

from tests.lab import Lab
from tests.lab.configured.tunnels import present, tunnels
from tests.lab.isatap.intranet import addresses, apply, eventually, pings
from tests.lab.sixtofour.site import OLD_SITE, PUBLIC, REMOTE, SITES, address_in

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Technology:
    """What gives the site its prefix."""

    kind: str
    spec: dict[str, Any]
    lan: str
    """How addresses on the LAN begin."""
    isatap: str
    """How those of ISATAP do."""
    nowhere: str
    """An address of the site in no subnet of it."""
    why_nowhere: str
    """How its packets are dropped."""


SIXTOFOUR = Technology(
    "sixtofour_router",
    {"private_interfaces": [{"interface": "lan0", "subnet_id": 5}]},
    f"{OLD_SITE}5:",
    f"{OLD_SITE}77:",
    f"{OLD_SITE}99::1",
    "loop_endpoint_is_ours",
)
SIXRD = Technology(
    "sixrd_ce",
    {
        "prefix": "2001:db8::/32",
        "ipv4_mask_length": 8,
        "border_relays": [REMOTE],
        "private_interfaces": [{"interface": "lan0", "subnet_id": 5}],
    },
    "2001:db8:6b17:5905:",
    "2001:db8:6b17:5977:",
    "2001:db8:6b17:5999::1",
    "refused_by_rule",
)


@pytest.fixture(scope="module", params=[SIXTOFOUR, SIXRD], ids=lambda one: one.kind)
def technology(request: pytest.FixtureRequest) -> Technology:
    found: Technology = request.param
    return found


@pytest.fixture(scope="module")
def site(plane: str, technology: Technology) -> Iterator[Lab]:
    """A site in which a is on the LAN, and b reached by ISATAP alone."""
    with Lab(SITES) as lab:
        router, b = lab["router"], lab["b"]
        b.run(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1"])
        b.run(["ip", "addr", "add", "192.168.0.2/24", "dev", "eth0"])
        for host in (router, b):
            host.start_agent("--plane", plane)
        apply(router, technology.kind, **technology.spec)
        apply(
            router,
            "isatap_router",
            prefixes=[{"prefix": f"{technology.isatap}:/64"}],
            underlay_interfaces=["lan0"],
        )
        apply(b, "isatap_host", routers=["192.168.0.1"])
        eventually(lambda: address_in(lab["a"], technology.lan) is not None)
        eventually(lambda: on_isatap(technology) in addresses(b))
        yield lab


def on_isatap(technology: Technology) -> str:
    """The address of b."""
    return f"{technology.isatap}0:5efe:c0a8:2"


def test_hosts_of_both_subnets_reach_each_other_rfc6324_3_3(site, technology):
    """RFC 6324 section 3.3: their addresses embed that of the router, and are no loop."""
    on_lan = address_in(site["a"], technology.lan)
    eventually(lambda: pings(site["a"], on_isatap(technology), wait=0.5))
    assert pings(site["b"], on_lan)
    assert not any("loop" in reason for reason in drops_of_all(site))


def test_what_the_site_has_no_subnet_for_does_not_go_round_rfc6324_3_3(site, technology):
    with site["core"].capture("any", "proto 41") as middle:
        assert not pings(site["b"], technology.nowhere, wait=0.3)
    # Of 6rd, there are probes of the border relay.
    assert technology.nowhere not in {one[IPv6].dst for one in middle.packets if one.haslayer(IPv6)}
    assert technology.why_nowhere in drops_of_all(site)


def test_subnet_beyond_a_configured_tunnel_is_of_the_site_too_rfc6324_3_3(site, technology, plane):
    """A branch has a subnet of the site: what comes from there is no loop, either."""
    remote, c = site["remote"], site["c"]
    subnet = f"{technology.isatap[:-3]}88:"
    remote.start_agent("--plane", plane)
    for host, interface, address in ((remote, "lan0", f"{subnet}:1"), (c, "eth0", f"{subnet}:c")):
        host.run(["ip", "address", "add", f"{address}/64", "dev", interface, "nodad"])
    c.run(["ip", "-6", "route", "add", "default", "via", f"{subnet}:1"])
    there = present("site", remote=PUBLIC, default_route=True, forwarding=True)
    here = present("branch", remote=REMOTE, routes=[{"prefix": f"{subnet}:/64"}])
    with tunnels((remote, there), (site["router"], here)):
        on_lan = address_in(site["a"], technology.lan)
        eventually(lambda: pings(c, on_lan, wait=0.5))
        assert pings(site["a"], f"{subnet}:c")
        assert pings(c, on_isatap(technology))


def drops_of_all(site: Lab) -> set[str]:
    """Reasons for which any tunnel of the router has dropped packets."""
    shown = site["router"].show()["resources"]
    return {reason for one in shown for reason in one["status"]["counters"]["drops"]}

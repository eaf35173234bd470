# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay's 2002::/16 announced by FRR and by BIRD, with the lines that the docs give."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import SIXTOFOUR, Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually, pings, remove
from tests.lab.service import Service
from tests.lab.sixtofour.internet import B_ADDRESS, RELAY
from tests.lab.sixtofour.site import address_in

pytestmark = pytest.mark.lab

DOCS = Path(__file__).parents[3] / "docs/sixtofour.md"
BIRD = """
router id {identifier};
log stderr all;
protocol device {{ scan time 1; }}
protocol direct {{ ipv6; }}
protocol kernel {{ ipv6 {{ export where source = RTS_RIP; }}; scan time 1; }}
protocol rip ng {{
    ipv6 {{ import all; export {exported}; }};
    interface "{interface}" {{ update time 1; timeout time 5; garbage time 5; }};
}}
"""
FRR = "router ripng\n network lan0\n timers basic 5 15 10\nexit\n"


def documented(language: str) -> str:
    """The lines for a routing daemon in the docs."""
    found = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def start_bird(host: LabHost, interface: str, exported: str, more: str = "") -> None:
    text = BIRD.format(identifier=RELAY, interface=interface, exported=exported) + more
    host.write("/etc/bird.conf", text)
    host.start_service(
        "bird",
        ["bird", "-d", "-c", "/etc/bird.conf", "-s", "/run/bird.ctl"],
        ready=lambda _bird: host.path("/run/bird.ctl").exists(),
    )


def start_frr(host: LabHost, configuration: str) -> list[Service]:
    """Start zebra, ripngd and staticd with one configuration file, each taking what is its own."""
    daemons: list[Service] = []
    host.path("/run/frr").mkdir(exist_ok=True)
    host.run(["chown", "frr:frr", "/run/frr"])
    host.write("/etc/frr/frr.conf", configuration)
    host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    for daemon in ("zebra", "ripngd", "staticd"):
        host.path(f"/run/frr/{daemon}.vty").unlink(missing_ok=True)
        command = [f"/usr/lib/frr/{daemon}", "--log", "stdout"]
        daemons += [
            host.start_service(
                daemon,
                [*command, "--vty_socket", "/run/frr", "-i", f"/run/frr/{daemon}.pid"],
                ready=lambda _daemon, daemon=daemon: host.path(f"/run/frr/{daemon}.vty").exists(),
            )
        ]
    host.run(["vtysh", "--vty_socket", "/run/frr", "-f", "/etc/frr/frr.conf"])
    return daemons


@pytest.fixture(params=["frr", "bird"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A relay with a routing daemon, and a native host that has no route but what it learns."""
    with Lab(SIXTOFOUR) as lab:
        relay, c = lab["relay"], lab["c"]
        for name in ("relay", "b"):
            lab[name].start_agent()
        apply(lab["b"], "sixtofour_host", relay=RELAY)
        c.run(["ip", "-6", "route", "del", "default"])
        eventually(lambda: address_in(relay, "2001:db8:0:c:", "lan0") is not None)
        if request.param == "frr":
            start_frr(relay, documented("frr") + FRR)
        else:
            start_bird(relay, "lan0", "where net = 2002::/16", documented("bird"))
        start_bird(c, "eth0", "none")
        yield lab


def route(host: LabHost) -> str:
    return host.run(["ip", "-6", "route", "show", "2002::/16"]).stdout


def test_native_hosts_learn_the_way_to_6to4_sites_while_the_relay_is_there_rfc3056_5_2(lab):
    relay, c = lab["relay"], lab["c"]
    assert route(c) == ""
    apply(relay, "sixtofour_relay")
    eventually(lambda: "dev eth0 proto bird" in route(c), 15)
    assert pings(c, B_ADDRESS)
    learned = c.run(["ip", "-6", "route", "show", "proto", "bird"]).stdout
    assert [line.split()[0] for line in learned.splitlines()] == ["2002::/16"]
    remove(relay, "sixtofour_relay")
    eventually(lambda: route(c) == "", 15)


def test_frr_and_the_agent_leave_each_other_s_routes_alone():
    """Each knows its own by a protocol number, and takes away such as it does not know."""
    with Lab(SIXTOFOUR) as lab:
        relay = lab["relay"]
        relay.start_agent()
        apply(relay, "sixtofour_relay")
        static = "ipv6 route 2001:db8:77::/48 sixtofour0\n"
        daemons = start_frr(relay, static)
        eventually(lambda: "2001:db8:77::/48" in all_routes(relay))
        # Something to put right: the agent looks at all routes of its interface.
        relay.run(["ip", "-6", "route", "del", "2002::/16", "dev", "sixtofour0"])
        eventually(lambda: "2002::/16" in all_routes(relay))
        assert "2001:db8:77::/48" in all_routes(relay)
        for daemon in reversed(daemons):
            daemon.stop(10)
        start_frr(relay, static)
        eventually(lambda: "2001:db8:77::/48" in all_routes(relay))
        time.sleep(1)
        assert "2002::/16" in all_routes(relay)
        log = relay.agent.log.read_text()
        assert "remove route" not in log
        assert log.count("add route 2002::/16") == 2


def all_routes(host: LabHost) -> str:
    return host.run(["ip", "-6", "route", "show", "dev", "sixtofour0"]).stdout

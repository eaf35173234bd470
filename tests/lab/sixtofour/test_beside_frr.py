# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay beside FRR on one machine; tests/lab/playbooks has the announcement of 2002::/16."""

from __future__ import annotations

import time

import pytest

from tests.lab import SIXTOFOUR, Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually
from tests.lab.service import Service

pytestmark = pytest.mark.lab


def start_frr(host: LabHost, configuration: str) -> list[Service]:
    """Start zebra and staticd with one configuration file, each taking what is its own."""
    daemons: list[Service] = []
    host.path("/run/frr").mkdir(exist_ok=True)
    host.run(["chown", "frr:frr", "/run/frr"])
    host.write("/etc/frr/frr.conf", configuration)
    host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    for daemon in ("zebra", "staticd"):
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

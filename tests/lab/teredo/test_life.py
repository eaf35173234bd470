# SPDX-License-Identifier: GPL-3.0-or-later
"""A Teredo client through restarts of its agent, its NAT and its server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually, pings, remove, status
from tests.lab.teredo.internet import (
    SERVER,
    A,
    internet,
    serve,
    start_client,
    teredo_address,
)
from tests.lab.teredo.nat import PORTS, become
from tests.lab.traffic import lost, stream
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    with internet() as lab:
        serve(lab, plane)
        for name in ("a", "b"):
            start_client(lab[name], plane, refresh_interval=5)
        yield lab


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_address_and_peers_outlive_the_agent(lab: Lab, plane: str, how: str) -> None:
    before, target = (teredo_address(lab[name], "teredo0") for name in ("a", "b"))
    assert pings(lab["a"], target)
    eventually(lambda: status(lab["a"])["peers"] == 1)
    requests = stream(lab["a"], target, 3)
    _end = lab["a"].stop_agent() if how == "stopped" else lab["a"].kill_agent()
    lab["a"].start_agent("--plane", plane)
    missing = lost(requests)
    if plane == "ebpf":
        assert missing == 0
    assert teredo_address(lab["a"], "teredo0") == before
    assert status(lab["a"])["peers"] == 1
    assert pings(lab["a"], target)


def test_client_follows_a_nat_that_was_restarted_rfc4380_5_2_5(lab: Lab) -> None:
    before, target = (teredo_address(lab[name], "teredo0") for name in ("a", "b"))
    become(lab["anat"], Kind.PORT_RESTRICTED, "30000-31000")
    eventually(lambda: teredo_address(lab["a"], "teredo0") != before, 12)
    assert pings(lab["a"], target, wait=4)
    assert pings(lab["b"], teredo_address(lab["a"], "teredo0"), wait=4)
    become(lab["anat"], Kind.PORT_RESTRICTED, PORTS)


def move(host: LabHost, old: str, new: str) -> None:
    """Give a host another address, as another network does."""
    host.run(["ip", "address", "del", f"{old}/24", "dev", "eth0"])
    host.run(["ip", "address", "add", f"{new}/24", "dev", "eth0"])
    host.run(["ip", "route", "add", "default", "via", f"{A.rpartition('.')[0]}.254"])


def test_client_follows_its_host_to_another_ipv4_address(lab: Lab) -> None:
    a, other = lab["a"], f"{A.rpartition('.')[0]}.9"
    before = teredo_address(a, "teredo0")
    move(a, A, other)
    eventually(lambda: teredo_address(a, "teredo0") != before, 12)
    assert pings(a, teredo_address(lab["b"], "teredo0"), wait=4)
    assert pings(lab["b"], teredo_address(a, "teredo0"), wait=4)
    there = teredo_address(a, "teredo0")
    move(a, other, A)
    eventually(lambda: teredo_address(a, "teredo0") != there, 12)


def test_client_comes_back_when_its_server_does(lab: Lab) -> None:
    remove(lab["server"], "teredo_server")
    said = f"the server {SERVER} does not answer"
    eventually(lambda: status(lab["a"])["summary"] == said, 25)
    assert not status(lab["a"])["active"]
    apply(lab["server"], "teredo_server", server_address=SERVER)
    eventually(lambda: status(lab["a"])["active"] and status(lab["b"])["active"], 40)
    assert pings(lab["a"], teredo_address(lab["b"], "teredo0"), wait=4)


def test_dormant_client_is_woken_up_by_the_first_packet(lab: Lab) -> None:
    target = teredo_address(lab["b"], "teredo0")
    remove(lab["a"], "teredo_client")
    apply(lab["a"], "teredo_client", servers=[SERVER], dormant_after=600, wait=5)
    assert status(lab["a"])["state"] == "dormant"
    said = lab["a"].v6ferry("explain", target).stdout
    assert "it asks its server as soon as a packet comes" in said
    with lab["anat"].capture("wan", f"udp and host {SERVER}") as capture:
        assert status(lab["a"])["state"] == "dormant"
        refused = lab["a"].run(["ping", "-6", "-c", "1", "-W", "2", target], check=False)
    assert "Address unreachable" in refused.stdout
    assert capture.packets != []
    assert status(lab["a"])["state"] == "qualified"
    assert pings(lab["a"], target, wait=4)


def test_native_ipv6_is_preferred_and_explain_says_so(lab: Lab) -> None:
    native = ["2001:db8:77::1/64", "dev", "lo"]
    lab["a"].run(["ip", "-6", "address", "add", *native, "nodad"])
    eventually(lambda: status(lab["a"])["state"] == "offline")
    said = lab["a"].v6ferry("explain", "2001:db8:77::2").stdout
    assert "carries nothing at the moment: idle: there is native IPv6, 2001:db8:77::1 on lo" in said
    lab["a"].run(["ip", "-6", "address", "del", *native])
    eventually(lambda: status(lab["a"])["state"] == "qualified")


def test_managed_network_is_told_by_a_name(lab: Lab) -> None:
    lab["a"].write("/etc/hosts", "10.0.0.53 corp.example.com\n")
    spec = {"servers": [SERVER], "managed_network_names": ["corp.example.com"]}
    apply(lab["a"], "teredo_client", **spec)
    eventually(lambda: "this is a managed network" in status(lab["a"])["summary"])
    apply(lab["a"], "teredo_client", type="enterpriseclient", **spec)
    eventually(lambda: status(lab["a"])["state"] == "qualified")


def test_removal_leaves_nothing(lab: Lab) -> None:
    remove(lab["a"], "teredo_client")
    assert "teredo0" not in lab["a"].run(["ip", "-o", "link"]).stdout
    assert lab["a"].run(["ip", "-6", "route"]).stdout == ""

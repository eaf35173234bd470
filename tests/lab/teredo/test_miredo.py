# SPDX-License-Identifier: GPL-3.0-or-later
"""Our Teredo and Debian's miredo in one Internet: servers, clients and relays of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.isatap.intranet import apply, eventually, pings, remove
from tests.lab.teredo.internet import (
    SERVER,
    C,
    internet,
    serve,
    start_client,
    start_miredo,
    start_miredo_client,
    start_miredo_server,
    teredo_address,
)
from tests.lab.teredo.nat import KINDS, become
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab

BEHIND = (*KINDS[:4],)
"""Kinds behind which miredo works whatever the other end has."""


@pytest.fixture(scope="module", params=["ours", "miredo"])
def server(request: pytest.FixtureRequest, plane: str) -> Iterator[Lab]:
    """A server of either, and our agent on ``a``."""
    with internet() as lab:
        if request.param == "ours":
            serve(lab, plane)
        else:
            start_miredo_server(lab["server"])
        lab["a"].start_agent("--plane", plane)
        yield lab


@pytest.mark.parametrize("there", BEHIND, ids=lambda kind: kind.value)
@pytest.mark.parametrize("here", BEHIND, ids=lambda kind: kind.value)
def test_our_client_and_miredo_s_reach_each_other(server: Lab, here: Kind, there: Kind) -> None:
    lab = server
    remove(lab["a"], "teredo_client")
    become(lab["anat"], here)
    become(lab["bnat"], there)
    apply(lab["a"], "teredo_client", servers=[SERVER])
    ours = teredo_address(lab["a"], "teredo0")
    miredo = start_miredo(lab["b"], f"ServerAddress {SERVER}")
    try:
        theirs = teredo_address(lab["b"], "teredo")
        assert pings(lab["a"], theirs, wait=3)
        assert pings(lab["b"], ours, wait=3)
    finally:
        miredo.stop()
        eventually(lambda: "teredo" not in lab["b"].run(["ip", "-o", "link"]).stdout, 5)


@pytest.fixture(scope="module")
def mixed(plane: str) -> Iterator[Lab]:
    """Our server, miredo's relay, and a client of either."""
    with internet(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED) as lab:
        serve(lab, plane)
        start_client(lab["a"], plane)
        start_miredo_client(lab["b"])
        yield lab


def test_our_client_reaches_native_hosts_through_miredo_s_relay(mixed: Lab, plane: str) -> None:
    lab = mixed
    lab["relay"].run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    miredo = start_miredo(lab["relay"], "RelayType relay", "BindPort 3545")
    eventually(lambda: "2001::/32" in lab["relay"].run(["ip", "-6", "route"]).stdout, 5)
    assert pings(lab["a"], C, wait=4)
    assert pings(lab["c"], teredo_address(lab["a"], "teredo0"), wait=4)
    miredo.stop()
    lab["relay"].start_agent("--plane", plane)
    apply(lab["relay"], "teredo_relay")


def test_miredo_reaches_native_hosts_through_our_relay(mixed: Lab) -> None:
    lab = mixed
    assert pings(lab["b"], C, wait=4)
    assert pings(lab["c"], teredo_address(lab["b"], "teredo"), wait=4)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clients behind one real NAT that lets nobody turn around.

They find each other by alternate addresses (RFC 6081 section 5.5), or without their server by local
discovery (RFC 4380 section 5.2.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.isatap.intranet import apply, eventually, pings, remove, status
from tests.lab.teredo.internet import ANAT, SERVER, internet, serve, teredo_address
from tests.lab.teredo.nat import become
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    with internet() as lab:
        serve(lab, plane)
        for name in ("a", "h"):
            lab[name].start_agent("--plane", plane)
        yield lab


def fresh_clients(lab: Lab, **spec: Any) -> list[str]:
    """Have clients on both hosts that know nobody; their addresses."""
    for name in ("a", "h"):
        remove(lab[name], "teredo_client")
    for name in ("a", "h"):
        # h has native IPv6 besides.
        apply(lab[name], "teredo_client", servers=[SERVER], last_resort=False, wait=20, **spec)
    return [teredo_address(lab[name], "teredo0") for name in ("a", "h")]


@pytest.mark.parametrize(
    "kind", [Kind.FULL_CONE, Kind.PORT_RESTRICTED, Kind.SYMMETRIC], ids=lambda kind: kind.value
)
def test_they_reach_each_other_in_their_own_network(lab: Lab, kind: Kind) -> None:
    become(lab["anat"], kind)
    addresses = fresh_clients(lab, local_discovery=False)
    assert pings(lab["a"], addresses[1], "-I", addresses[0], wait=4)
    with lab["anat"].capture("lan", f"udp and dst host {ANAT}") as turned_around:
        assert pings(lab["h"], addresses[0], "-I", addresses[1], wait=4)
    assert turned_around.packets == []


def test_they_find_each_other_on_their_link_without_the_server_rfc4380_5_2_8(lab: Lab) -> None:
    become(lab["anat"], Kind.SYMMETRIC)
    with lab["a"].capture("eth0", "udp and dst host 224.0.0.253") as said:
        addresses = fresh_clients(lab)
        eventually(lambda: all(status(lab[name])["peers"] == 1 for name in ("a", "h")), 5)
    assert len(said.packets) == 2
    with lab["anat"].capture("any", "udp") as beyond_the_link:
        assert pings(lab["a"], addresses[1], "-I", addresses[0], wait=1)
    assert beyond_the_link.packets == []
    members = lab["a"].run(["ip", "-4", "maddress", "show", "dev", "eth0"]).stdout
    assert "224.0.0.253" in members
    apply(lab["a"], "teredo_client", servers=[SERVER], last_resort=False, local_discovery=False)
    members = lab["a"].run(["ip", "-4", "maddress", "show", "dev", "eth0"]).stdout
    assert "224.0.0.253" not in members

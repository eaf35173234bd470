# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clients behind one real NAT that lets nobody turn around (RFC 6081 section 5.5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.isatap.intranet import apply, pings, remove
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


@pytest.mark.parametrize(
    "kind", [Kind.FULL_CONE, Kind.PORT_RESTRICTED, Kind.SYMMETRIC], ids=lambda kind: kind.value
)
def test_they_reach_each_other_in_their_own_network(lab: Lab, kind: Kind) -> None:
    become(lab["anat"], kind)
    addresses = []
    for name in ("a", "h"):
        remove(lab[name], "teredo_client")
        # h has native IPv6 besides.
        apply(lab[name], "teredo_client", servers=[SERVER], last_resort=False, wait=20)
        addresses.append(teredo_address(lab[name], "teredo0"))
    assert pings(lab["a"], addresses[1], "-I", addresses[0], wait=4)
    with lab["anat"].capture("lan", f"udp and dst host {ANAT}") as turned_around:
        assert pings(lab["h"], addresses[0], "-I", addresses[1], wait=4)
    assert turned_around.packets == []

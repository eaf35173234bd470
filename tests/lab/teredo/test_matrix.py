# SPDX-License-Identifier: GPL-3.0-or-later
"""Our clients behind every pair of real NATs: each reaches the other, who has sent nothing yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import apply, pings, remove, status
from tests.lab.teredo.internet import SERVER, internet, serve, teredo_address
from tests.lab.teredo.nat import FORESEEN, KINDS, become
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab

SHOWN = {
    Kind.NONE: ("none", None),
    Kind.SYMMETRIC: ("symmetric", "random"),
    Kind.PORT_PRESERVING: ("symmetric", "preserving"),
    Kind.SEQUENTIAL: ("symmetric", "sequential"),
}
"""NAT and choice of ports; of others the status says that they are restricted, and no more."""
FORBIDDEN = {
    (Kind.PORT_RESTRICTED, Kind.SYMMETRIC),
    (Kind.SYMMETRIC, Kind.PORT_RESTRICTED),
    (Kind.SYMMETRIC, Kind.SYMMETRIC),
}
"""Each would have to know a port that the other's NAT chooses at random when it sends."""


WITH_FORESEEN = (Kind.NONE, Kind.PORT_RESTRICTED, *FORESEEN)
"""What those NATs are paired with here; tests/unit/agent/engines pairs them with all."""
PAIRS = [(here, there) for here in KINDS for there in KINDS] + [
    (here, there)
    for here in WITH_FORESEEN
    for there in WITH_FORESEEN
    if {here, there} & set(FORESEEN)
]


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    with internet() as lab:
        serve(lab, plane)
        for name in ("a", "b"):
            lab[name].start_agent("--plane", plane)
        yield lab


def fresh_client(lab: Lab, name: str, kind: Kind) -> str:
    """Have a client that knows nobody behind a NAT of a kind; its address."""
    remove(lab[name], "teredo_client")
    become(lab[f"{name}nat"], kind)
    apply(lab[name], "teredo_client", servers=[SERVER])
    return teredo_address(lab[name], "teredo0")


def flood(host: LabHost, target: str) -> None:
    """What follows the first packet is carried by the plane, from the port that the peer has."""
    before = status(host)["counters"]
    done = host.run(["ping", "-n", "-q", "-c", "50", "-i", "0.01", target]).stdout
    assert "50 received" in done
    after = status(host)["counters"]
    assert after["packets_out"] >= before["packets_out"] + 50
    handed_up = (sum(one.get("handed_up", {}).values()) for one in (after, before))
    assert next(handed_up) - next(handed_up) < 20


def shown(host: LabHost) -> tuple[str, str | None]:
    """NAT and choice of ports, as the client sees them."""
    found = status(host)
    return found["nat"], found["port_choice"]


@pytest.mark.parametrize(("here", "there"), PAIRS, ids=lambda kind: kind.value)
def test_client_reaches_a_silent_client(lab: Lab, here: Kind, there: Kind) -> None:
    fresh_client(lab, "a", here)
    target = fresh_client(lab, "b", there)
    reached = pings(lab["a"], target, wait=1.5)
    assert reached is ((here, there) not in FORBIDDEN)
    if here in FORESEEN:
        said = lab["a"].v6ferry("explain", target).stdout
        assert "before this host is a symmetric NAT: it" in said
        flood(lab["a"], target)
    for name, kind in (("a", here), ("b", there)):
        if kind is Kind.SYMMETRIC and shown(lab[name]) == SHOWN[Kind.SEQUENTIAL]:
            # One pair of random ports in 1250 seems to be in order. A new client has another.
            fresh_client(lab, name, kind)
        assert shown(lab[name]) == SHOWN.get(kind, ("restricted", "unknown"))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The role of a Teredo relay has FRR or BIRD announce 2001::/32, as that of a 6to4 relay 2002::/16.

Both roles have the same tasks (``tools/role_additions/announcement``), so what they do with files
that daemons refuse is tested there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.demo.playbook import PlaybookError
from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import eventually, pings
from tests.lab.playbooks.routing_daemons import (
    BIRD,
    BIRD_BGP,
    FRR,
    FRR_BGP,
    content,
    listen,
    routes_to,
    run_for_relay,
    running,
    start_bird,
    start_frr,
)
from tests.lab.teredo.internet import RELAY, RELAY_NATIVE, internet, serve, start_client

pytestmark = pytest.mark.lab

run = partial(run_for_relay, "teredo")
route = partial(routes_to, "2001::/32")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A relay to be, and a native host that has no route but what it learns."""
    with internet() as lab:
        serve(lab, "auto")
        start_client(lab["b"], "auto")
        lab["relay"].start_agent()
        lab["c"].run(["ip", "-6", "route", "del", "default"])
        yield lab


@pytest.fixture
def client(lab: Lab) -> str:
    """The address of a client."""
    shown = lab["b"].run(["ip", "-6", "-o", "addr", "show", "dev", "teredo0"]).stdout
    return next(word.partition("/")[0] for word in shown.split() if word.startswith("2001:"))


def learned(host: LabHost) -> set[str]:
    shown = host.run(["ip", "-6", "route", "show", "proto", "bird"]).stdout
    return {line.split()[0] for line in shown.splitlines()}


def test_bird_announces_while_the_role_says_so_and_no_longer_prefix_rfc4380_5_4(lab, client):
    relay, c = lab["relay"], lab["c"]
    exported = "where net = 2001::/32"
    bird = start_bird(relay, BIRD.format(identifier=RELAY, interface="lan0", exported=exported))
    listen(lab)
    before = content(relay, "bird")
    assert run(lab) == 1
    assert route(c) == ""
    assert run(lab, "--check", announce="bird") == 2
    assert content(relay, "bird") == before
    assert run(lab, announce="bird") == 2
    eventually(lambda: "proto bird" in route(c), 15)
    assert pings(c, client, wait=4)
    assert learned(c) == {"2001::/32"}
    assert run(lab, announce="bird") == 0
    assert run(lab) == 2
    eventually(lambda: route(c) == "", 15)
    assert content(relay, "bird") == before
    bird.stop()


def test_relay_of_one_host_announces_nothing(lab):
    with pytest.raises(PlaybookError) as raised:
        run(lab, announce="bird", host_specific="true")
    assert "or teredo_relay_host_specific to false" in " ".join(str(raised.value).split())


def test_frr_announces_by_ripng_and_by_bgp_while_the_relay_is_there(lab, client):
    relay, c = lab["relay"], lab["c"]
    start_frr(relay, FRR + FRR_BGP)
    wanted = {"announce": "frr", "announce_frr_router": "ripng"}
    assert run(lab, **wanted) in (3, 4)  # without the other test before it there is no relay yet
    eventually(lambda: "proto bird" in route(c), 15)
    assert pings(c, client, wait=4)
    assert {one for one in learned(c) if one.startswith("2001::")} == {"2001::/32"}
    assert "redistribute kernel route-map v6ferry-teredo" in running(relay)
    assert run(lab, **wanted) == 0
    # From one process to another, where the native host speaks BGP.
    c.run(["birdc", "down"])
    c.path("/run/bird/bird.ctl").unlink(missing_ok=True)
    start_bird(c, BIRD_BGP.replace("NEIGHBOR", RELAY_NATIVE))
    run(lab, announce="frr", announce_frr_router="bgp 64512")
    assert "redistribute kernel" not in running(relay)
    eventually(lambda: "proto bird" in route(c), 30)
    assert pings(c, client, wait=4)
    run(lab, state="absent")
    eventually(lambda: route(c) == "", 15)
    assert content(relay, "frr") == FRR + FRR_BGP
    assert "v6ferry" not in running(relay)

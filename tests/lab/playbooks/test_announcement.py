# SPDX-License-Identifier: GPL-3.0-or-later
"""The role of a 6to4 relay has FRR or BIRD announce 2002::/16, and leaves the rest to them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.demo.playbook import PlaybookError
from tests.lab import SIXTOFOUR, Lab
from tests.lab.isatap.intranet import apply, eventually, pings
from tests.lab.playbooks.routing_daemons import (
    BIRD,
    BIRD_BGP,
    CONFIGURATION,
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
from tests.lab.sixtofour.internet import B_ADDRESS, RELAY
from tests.lab.sixtofour.site import address_in

pytestmark = pytest.mark.lab

FILE = {daemon: f"/etc/{daemon}/v6ferry-sixtofour.conf" for daemon in ("bird", "frr")}
run = partial(run_for_relay, "sixtofour")
route = partial(routes_to, "2002::/16")


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A relay to be, and a native host that has no route but what it learns."""
    with Lab(SIXTOFOUR) as lab:
        for name in ("relay", "b"):
            lab[name].start_agent()
        apply(lab["b"], "sixtofour_host", relay=RELAY)
        lab["c"].run(["ip", "-6", "route", "del", "default"])
        eventually(lambda: address_in(lab["relay"], "2001:db8:0:c:", "lan0") is not None)
        yield lab


def test_bird_announces_while_the_role_says_so_and_not_longer_rfc3056_5_2(lab):
    relay, c = lab["relay"], lab["c"]
    exported = "where net = 2002::/16"
    bird = start_bird(relay, BIRD.format(identifier=RELAY, interface="lan0", exported=exported))
    listen(lab)
    before = content(relay, "bird")
    assert run(lab) == 1
    assert route(c) == ""
    assert run(lab, "--check", announce="bird") == 2
    assert content(relay, "bird") == before
    assert run(lab, announce="bird") == 2
    eventually(lambda: "proto bird" in route(c), 15)
    assert pings(c, B_ADDRESS)
    learned = c.run(["ip", "-6", "route", "show", "proto", "bird"]).stdout
    assert [line.split()[0] for line in learned.splitlines()] == ["2002::/16"]
    assert run(lab, announce="bird") == 0
    # BIRD's own restart keeps it.
    bird.stop()
    relay.path("/run/bird/bird.ctl").unlink(missing_ok=True)
    start_bird(relay, content(relay, "bird"))
    eventually(lambda: "proto bird" in route(c), 15)
    assert run(lab) == 2
    eventually(lambda: route(c) == "", 15)
    assert content(relay, "bird") == before
    assert not relay.path(FILE["bird"]).exists()
    assert run(lab) == 0


def test_what_bird_refuses_leaves_its_configuration_as_it_was(lab):
    relay = lab["relay"]
    text = BIRD.format(identifier=RELAY, interface="lan0", exported="none")
    taken = text + "protocol static v6ferry_sixtofour { ipv6; }\n"
    start_bird(relay, taken)
    with pytest.raises(PlaybookError) as raised:
        run(lab, announce="bird")
    assert "BIRD does not announce 2002::/16" in str(raised.value)
    assert content(relay, "bird") == taken


def test_frr_announces_while_the_role_says_so_and_not_longer_rfc3056_5_2(lab):
    relay, c = lab["relay"], lab["c"]
    daemons = start_frr(relay, FRR)
    listen(lab)
    wanted = {"announce": "frr", "announce_frr_router": "ripng"}
    assert run(lab, "--check", **wanted) == 3
    assert content(relay, "frr") == FRR
    assert run(lab, **wanted) == 4
    eventually(lambda: "proto bird" in route(c), 15)
    assert pings(c, B_ADDRESS)
    learned = c.run(["ip", "-6", "route", "show", "proto", "bird"]).stdout
    theirs = {"2001:db8:77::/48", "2001:db8:0:c::/64"}
    assert {line.split()[0] for line in learned.splitlines()} - theirs == {"2002::/16"}
    assert run(lab, **wanted) == 0
    # FRR's own restart keeps it.
    for daemon in reversed(daemons):
        daemon.stop(10)
    daemons = start_frr(relay, "", write=False)
    eventually(lambda: "proto bird" in route(c), 15)
    assert run(lab, **wanted) == 0
    assert run(lab) == 3
    eventually(lambda: route(c) == "", 15)
    assert content(relay, "frr") == FRR
    assert "v6ferry" not in running(relay)
    assert "2001:db8:77::/48" in c.run(["ip", "-6", "route", "show", "proto", "bird"]).stdout
    assert run(lab) == 0


def test_an_frr_that_has_written_its_file_itself_is_understood(lab):
    relay = lab["relay"]
    start_frr(relay, FRR)
    wanted = {"announce": "frr", "announce_frr_router": "ripng"}
    run(lab, **wanted)
    relay.run(["vtysh", "-c", "write memory"])
    assert "BEGIN" not in content(relay, "frr")
    assert run(lab, **wanted) == 0
    run(lab)
    assert "v6ferry" not in content(relay, "frr")
    relay.run(["vtysh", "--dryrun", "--inputfile", CONFIGURATION["frr"]])
    after = content(relay, "frr")
    relay.run(["vtysh", "-c", "write memory"])
    assert [line for line in content(relay, "frr").splitlines() if line != "!"] == [
        line for line in after.splitlines() if line != "!"
    ]


def test_frr_announces_by_bgp_while_the_relay_is_there(lab):
    relay, c = lab["relay"], lab["c"]
    neighbor = address_in(relay, "2001:db8:0:c:", "lan0")
    start_frr(relay, FRR + FRR_BGP)
    start_bird(c, BIRD_BGP.replace("NEIGHBOR", neighbor))
    run(lab, announce="frr", announce_frr_router="bgp 64512")
    eventually(lambda: "proto bird" in route(c), 30)
    assert pings(c, B_ADDRESS)
    # From one process to another: the first one announces no more.
    run(lab, announce="frr", announce_frr_router="ripng")
    assert "network 2002::/16" not in running(relay)
    assert "redistribute connected route-map v6ferry-sixtofour" in running(relay)
    eventually(lambda: route(c) == "", 15)
    run(lab, announce="frr", announce_frr_router="bgp 64512")
    eventually(lambda: "proto bird" in route(c), 30)
    run(lab, state="absent")
    eventually(lambda: route(c) == "", 15)
    assert content(relay, "frr") == FRR + FRR_BGP


@pytest.mark.parametrize(
    ("router", "said"),
    [
        ("", "is no process that can announce"),
        ("isis 1", "is no process that can announce"),
        ("ripng", "redistributes connected routes already"),
        ("ospf6", "FRR does not announce 2002::/16, and its file is as it was"),  # no ospf6d runs
    ],
)
def test_what_frr_cannot_do_is_told_and_nothing_is_changed(lab, router, said):
    relay = lab["relay"]
    text = FRR.replace("redistribute static", "redistribute connected")
    start_frr(relay, text)
    with pytest.raises(PlaybookError) as raised:
        run(lab, announce="frr", announce_frr_router=router)
    assert said in " ".join(str(raised.value).split())
    assert content(relay, "frr") == text
    assert not Path(relay.path(FILE["frr"])).exists()

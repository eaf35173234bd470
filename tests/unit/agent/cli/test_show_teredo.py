# SPDX-License-Identifier: GPL-3.0-or-later
"""What people see of Teredo resources."""

from __future__ import annotations

from random import Random

import pytest
from v6ferry.cli.render import shown
from v6ferry.daemon.resources import check

SPECS = {
    "teredo_client": {"servers": ["206.73.118.1"]},
    "teredo_relay": {},
    "teredo_server": {"server_address": "206.73.118.1"},
}


@pytest.mark.parametrize("kind", SPECS)
def test_every_kind_is_shown_before_it_works(kind: str) -> None:
    engine = check(kind, "default", SPECS[kind]).engine(Random(1), 0.0)
    one = {"kind": kind, "name": "default", "status": engine.status(0.0)}
    agent = {"version": "0", "plane": "ebpf", "process_id": 1, "started": "today"}
    said = shown({"agent": agent, "resources": [one]})
    assert f"{kind}/default: not ready" in said
    assert "interface   teredo0" in said


@pytest.mark.parametrize(
    ("choice", "said"),
    [("sequential", "symmetric, ports sequential, seen"), ("unknown", "symmetric, seen")],
)
def test_how_the_nat_chooses_ports_is_shown(choice: str, said: str) -> None:
    engine = check("teredo_client", "default", SPECS["teredo_client"]).engine(Random(1), 0.0)
    found = {"nat": "symmetric", "mapped_address": "131.107.0.1", "mapped_port": 4096}
    status = {**engine.status(0.0), **found, "port_choice": choice}
    agent = {"version": "0", "plane": "ebpf", "process_id": 1, "started": "today"}
    one = {"kind": "teredo_client", "name": "default", "status": status}
    assert f"{said} as 131.107.0.1" in shown({"agent": agent, "resources": [one]})

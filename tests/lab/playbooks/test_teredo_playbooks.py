# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of Teredo against the white paper's figure 25, as a user runs them."""

from __future__ import annotations

import json

import pytest

from tests.demo.playbook import run_playbook
from tests.lab import Lab
from tests.lab.isatap.intranet import pings
from tests.lab.teredo.internet import SERVER, C, internet, teredo_address

pytestmark = pytest.mark.lab

CHANGED = {"server": 1, "relay": 1, "a": 1, "b": 1}
VARIABLES = {
    "teredo_server_server_address": SERVER,
    "teredo_server_wait": 10,
    "teredo_relay_wait": 10,
    "teredo_client_servers": [SERVER],
    "teredo_client_wait": 20,
}


def run(lab: Lab, name: str, *options: str) -> dict[str, int]:
    done = run_playbook(lab, name, "--diff", "-e", json.dumps(VARIABLES), *options)
    return {host: changes for host, changes in done.changed.items() if changes}


def test_server_relay_and_clients_are_made_once_foretold_and_taken_back() -> None:
    with internet() as lab:
        for name in CHANGED:
            lab[name].start_agent()
        assert run(lab, "teredo", "--check") == CHANGED
        assert run(lab, "teredo") == CHANGED
        assert pings(lab["a"], teredo_address(lab["b"], "teredo0"), wait=4)
        assert pings(lab["a"], C, wait=4)
        assert run(lab, "teredo") == {}
        assert run(lab, "teredo_remove") == CHANGED
        for name in CHANGED:
            assert "teredo0" not in lab[name].run(["ip", "-o", "link"]).stdout
        assert run(lab, "teredo_remove") == {}

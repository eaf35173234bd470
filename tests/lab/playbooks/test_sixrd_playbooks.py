# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of 6rd against a provider's network, as a user runs them."""

from __future__ import annotations

import pytest

from tests.demo.playbook import run_playbook
from tests.lab import SIXRD, Lab
from tests.lab.isatap.intranet import addresses, eventually, pings
from tests.lab.sixrd.test_sixrd import C

pytestmark = pytest.mark.lab

CHANGED = {"br": 1, "br2": 1, "ce1": 1, "ce2": 1}


def run(lab, name, *options):
    done = run_playbook(lab, name, "--diff", *options)
    return {host: changes for host, changes in done.changed.items() if changes}


def test_relays_and_edges_are_made_once_foretold_and_taken_back():
    with Lab(SIXRD) as lab:
        for name in CHANGED:
            lab[name].start_agent()
        assert run(lab, "sixrd", "--check") == CHANGED
        assert addresses(lab["ce1"], "sixrd0") == set()
        assert run(lab, "sixrd") == CHANGED
        for name in ("h1", "h2"):
            eventually(lambda name=name: pings(lab[name], C, wait=0.5))
        assert run(lab, "sixrd") == {}
        assert run(lab, "sixrd_remove") == CHANGED
        for name in CHANGED:
            assert addresses(lab[name], "sixrd0") == set()
        assert run(lab, "sixrd_remove") == {}

# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of 6to4 against the white paper's example, as a user runs them."""

from __future__ import annotations

import pytest

from tests.demo.playbook import run_playbook
from tests.lab import SIXTOFOUR, Lab
from tests.lab.isatap.intranet import addresses, eventually, pings
from tests.lab.sixtofour.internet import B_ADDRESS, SITE, C
from tests.lab.sixtofour.site import address_in

pytestmark = pytest.mark.lab

CHANGED = {"router": 1, "b": 1, "relay": 1}


def run(lab, name, *options):
    done = run_playbook(lab, name, "--diff", *options)
    return {host: changes for host, changes in done.changed.items() if changes}


def test_site_host_and_relay_are_made_once_foretold_and_taken_back():
    with Lab(SIXTOFOUR) as lab:
        for name in CHANGED:
            lab[name].start_agent()
        assert run(lab, "sixtofour", "--check") == CHANGED
        assert addresses(lab["b"], "sixtofour0") == set()
        assert run(lab, "sixtofour") == CHANGED
        eventually(lambda: address_in(lab["a"], SITE) is not None)
        eventually(lambda: pings(lab["a"], C, wait=0.5))
        assert pings(lab["a"], B_ADDRESS)
        assert pings(lab["c"], B_ADDRESS)
        assert run(lab, "sixtofour") == {}
        assert run(lab, "sixtofour_remove") == CHANGED
        for name in CHANGED:
            assert addresses(lab[name], "sixtofour0") == set()
        assert run(lab, "sixtofour_remove") == {}

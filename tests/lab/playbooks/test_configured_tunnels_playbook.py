# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook of configured tunnels against the lab, as a user runs it."""

from __future__ import annotations

import json

import pytest

from tests.demo.playbook import run_playbook
from tests.lab import CONFIGURED, Lab
from tests.lab.configured.tunnels import present, status, tunnels
from tests.lab.isatap.intranet import addresses, pings

pytestmark = pytest.mark.lab


def run(lab, *options, **last):
    """Run it on the branch's router with two tunnels, the last of which has more options."""
    items = [
        {"name": "main", "remote": "10.0.0.1", "addresses": ["2001:db8:0:f::2/64"], "wait": 10},
        {"name": "second", "remote": "10.0.2.1", "routes": [{"prefix": "2001:db8:9::/48"}], **last},
    ]
    variables = json.dumps({"configured_tunnels_list": items})
    return run_playbook(lab, "configured_tunnels", "--diff", "-e", variables, *options)


def test_list_of_tunnels_is_made_once_foretold_and_taken_back():
    with Lab(CONFIGURED) as lab:
        for name in ("router", "branch"):
            lab[name].start_agent()
        branch = lab["branch"]
        there = present("branch", remote="10.0.3.1", addresses=["2001:db8:0:f::1/64"])
        with tunnels((lab["router"], there)):
            assert run(lab, "--check").changed == {"branch": 1}
            assert addresses(branch, "ct-main") == set()
            done = run(lab)
            assert done.changed == {"branch": 1}
            assert "+remote: 10.0.2.1" in done.output
            assert pings(branch, "2001:db8:0:f::1")
            assert status(branch, "second")["routes"][0]["prefix"] == "2001:db8:9::/48"
            assert run(lab).changes == 0
            assert run(lab, state="absent").changed == {"branch": 1}
            assert addresses(branch, "ct-second") == set()

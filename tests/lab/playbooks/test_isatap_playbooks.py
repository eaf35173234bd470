# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks against the lab, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.playbook import PlaybookError, run_playbook
from tests.lab import ISATAP, Lab
from tests.lab.isatap.intranet import A, B, C, addresses, eventually, pings

pytestmark = pytest.mark.lab

AGENTS = ("router", "a", "b")


@pytest.fixture(scope="module")
def lab():
    with Lab(ISATAP) as lab:
        for name in AGENTS:
            lab[name].start_agent()
        yield lab


def report(recap):
    """What a run says of its tasks: changed or ok, and the diffs. Hosts answer in any order."""
    lines = recap.output.splitlines()
    return sorted(line for line in lines if re.match(r"(ok|changed|skipping): |[-+@ ]|TASK", line))


@pytest.fixture(scope="module")
def runs(lab):
    """Check mode, the real run, the second run; in this order."""
    before = [addresses(lab[name]) for name in AGENTS]
    foretold = run_playbook(lab, "isatap", "--check", "--diff")
    assert [addresses(lab[name]) for name in AGENTS] == before
    return foretold, run_playbook(lab, "isatap", "--diff"), run_playbook(lab, "isatap", "--diff")


def test_check_mode_foretells_exactly_what_the_run_changes(runs):
    foretold, done, _again = runs
    assert foretold.changed == done.changed == {"a": 1, "b": 1, "dns": 1, "router": 1}
    assert report(foretold) == report(done)


def test_second_run_changes_nothing(runs):
    assert runs[2].changes == 0
    assert not [line for line in report(runs[2]) if line.startswith(("+", "-"))]


def test_diff_shows_the_resource_as_the_user_wrote_it(runs):
    assert "+prefixes:\n+  - prefix: 2001:db8:0:7::/64\n" in runs[1].output


def test_everybody_reaches_everybody_afterwards(lab, runs):
    for source, target in (("a", B), ("b", A), ("a", C), ("b", C), ("c", A), ("c", B)):
        assert pings(lab[source], target)


def test_check_mode_on_a_host_without_agent_foretells_the_same(lab, runs):
    """Before the agent is there at all, a run in check mode must still say what would be."""
    with Lab(ISATAP) as bare:
        foretold = run_playbook(bare, "isatap", "--check", "--diff")
    assert foretold.changed == runs[1].changed
    assert [one for one in report(foretold) if one[0] in "+-"] == [
        one for one in report(runs[1]) if one[0] in "+-"
    ]
    assert "the v6ferry agent is not installed here yet" in foretold.output.replace("\n", " ")


def test_run_without_an_agent_fails_in_one_clear_line(runs):
    with Lab(ISATAP) as bare, pytest.raises(PlaybookError) as raised:
        run_playbook(bare, "isatap")
    said = " ".join(str(raised.value).split())
    assert "the v6ferry agent is not running or not installed" in said
    assert "/run/v6ferry/control.sock" in said


def test_wrong_option_is_named_by_the_module(lab, runs):
    option = json.dumps({"isatap_host_routers": ["2001:db8::1"]})
    with pytest.raises(PlaybookError) as raised:
        run_playbook(lab, "isatap", "--check", "--limit=a", f"--extra-vars={option}")
    assert "isatap_host/default: routers[0]: " in " ".join(str(raised.value).split())


def test_transition_info_tells_what_runs(lab, runs, tmp_path):
    playbook = tmp_path / "info.yml"
    playbook.write_text(
        "- hosts: a\n  gather_facts: false\n  tasks:\n"
        "    - v6ops.transition.transition_info:\n      register: found\n"
        f"    - copy: {{content: '{{{{ found }}}}', dest: {tmp_path}/found.json}}\n"
    )
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook)]
    inventory = f"--inventory={lab.directory}/inventory/hosts.yml"
    environment = {**os.environ, "ANSIBLE_CONFIG": str(lab.directory / "inventory/ansible.cfg")}
    subprocess.run([*command, inventory], env=environment, check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert not found["changed"]
    (resource,) = found["resources"]
    assert (resource["kind"], resource["status"]["ready"]) == ("isatap_host", True)
    assert A in [one["address"] for one in resource["status"]["addresses"]]


def test_removal_takes_everything_back_and_a_second_one_changes_nothing(lab, runs):
    removed = run_playbook(lab, "isatap_remove")
    assert removed.changed == {"a": 1, "b": 1, "dns": 1, "router": 1}
    assert run_playbook(lab, "isatap_remove").changes == 0
    for name in AGENTS:
        assert "isatap0" not in lab[name].run(["ip", "link"]).stdout
    answer = lab["a"].run(["dig", "+short", "isatap.corp.example", "@10.0.1.53"]).stdout
    assert answer == ""
    forwarding = lab["router"].run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout
    assert forwarding == "0\n"
    eventually(lambda: not pings(lab["a"], C, wait=0.5))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and running processes; no root."""

import os
import time
from pathlib import Path

import pytest

from tests.lab import processes
from tests.lab.errors import LabError


def test_a_process_is_found_by_its_namespaces():
    assert os.getpid() in processes.processes_in(processes.own_namespaces())


def test_no_namespace_has_no_process():
    assert processes.processes_in(frozenset()) == []
    processes.kill_processes_in(frozenset())


def test_a_file_that_is_gone_is_no_namespace(tmp_path):
    assert processes.namespace_id(tmp_path / "net") is None


def test_what_is_left_of_a_namespace_after_a_crash_holds_no_process(tmp_path):
    remains = tmp_path / "net"
    remains.touch()
    assert processes.processes_in({processes.namespace_id(remains)}) == []


def test_the_callers_own_namespaces_are_safe():
    with pytest.raises(LabError, match="take it down from outside"):
        processes.kill_processes_in(processes.own_namespaces())


def test_the_start_time_tells_processes_of_one_id_apart():
    assert processes.start_time(os.getpid()) > processes.start_time(os.getppid())
    assert processes.start_time(2**22 + 1) is None  # beyond the kernel's greatest id


def test_scripts_run_side_by_side(tmp_path):
    """Each of two scripts waits for what the other does."""
    wait = "for try in $(seq 500); do [ -e {theirs} ] && exit; sleep 0.01; done; exit 1"
    scripts = [
        (mine, ["sh"], f"touch {tmp_path / mine}; {wait.format(theirs=tmp_path / theirs)}")
        for mine, theirs in (("one", "two"), ("two", "one"))
    ]
    processes.run_scripts(scripts)


def test_a_script_that_fails_says_what_and_why():
    with pytest.raises(LabError, match=r"^adding failed \(3\): no room$"):
        processes.run_scripts([("adding", ["sh"], "echo no room >&2; exit 3")])


def test_waiting_ends_with_the_condition_or_the_time():
    assert processes.wait_until(lambda: True, timeout=0)
    began = time.monotonic()
    assert not processes.wait_until(lambda: False, timeout=0.05)
    assert time.monotonic() - began >= 0.05


def test_a_command_is_run_in_the_namespaces_it_names():
    namespaces = {"net": Path("/a/net"), "uts": Path("/a/uts")}
    assert processes.enter_command(namespaces, ["ip", "link"]) == [
        "nsenter",
        "--net=/a/net",
        "--uts=/a/uts",
        "--",
        "ip",
        "link",
    ]

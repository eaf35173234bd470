# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs come up fast, go away whole however their makers end, and leave each other alone."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import ISATAP, ISATAP_TWO_ROUTERS, Lab, LabError, Zone
from tests.lab.lab import LAB_ROOT, describe
from tests.lab.processes import namespace_id, processes_in
from tests.lab.topology import Host, Topology

pytestmark = pytest.mark.lab

CHECKOUT = Path(__file__).resolve().parents[3]
BUILD_SECONDS = 5  # what the build of a lab may take

# Builds a lab, leaves programs behind that would rather stay, and waits to be killed.
MAKER = """
import subprocess, sys, time
from tests.lab import ISATAP, Lab

lab = Lab(ISATAP, sys.argv[1]).up()
stubborn = "trap '' TERM HUP INT; echo here; while :; do sleep 1; done"
for host, *command in (
    ("a", "setsid", "sh", "-c", stubborn),
    ("core", "tcpdump", "-i", "any", "-w", "/dev/null"),
):
    program = lab[host].popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    program.stdout.readline()  # it is in the namespaces of its host by now
print("up", flush=True)
time.sleep(600)
"""


def unique_name():
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def name():
    """The name of a lab that is down at the end, whatever the test did."""
    name = unique_name()
    yield name
    Lab(ISATAP, name).down()


def namespaces_of(lab):
    """The lab's namespaces: what all its processes are in."""
    return {namespace_id(path) for host in lab.hosts for path in host.namespaces.values()}


def traces(name):
    """What the machine still has of a lab: mounts and its directory."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line for line in mounts if f"{LAB_ROOT / name}" in line]
    return [*found, *(str(path) for path in LAB_ROOT.glob(name))]


def machine():
    """What no lab may change: the machine's interfaces, addresses and routes."""
    commands = (["-o", "link"], ["-o", "address"], ["route"], ["-6", "route"])
    return [
        # "-o address" counts lifetimes down.
        [line.partition("valid_lft")[0] for line in ip(*command).splitlines()]
        for command in commands
    ]


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def alive(process):
    """Whether a process runs; one that is dead may wait long for its parent to notice."""
    status = Path("/proc", str(process), "stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def killed_maker(name):
    """A lab whose maker has been killed, as the ids of its processes."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, name], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as maker:
        try:
            assert maker.stdout.readline() == "up\n"
        finally:
            maker.send_signal(signal.SIGKILL)
    return processes_in(namespaces_of(Lab.attach(name)))


@pytest.mark.parametrize("topology", [ISATAP, ISATAP_TWO_ROUTERS], ids=lambda one: one.name)
def test_a_lab_is_up_in_a_few_seconds_and_leaves_nothing_behind(topology, name):
    before = machine()
    began = time.monotonic()
    with Lab(topology, name) as lab:
        assert time.monotonic() - began < BUILD_SECONDS
        assert machine() == before
        inside = namespaces_of(lab)
        assert processes_in(inside)  # the name server
    assert not processes_in(inside)
    assert traces(name) == []
    assert machine() == before


def test_a_lab_goes_down_with_its_block_also_when_that_fails(name):
    with pytest.raises(ZeroDivisionError), Lab(ISATAP, name):
        _infinity = 1 // 0
    assert traces(name) == []


def test_a_lab_that_cannot_be_built_leaves_nothing_behind(name):
    zone = Zone("corp.example", ("this is no record",))
    hosts = (*ISATAP.hosts, Host("other", (), zones=(zone,)))
    topology = Topology("broken", ISATAP.networks, hosts)
    with pytest.raises(LabError, match="host other: named refused a zone"):
        Lab(topology, name).up()
    assert traces(name) == []


def test_a_lab_whose_maker_was_killed_can_be_taken_down(name, killed_maker, command_line):
    assert len(killed_maker) >= 3  # the stubborn program, tcpdump and the name server
    assert describe(name) == "isatap, stale"
    assert command_line("down", name).stdout == f"lab {name} is down\n"
    assert not any(alive(process) for process in killed_maker)
    assert traces(name) == []


@pytest.mark.usefixtures("killed_maker")
def test_a_lab_whose_maker_was_killed_can_be_built_again_at_once(name):
    with Lab(ISATAP, name) as lab:
        lab["a"].run(["ping", "-c", "1", "-W", "1", "10.0.0.1"])
    assert traces(name) == []


def test_a_lab_can_be_built_again_and_again(name):
    for _turn in range(3):
        with Lab(ISATAP, name) as lab:
            lab["a"].run(["ping", "-c", "1", "-W", "1", "10.0.0.1"])


def test_two_labs_at_once_do_not_meet(name):
    with Lab(ISATAP) as other:
        with Lab(ISATAP, name) as lab:
            assert namespaces_of(lab).isdisjoint(namespaces_of(other))
            # Only in one of them is the name, and only there the link is down.
            lab["dns"].run(["ip", "link", "set", "eth0", "down"])
            ping = ["ping", "-c", "1", "-W", "1", "10.0.1.53"]
            assert lab["a"].run(ping, check=False).returncode != 0
            other["a"].run(ping)
        other["a"].run(["getent", "hosts", "b"])  # it outlives the one that was built after it


def test_a_name_is_taken_as_long_as_its_lab_is_up(name):
    with Lab(ISATAP, name):
        with pytest.raises(LabError, match=f"lab {name} is up already; give another name"):
            Lab(ISATAP, name).up()
        assert Lab.attach(name)["a"].run(["uname", "-n"]).stdout == "a\n"


def test_a_kept_lab_outlives_its_maker_until_it_is_taken_down(name, command_line):
    said = command_line("up", "isatap", "--name", name).stdout
    assert f"take it down: python -m tests.lab down {name}" in said
    assert f"{name}: isatap, kept\n" in command_line("list").stdout
    assert command_line("enter", name, "c", "uname", "-n").stdout == "c\n"
    command_line("down", name)
    assert traces(name) == []


def test_nothing_outside_the_lab_is_killed_with_it(name):
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            with Lab(ISATAP, name):
                pass
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_shell_that_stands_in_the_labs_directory_does_not_keep_it(name):
    lab = Lab(ISATAP, name).up()
    descriptor = os.open(lab.directory, os.O_RDONLY)
    try:
        lab.down()
        assert traces(name) == []
    finally:
        os.close(descriptor)

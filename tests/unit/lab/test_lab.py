# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab says of itself before it is up, and when it cannot be; no root."""

import json
import os

import pytest
import yaml

from tests.lab import ISATAP, Lab, LabError, TopologyError, inventory_yaml, lab
from tests.lab.cli import main


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The directory of labs, empty."""
    monkeypatch.setattr(lab, "LAB_ROOT", tmp_path)
    return tmp_path


def write_description(root, name, owner):
    (root / name).mkdir()
    value = {
        "topology": ISATAP.as_dict(),
        "tsig_key": {"name": "k", "algorithm": "hmac-sha256", "secret": "c2VjcmV0"},
        "owner": owner,
    }
    (root / name / "lab.json").write_text(json.dumps(value))


def myself():
    return {"process_id": os.getpid(), "start_time": lab.processes.start_time(os.getpid())}


def test_labs_get_names_of_their_own():
    assert Lab(ISATAP).name != Lab(ISATAP).name
    assert Lab(ISATAP).name.startswith("isatap-")


def test_a_name_cannot_lead_out_of_the_directory_of_labs():
    with pytest.raises(TopologyError, match=r"lab '\.\./other'"):
        Lab(ISATAP, "../other")


def test_a_host_is_found_by_name():
    a = Lab(ISATAP, "x")["a"]
    assert (a.name, str(a.ipv4)) == ("a", "192.168.47.99")
    with pytest.raises(TopologyError, match="has no host 'z'"):
        Lab(ISATAP, "x")["z"]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/etc/hosts", "/run/v6ferry-lab/x/hosts/a/root/etc/hosts"),
        ("/run", "/run/v6ferry-lab/x/hosts/a/root/run"),
        ("/var/lib/../lib/v6ferry", "/run/v6ferry-lab/x/hosts/a/root/var/lib/v6ferry"),
        ("/var/log/messages", "/var/log/messages"),
        ("/etcetera", "/etcetera"),
        ("/etc/../usr/bin", "/usr/bin"),
    ],
)
def test_a_path_is_the_hosts_own_where_it_has_its_own(path, where):
    assert str(Lab(ISATAP, "x")["a"].path(path)) == where


def test_the_machines_files_cannot_be_written_by_way_of_a_host():
    with pytest.raises(LabError, match="/usr/lib/x belongs to the machine"):
        Lab(ISATAP, "x")["a"].write("/usr/lib/x", "")


def test_the_control_socket_fits_a_socket_address():
    """A socket's path has 107 octets at most (unix(7)), however long the names are."""
    longest = Lab(ISATAP, "l" * 32)
    assert len(os.fsencode(longest["router"].path("/run/v6ferry/control.sock"))) <= 107


@pytest.mark.usefixtures("root")
def test_no_agent_can_be_stopped_that_was_not_started():
    with pytest.raises(LabError, match="host a: no agent runs"):
        Lab(ISATAP, "x")["a"].stop_agent()


def test_a_lab_is_found_again(root):
    write_description(root, "x", None)
    found = Lab.attach("x")
    assert found.topology == ISATAP
    assert found.tsig_key.name == "k"
    assert Lab.names() == ["x"]


@pytest.mark.usefixtures("root")
def test_a_lab_that_is_not_there_is_an_error_that_says_which_are():
    with pytest.raises(LabError, match=r"no lab is called 'x' \(none is up\)"):
        Lab.attach("x")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"topology": {}}', '{"topology": 1}'])
def test_a_broken_description_is_one_error(root, text):
    (root / "x").mkdir()
    (root / "x" / "lab.json").write_text(text)
    with pytest.raises(LabError, match=r"x/lab.json: not a lab's description"):
        Lab.attach("x")


def test_a_lab_is_stale_when_its_maker_is_gone_unless_it_is_kept(root):
    write_description(root, "alive", myself())
    write_description(root, "gone", {**myself(), "start_time": 0})
    write_description(root, "kept", None)
    (root / "unfinished").mkdir()
    assert lab.describe("alive") == f"isatap, of process {os.getpid()}"
    assert lab.describe("gone") == "isatap, stale"
    assert lab.describe("kept") == "isatap, kept"
    assert lab.describe("unfinished") == "unfinished"


def test_a_directory_without_description_is_stale_once_it_is_old(root):
    (root / "old").mkdir()
    os.utime(root / "old", (0, 0))
    assert Lab.down_all_stale() == ["old"]
    assert Lab.names() == []


def test_the_inventory_has_each_host_in_its_groups():
    lab_x = Lab(ISATAP, "x")
    value = yaml.safe_load(inventory_yaml(lab_x))["all"]
    assert value["vars"]["ansible_connection"] == "v6ops.transition.netns"
    assert value["vars"]["lab_tsig_key_secret"] == lab_x.tsig_key.secret
    assert value["hosts"]["a"] == {
        "ansible_netns_namespace": "/run/v6ferry-lab/x/hosts/a/ns/net",
        "ansible_netns_mount_namespace": "/run/v6ferry-lab/x/hosts/a/ns/mount",
        "ansible_netns_uts_namespace": "/run/v6ferry-lab/x/hosts/a/ns/uts",
    }
    assert list(value["children"]["isatap_hosts"]["hosts"]) == ["a", "b"]
    assert list(value["children"]["isatap_routers"]["hosts"]) == ["router"]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("arguments", [["down", "x"], ["enter", "x", "a"], ["inventory", "x"]])
def test_the_command_line_says_in_one_line_that_a_lab_is_not_there(arguments, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("tests.lab: no lab is called 'x'")
    assert error.count("\n") == 1


def test_building_needs_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        Lab(ISATAP).up()


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lab.shutil, "which", lambda p: None if p == "named" else p)
    with pytest.raises(LabError, match="needs named; install the packages bind9"):
        Lab(ISATAP).up()

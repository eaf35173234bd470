# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters and their ledger, on a make-believe /proc/sys."""

from __future__ import annotations

import json

import pytest
from v6ferry.system.errors import SystemFault
from v6ferry.system.sysctl import (
    SysctlLedger,
    enable_ipv6_forwarding,
    read_sysctl,
    write_sysctl,
)

NAME = "net/ipv4/ip_forward"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "sys"
    parameters = {NAME: "0", "net/ipv6/conf/all/forwarding": "0"}
    for interface, accept_ra in (("default", "1"), ("lo", "1"), ("eth0", "1"), ("eth0.100", "0")):
        parameters[f"net/ipv6/conf/{interface}/accept_ra"] = accept_ra
        parameters[f"net/ipv6/conf/{interface}/forwarding"] = "0"
    for name, value in parameters.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{value}\n")
    return folder


@pytest.fixture
def ledger(tmp_path, root):
    return SysctlLedger(tmp_path / "run/sysctl.json", root=root)


def all_values(root):
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["net.ipv4.ip_forward", "net/ipv4/ip_forward"])
def test_both_spellings_name_the_same(root, name):
    write_sysctl(name, "1", root=root)
    assert read_sysctl("net.ipv4.ip_forward", root=root) == "1"


def test_first_separator_counts_so_interface_names_may_have_dots(root):
    assert read_sysctl("net/ipv6/conf/eth0.100/accept_ra", root=root) == "0"


def test_unknown_parameter_is_named(root):
    with pytest.raises(SystemFault, match=r"net\.ipv4\.nonsense.*no such parameter"):
        read_sysctl("net.ipv4.nonsense", root=root)


def test_vanished_interface_is_not_a_missing_parameter(root):
    with pytest.raises(SystemFault, match="interface has disappeared"):
        write_sysctl("net/ipv6/conf/gone0/accept_ra", "0", root=root)


def test_kernel_without_ipv6_is_named(tmp_path):
    with pytest.raises(SystemFault, match=r"net\.ipv6.*ipv6\.disable=1"):
        read_sysctl("net.ipv6.conf.all.forwarding", root=tmp_path)
    with pytest.raises(SystemFault, match=r"net\.ipv6.*ipv6\.disable=1"):
        enable_ipv6_forwarding(SysctlLedger(tmp_path / "ledger", root=tmp_path), "router")


def test_writing_creates_no_file(root):
    with pytest.raises(SystemFault):
        write_sysctl("net.ipv4.nonsense", "1", root=root)
    assert not (root / "net/ipv4/nonsense").exists()


def test_value_is_restored_when_its_owner_goes(root, ledger):
    assert ledger.set("a", NAME, "1") == [f"set {NAME} to 1 (it was 0)"]
    assert ledger.set("a", NAME, "1") == []
    assert ledger.release("a") == [f"set {NAME} to 0 (it was 1)"]
    assert read_sysctl(NAME, root=root) == "0"
    assert ledger.release("a") == []


def test_value_is_restored_when_the_last_owner_goes(root, ledger):
    ledger.set("a", NAME, "1")
    ledger.set("b", NAME, "1")
    assert ledger.release("a") == []
    assert read_sysctl(NAME, root=root) == "1"
    ledger.release("b")
    assert read_sysctl(NAME, root=root) == "0"


def test_latest_wish_wins_and_an_earlier_one_returns(root, ledger):
    ledger.set("a", NAME, "1")
    ledger.set("b", NAME, "2")
    assert read_sysctl(NAME, root=root) == "2"
    ledger.release("b")
    assert read_sysctl(NAME, root=root) == "1"


def test_value_that_was_right_before_stays(root, ledger):
    write_sysctl(NAME, "1", root=root)
    assert ledger.set("a", NAME, "1") == []
    assert ledger.release("a") == []
    assert read_sysctl(NAME, root=root) == "1"


def test_value_changed_by_somebody_else_is_left_alone(root, ledger):
    ledger.set("a", NAME, "1")
    write_sysctl(NAME, "2", root=root)
    assert ledger.release("a") == [f"left {NAME} at 2: somebody changed it since it was set to 1"]
    assert read_sysctl(NAME, root=root) == "2"


def test_parameter_of_a_vanished_interface_is_forgotten(root, ledger):
    ledger.set("a", "net/ipv6/conf/eth0/accept_ra", "2")
    (root / "net/ipv6/conf/eth0/accept_ra").unlink()
    assert ledger.release("a") == []


def test_original_value_survives_a_restart(tmp_path, root, ledger):
    ledger.set("a", NAME, "1")
    again = SysctlLedger(tmp_path / "run/sysctl.json", root=root)
    again.set("a", NAME, "1")
    again.release("a")
    assert read_sysctl(NAME, root=root) == "0"


def test_original_value_is_on_disk_before_the_change(tmp_path, root, ledger, monkeypatch):
    def crash(name, value, *, root):
        raise KeyboardInterrupt

    monkeypatch.setattr("v6ferry.system.sysctl.write_sysctl", crash)
    with pytest.raises(KeyboardInterrupt):
        ledger.set("a", NAME, "1")
    stored = json.loads((tmp_path / "run/sysctl.json").read_text())
    assert stored[NAME] == {"original": "0", "applied": "1", "owners": {"a": "1"}}


def test_dry_run_says_the_same_and_does_nothing(tmp_path, root, ledger):
    before = all_values(root)
    promised = enable_ipv6_forwarding(ledger, "a", dry_run=True)
    assert all_values(root) == before
    assert not (tmp_path / "run").exists()
    assert enable_ipv6_forwarding(ledger, "a") == promised
    promised = ledger.release("a", dry_run=True)
    assert ledger.holds(NAME) is False
    assert ledger.release("a") == promised


@pytest.mark.parametrize("content", ["{", "[]", '{"x": 1}', '{"x": {"original": "0"}}', "\xff"])
def test_broken_ledger_is_named_and_kept(tmp_path, root, ledger, content):
    path = tmp_path / "run/sysctl.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SystemFault, match=str(path)):
        ledger.set("a", NAME, "1")
    assert path.read_bytes() == content.encode("latin-1")
    assert read_sysctl(NAME, root=root) == "0"


def test_router_keeps_listening_where_it_relies_on_advertisements(root, ledger):
    enable_ipv6_forwarding(ledger, "isatap_router/isatap0")
    values = {
        name: read_sysctl(f"net/ipv6/conf/{name}/accept_ra", root=root)
        for name in ("default", "eth0", "eth0.100", "lo")
    }
    assert values == {"default": "2", "eth0": "2", "eth0.100": "0", "lo": "1"}
    assert read_sysctl("net/ipv6/conf/all/forwarding", root=root) == "1"


def test_forwarding_is_taken_back_whole(root, ledger):
    before = all_values(root)
    enable_ipv6_forwarding(ledger, "a")
    assert enable_ipv6_forwarding(ledger, "a") == []
    ledger.release("a")
    assert all_values(root) == before


def test_second_router_keeps_what_the_first_one_set(root, ledger):
    enable_ipv6_forwarding(ledger, "a")
    enable_ipv6_forwarding(ledger, "b")
    assert ledger.release("a") == []
    assert read_sysctl("net/ipv6/conf/eth0/accept_ra", root=root) == "2"
    ledger.release("b")
    assert read_sysctl("net/ipv6/conf/eth0/accept_ra", root=root) == "1"

# SPDX-License-Identifier: GPL-3.0-or-later
"""What nft and dnsmasq are given, and how programs are found and run."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from v6ferry.system.dhcp_server import configuration
from v6ferry.system.errors import SystemFault
from v6ferry.system.masquerade import table_objects
from v6ferry.system.programs import Program, ProgramFailedError, run_program
from v6ferry.system.state import DhcpRange, DhcpService, Masquerading
from v6ferry.system.sysctl import SysctlLedger, read_sysctl, write_sysctl

RANGE = DhcpRange("lan0", *map(IPv4Address, ("10.0.0.2", "10.0.0.9", "255.255.255.0")))


def test_table_has_a_rule_for_each_way():
    objects = table_objects("kind/name", Masquerading(("lan0", "lan1"), ("eth0",)))
    assert objects[0]["table"]["name"] == "v6ferry/kind/name"
    assert objects[1]["chain"]["hook"] == "postrouting"
    ways = [
        [one["match"]["right"] for one in entry["rule"]["expr"][:2]]
        for entry in objects
        if "rule" in entry
    ]
    assert ways == [["lan0", "eth0"], ["lan1", "eth0"]]


def test_dnsmasq_serves_private_interfaces_alone():
    lines = configuration(DhcpService((RANGE,), 600), Path("/leases")).splitlines()
    assert {"bind-dynamic", "interface=lan0", "except-interface=lo", "no-hosts"} <= set(lines)
    assert "dhcp-range=10.0.0.2,10.0.0.9,255.255.255.0,600" in lines
    assert "dhcp-leasefile=/leases" in lines
    assert "port=0" not in lines


def test_dnsmasq_leaves_the_dns_to_servers_that_are_named():
    servers = (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
    lines = configuration(DhcpService((RANGE,), 600, servers), Path("/leases")).splitlines()
    assert {"port=0", "dhcp-option=option:dns-server,192.0.2.1,192.0.2.2"} <= set(lines)


def test_missing_program_names_its_package():
    with pytest.raises(SystemFault, match="install the package of-it"):
        Program("no-such-program", "of-it").find()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["false"], "cannot try it: exit code 1"),
        (["sh", "-c", "echo a >&2; echo b >&2; exit 3"], "cannot try it: a b"),
        (["sleep", "9"], "cannot try it: no answer within 0.1 s; wait"),
        (["/no/such/program"], "cannot try it: No such file or directory; install it"),
    ],
)
def test_failure_of_a_program_is_one_line(command, said):
    run = run_program(command, doing="try it", timeout=0.1, missing="install it", silent="wait")
    with pytest.raises(SystemFault) as raised:
        asyncio.run(run)
    assert str(raised.value) == said
    assert isinstance(raised.value, ProgramFailedError) == (command[0] in ("false", "sh"))


def test_program_gets_its_input():
    assert asyncio.run(run_program(["cat"], doing="echo", given=b"hello")) == "hello"


def test_ledger_gives_back_what_an_owner_no_longer_wants(tmp_path):
    names = [f"net/ipv4/conf/{one}/forwarding" for one in ("lan0", "lan1")]
    for name in names:
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True)
        path.write_text("0\n")
        write_sysctl(name, "0", root=tmp_path / "sys")
    ledger = SysctlLedger(tmp_path / "ledger", root=tmp_path / "sys")
    for name in names:
        ledger.set("a", name, "1")
    ledger.release("a", keep=[names[1].replace("/", ".")])
    assert [read_sysctl(name, root=tmp_path / "sys") for name in names] == ["0", "1"]
    ledger.release("a")
    assert read_sysctl(names[1], root=tmp_path / "sys") == "0"

# SPDX-License-Identifier: GPL-3.0-or-later
"""One clear message for everything that is wrong, and nothing that worked stops working."""

from __future__ import annotations

import json
import socket

import pytest

from tests.lab.isatap.intranet import (
    LINK_LOCAL_A,
    PREFIX,
    A,
    C,
    addresses,
    apply,
    eventually,
    pings,
    refusal,
    status,
)

pytestmark = pytest.mark.lab

STORED = "/var/lib/v6ferry/resources/isatap_host/default.json"


@pytest.fixture(autouse=True)
def still_works(lab):
    """Whatever a test has done, the host still reaches the native one."""
    yield
    assert addresses(lab["a"]) == {LINK_LOCAL_A, A}
    assert pings(lab["a"], C)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"routers": ["2001:db8::1"]}, "isatap_host/default: routers[0]: "),
        ({"routers": ["10.0.0.1/24"]}, "isatap_host/default: routers[0]: "),
        ({"routers": "10.0.0.1"}, "isatap_host/default: routers: expected a list"),
        ({"mtu": 1279}, "isatap_host/default: mtu: "),
        ({"link_local": "sometimes"}, "isatap_host/default: link_local: "),
        ({"interface": "a/b"}, "isatap_host/default: interface: "),
        ({"router": ["10.0.0.1"]}, "unknown option router; did you mean routers?"),
        ({"underlay_addresses": ["fe80::1"]}, "isatap_host/default: underlay_addresses[0]: "),
    ],
)
def test_wrong_option_is_named(lab, spec, message):
    assert message in refusal(lab["a"], "isatap_host", **spec)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("2001:db8::/63", "is a /63, but ISATAP needs a /64"),
        ("2001:db8::1/64", "host bits"),
        ("10.0.0.0/24", "prefix: "),
        ("fe80::/64", "cannot be advertised"),
    ],
)
def test_prefix_that_hosts_could_not_use_is_refused(lab, prefix, message):
    said = refusal(lab["router"], "isatap_router", prefixes=[{"prefix": prefix}])
    assert "isatap_router/default: prefixes[0]: prefix: " in said
    assert message in said


def test_two_resources_on_one_interface_are_refused(lab):
    said = refusal(lab["a"], "isatap_router", prefixes=[PREFIX])
    assert said == (
        "isatap_router/default: interface: isatap0 is used by isatap_host/default; give one of"
        " them another interface name"
    )


def test_one_bad_resource_of_several_changes_none(lab):
    resources = [
        {"kind": "isatap_host", "spec": {"routers": ["10.0.0.1"], "ttl": 7}},
        {"kind": "isatap_router", "name": "x", "spec": {"interface": "x0", "prefixes": [{}]}},
    ]
    before = lab["a"].path(STORED).read_bytes()
    done = lab["a"].v6ferry("apply", "-", input=json.dumps(resources), check=False)
    assert done.returncode == 1
    assert "isatap_router/x: prefixes[0]: prefix: " in done.stderr
    assert lab["a"].path(STORED).read_bytes() == before


def test_interface_of_somebody_else_is_refused_and_left_alone(lab):
    a = lab["a"]
    a.run(["ip", "tuntap", "add", "vpn0", "mode", "tun"])
    try:
        resource = {"kind": "isatap_host", "name": "two", "spec": {"interface": "vpn0"}}
        done = a.v6ferry("apply", "-", input=json.dumps(resource), check=False)
        assert done.returncode == 1
        assert "isatap_host/two: interface: vpn0 exists already" in done.stderr
        assert a.run(["ip", "link", "show", "vpn0"]).returncode == 0
        assert not list(a.path("/var/lib/v6ferry").rglob("two.json"))
    finally:
        a.run(["ip", "tuntap", "del", "vpn0", "mode", "tun"])


def test_router_name_that_nobody_knows_is_said_by_show_doctor_and_wait(lab):
    b = lab["b"]
    resource = {"kind": "isatap_host", "spec": {"routers": ["nobody.corp.example"]}}
    try:
        done = b.v6ferry("apply", "-", "--wait", "1", input=json.dumps(resource), check=False)
        assert done.returncode == 1
        assert "is not ready after 1 s: no router known: nobody.corp.example" in done.stderr
        error = status(b)["name_errors"]["nobody.corp.example"]
        assert "/etc/hosts" in error
        assert "DNS" in error
        assert "nobody.corp.example" in b.v6ferry("doctor", check=False).stdout
    finally:
        apply(b, "isatap_host", routers=["10.0.0.1"], solicitation_interval=4)


def test_broken_state_file_is_named_and_the_resource_goes_on(lab):
    a = lab["a"]
    good = a.path(STORED).read_text()
    a.path(STORED).write_text('{\n  "kind": "isatap_host",\n  oops\n}\n')
    try:
        a.run(["kill", "-HUP", agent_process(a)])
        eventually(lambda: f"{STORED}, line 3" in a.v6ferry("show").stdout)
        doctor = a.v6ferry("doctor", check=False)
        assert doctor.returncode == 1
        assert f"{STORED}, line 3, column 3" in doctor.stdout
        a.kill_agent()
        a.start_agent()
        assert addresses(a) == {LINK_LOCAL_A, A}
        assert f"{STORED}, line 3" in a.agent.log.read_text()
    finally:
        a.path(STORED).write_text(good)
        a.run(["kill", "-HUP", agent_process(a)])
    eventually(lambda: a.v6ferry("doctor", check=False).returncode == 0)


def test_file_edited_by_hand_counts_after_a_reload(lab):
    a = lab["a"]
    good = a.path(STORED).read_text()
    document = json.loads(good)
    document["spec"]["ttl"] = 17
    a.path(STORED).write_text(json.dumps(document))
    a.run(["kill", "-HUP", agent_process(a)])
    eventually(lambda: "time to live 17" in a.v6ferry("explain", C).stdout)
    a.path(STORED).write_text(good)
    a.run(["kill", "-HUP", agent_process(a)])
    eventually(lambda: "time to live 64" in a.v6ferry("explain", C).stdout)


def agent_process(host):
    return str(host.show()["agent"]["process_id"])


def test_second_agent_is_refused(lab):
    done = lab["a"].v6ferry("run", check=False)
    assert done.returncode == 1
    assert f"another v6ferry agent (process {agent_process(lab['a'])}) already works in" in (
        done.stderr
    )


def test_socket_that_nobody_listens_on_is_said(lab):
    dead = lab["a"].path("/run/dead.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(dead))
    done = lab["a"].v6ferry("show", "--socket", "/run/dead.sock", check=False)
    assert done.returncode == 1
    assert "nobody listens on /run/dead.sock" in done.stderr


def test_socket_is_for_root_and_the_group_alone(bare_lab):
    host = bare_lab["a"]
    groups = host.path("/etc/group")
    groups.write_text(groups.read_text() + "v6ferry:x:4711:\n")
    host.start_agent()
    socket_file = host.path("/run/v6ferry/control.sock")
    assert socket_file.stat().st_mode & 0o777 == 0o660
    assert socket_file.stat().st_gid == 4711
    connect = ["python3", "-c", CONNECT_AS_NOBODY]
    assert host.run([*connect, "4711"], check=False).stdout == "connected\n"
    refused = host.run(connect, check=False)
    assert "PermissionError" in refused.stderr


# Not setpriv, for nobody else than root need be able to start this Python.
CONNECT_AS_NOBODY = """
import os, socket, sys
os.setgroups([int(group) for group in sys.argv[1:]])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
socket.socket(socket.AF_UNIX).connect("/run/v6ferry/control.sock")
print("connected")
"""

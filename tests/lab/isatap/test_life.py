# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart, crash, reboot, removal: what stays and what goes."""

from __future__ import annotations

import json
import time

import pytest

from tests.lab.isatap.intranet import (
    LINK_LOCAL_A,
    PREFIX,
    A,
    B,
    C,
    addresses,
    apply,
    eventually,
    pings,
    remove,
    status,
)
from tests.lab.programs import remove_programs

pytestmark = pytest.mark.lab

TALK = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 5002), timeout=20)
print("connected", flush=True)
for line in sys.stdin:
    connection.sendall(line.encode())
    print(connection.recv(100).decode(), end="", flush=True)
"""
ECHO = """
import socket
server = socket.create_server(("::", 5002), family=socket.AF_INET6)
print("ready", flush=True)
connection = server.accept()[0]
while data := connection.recv(100):
    connection.sendall(data)
"""


@pytest.fixture
def conversation(lab):
    """A TCP connection from a to c; the function says a line and returns the answer."""
    echo = lab["c"].popen(["python3", "-c", ECHO], stdout=-1, text=True)
    assert echo.stdout.readline() == "ready\n"
    talk = lab["a"].popen(["python3", "-c", TALK, C], stdin=-1, stdout=-1, text=True)
    assert talk.stdout.readline() == "connected\n"

    def say(line):
        talk.stdin.write(f"{line}\n")
        talk.stdin.flush()
        return talk.stdout.readline().rstrip()

    yield say
    talk.kill()
    echo.kill()


@pytest.mark.parametrize("end", ["stop_agent", "kill_agent"])
def test_restart_keeps_addresses_routes_and_connections(lab, conversation, end):
    a = lab["a"]
    assert conversation("before") == "before"
    routes = a.run(["ip", "-6", "route"]).stdout
    time.sleep(0.3)  # the news of the last 0.2 s may be lost in a crash
    getattr(a, end)()
    assert addresses(a) == {LINK_LOCAL_A, A}
    a.start_agent()
    assert addresses(a) == {LINK_LOCAL_A, A}
    assert a.run(["ip", "-6", "route"]).stdout == routes
    assert conversation("after") == "after"
    log = a.agent.log.read_text()
    assert "add address" not in log
    assert "add route" not in log


def test_restart_of_the_router_is_not_noticed_by_its_hosts(lab, conversation):
    assert conversation("before") == "before"
    lab["router"].kill_agent()
    lab["router"].start_agent()
    assert conversation("after") == "after"
    assert status(lab["router"])["hosts"] >= 0


def test_resources_survive_a_reboot(lab):
    """It takes devices, programs, /run and the kernel's parameters; files below /var stay."""
    for name in ("a", "router"):
        host = lab[name]
        host.stop_agent()
        host.run(["ip", "tuntap", "del", "isatap0", "mode", "tun"])
        remove_programs(host, "eth0")
        host.run(["sh", "-c", "rm -rf /run/v6ferry"])
    lab["router"].run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"])
    for name in ("router", "a"):
        lab[name].start_agent()
    eventually(lambda: addresses(lab["a"]) == {LINK_LOCAL_A, A})
    eventually(lambda: pings(lab["a"], C))


def test_device_that_somebody_removes_is_made_again(lab):
    lab["a"].run(["ip", "link", "delete", "isatap0"])
    eventually(lambda: addresses(lab["a"]) == {LINK_LOCAL_A, A})
    eventually(lambda: pings(lab["a"], B))


def test_address_and_route_that_somebody_removes_are_put_back(lab):
    a = lab["a"]
    a.run(["ip", "addr", "del", f"{A}/64", "dev", "isatap0"])
    a.run(["ip", "-6", "route", "del", "default", "dev", "isatap0"])
    eventually(lambda: A in addresses(a))
    eventually(lambda: "default" in a.run(["ip", "-6", "route"]).stdout)


def test_route_of_another_program_through_the_tunnel_is_carried_and_kept(lab):
    """Routing daemons and administrators may use the tunnel interface, too."""
    a = lab["a"]
    route = ["2001:db8:77::/48", "via", "fe80::5efe:a00:1", "dev", "isatap0"]
    a.run(["ip", "-6", "route", "add", *route])
    eventually(lambda: a.v6ferry("explain", "2001:db8:77::1", check=False).returncode == 0)
    assert "10.0.0.1" in a.v6ferry("explain", "2001:db8:77::1").stdout
    apply(a, "isatap_host", routers=["10.0.0.1"], ttl=33, solicitation_interval=4)
    assert "2001:db8:77::/48" in a.run(["ip", "-6", "route"]).stdout
    a.run(["ip", "-6", "route", "del", *route])


def picture(host):
    """All of a host that a resource may touch."""
    show = {
        what: host.run(["ip", *what.split()]).stdout
        for what in ("-br link", "-br addr", "-6 route show table all", "-4 route", "rule")
    }
    # An unset stable_secret cannot be read, which grep takes ill.
    read_all = ["grep", "-r", ".", "/proc/sys/net/ipv6/conf", "/proc/sys/net/ipv4/conf"]
    sysctls = host.run(read_all, check=False)
    show["sysctls"] = "\n".join(
        line for line in sorted(sysctls.stdout.splitlines()) if "stable_secret" not in line
    )
    for directory in ("/etc", "/var/lib/v6ferry", "/run"):
        root = host.path(directory)
        show[directory] = "\n".join(
            f"{path.relative_to(root)} {path.read_bytes() if path.is_file() else ''}"
            for path in sorted(root.rglob("*"))
            # mtab shows the mounts of the machine, which other labs change.
            if not path.is_socket() and path.name != "mtab"
        )
    return show


@pytest.mark.parametrize(
    ("name", "kind", "spec"),
    [
        ("a", "isatap_host", {"routers": ["10.0.0.1"]}),
        ("router", "isatap_router", {"prefixes": [PREFIX], "dns_servers": ["2001:db8::53"]}),
    ],
)
def test_removed_resource_leaves_the_host_as_it_was_found(bare_lab, name, kind, spec):
    for other in ("router", "a"):
        bare_lab[other].start_agent()
    if name == "a":
        apply(bare_lab["router"], "isatap_router", prefixes=[PREFIX])
    host = bare_lab[name]
    before = picture(host)
    apply(host, kind, **spec)
    time.sleep(0.2)
    assert picture(host) != before
    assert remove(host, kind)["actions"] == [f"remove {kind} default"]
    after = picture(host)
    # What the agent itself keeps: empty directories, its lock, and which BPF programs are its own.
    for directory in ("/var/lib/v6ferry", "/run"):
        for one in (before, after):
            one[directory] = [
                line
                for line in one[directory].splitlines()
                if not line.endswith(" ")
                and not line.startswith(("v6ferry/lock ", "v6ferry/programs.json "))
            ]
    assert after == before


def test_second_apply_changes_nothing_and_a_dry_run_foretells_the_first(bare_lab):
    a = bare_lab["a"]
    a.start_agent()
    text = json.dumps({"kind": "isatap_host", "spec": {"routers": ["10.0.0.1"]}})

    def run(*options):
        outcome = json.loads(a.v6ferry("apply", "-", "--json", *options, input=text).stdout)
        outcome["resources"][0].pop("status")
        return outcome

    foretold = run("--dry-run")
    assert addresses(a) == set()
    assert not list(a.path("/var/lib/v6ferry").rglob("*.json"))
    assert run() == foretold
    again = run()
    assert not again["changed"]
    assert again["resources"][0]["actions"] == []

# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may connect, how many, how long; and what happens when something is slow, dead or used up."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost
from tests.lab.portproxy.rules import (
    PROXY4,
    STREAMS,
    V6,
    agent_shown,
    apply,
    counters,
    fetch,
    present,
    rules,
    status,
    web_server,
)
from tests.lab.portproxy.test_changes import Held, rule
from tests.lab.processes import wait_until

pytestmark = pytest.mark.lab

URL = f"http://{PROXY4}/"
DNS6 = "2001:db8:0:6::53"


@pytest.fixture(scope="module", autouse=True)
def _servers(lab: Lab) -> Iterator[None]:
    web = web_server(lab["v6"], V6, text="served")
    echo = lab["v6"].start_service(
        "streams",
        [sys.executable, STREAMS, "serve", V6, "7000"],
        ready=lambda service: service.log_contains("listening"),
    )
    yield
    for service in (web, echo):
        service.stop()


@contextlib.contextmanager
def dropped(host: LabHost, port: int) -> Iterator[None]:
    """Let packets to a port of the host vanish."""
    commands = (
        "add table inet lost",
        "add chain inet lost in { type filter hook input priority 0; }",
        f"add rule inet lost in tcp dport {port} drop",
    )
    host.run(["nft", "; ".join(commands)])
    try:
        yield
    finally:
        host.run(["nft", "delete table inet lost"])


_CONNECT_FAILED, _RECEIVE_FAILED = 7, 56


def is_reset(host: LabHost, url: str = URL) -> bool:
    """Whether a client is reset, maybe before it has noticed that it was connected."""
    done = host.run(["curl", "-sS", "-m", "10", "-g", url], check=False)
    return done.returncode in (_CONNECT_FAILED, _RECEIVE_FAILED)


def test_sources_that_are_not_allowed_are_reset_and_counted(lab: Lab) -> None:
    web = present("web", listen_port=80, connect_address=V6)
    cases = [
        ({"allowed_sources": ["10.0.0.53/32", "2001:db8::/32"]}, False),
        ({"allowed_sources": ["10.0.0.0/24"]}, True),
        ({"allowed_sources": ["10.0.0.0/24"], "refused_sources": ["10.0.0.4/32"]}, False),
        ({"refused_sources": ["2001:db8::/32"]}, True),
    ]
    for number, (options, allowed) in enumerate(cases):
        one = present(f"web{number}", **{**web["spec"], **options})
        with rules(lab["proxy"], one):
            if allowed:
                assert fetch(lab["v4"], URL) == "served"
            else:
                assert is_reset(lab["v4"])
            assert counters(lab["proxy"], one["name"])["refused"] == (not allowed)


def test_more_connections_than_the_maximum_wait_for_their_turn(lab: Lab) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule(maximum_connections=3)):
        held = [Held(lab, 7000, 1) for _turn in range(3)]
        fourth = lab["v4"].popen(
            [sys.executable, STREAMS, "hold", PROXY4, "7000", "1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert fourth.stdout is not None
        assert fourth.stdin is not None
        assert fourth.stdout.readline() == "1\n"  # the kernel has accepted it
        fourth.stdin.write("hello\n")
        fourth.stdin.flush()
        time.sleep(0.5)
        assert counters(proxy, "x")["active"] == 3
        assert held[0].say("one of three") == 1
        assert held[0].end() == 1
        assert fourth.stdout.readline() == "1\n"
        assert counters(proxy, "x")["active"] == 3
        for one in held[1:]:
            assert one.end() == 1
        fourth.communicate("end\n", timeout=10)


def test_server_that_refuses_or_is_silent_is_a_reset_and_counted_by_errno(lab: Lab) -> None:
    proxy = lab["proxy"]
    with (
        rules(
            proxy,
            present("closed", listen_port=8001, connect_address=V6, connect_port=1),
            present(
                "silent", listen_port=8002, connect_address=V6, connect_port=81, connect_timeout=1
            ),
            rule(),
        ),
        dropped(lab["v6"], 81),
    ):
        held = Held(lab, 7000, 20)
        assert is_reset(lab["v4"], f"http://{PROXY4}:8001/")
        assert counters(proxy, "closed")["failed"] == {"ECONNREFUSED": 1}
        began = time.monotonic()
        assert is_reset(lab["v4"], f"http://{PROXY4}:8002/")
        assert 0.9 < time.monotonic() - began < 4
        assert counters(proxy, "silent")["failed"] == {"ETIMEDOUT": 1}
        assert held.say("still") == 20
        assert held.end() == 20


def test_full_backlog_of_one_server_delays_no_other(lab: Lab) -> None:
    program = (
        f"import socket, time; s = socket.create_server(('{V6}', 82), family=socket.AF_INET6,"
        " backlog=0); time.sleep(60)"
    )
    full = lab["v6"].popen([sys.executable, "-c", program])
    wait_until(lambda: ":82" in lab["v6"].run(["ss", "-Hltn"]).stdout, 5)
    with rules(
        lab["proxy"],
        present("full", listen_port=8003, connect_address=V6, connect_port=82, connect_timeout=2),
        present("web", listen_port=80, connect_address=V6),
    ):
        held = [lab["v4"].popen(["curl", "-s", "-m", "8", f"http://{PROXY4}:8003/"])
                for _turn in range(8)]  # fmt: skip
        assert [fetch(lab["v4"], URL) for _turn in range(5)] == ["served"] * 5
        wait_until(lambda: counters(lab["proxy"], "full")["failed"].get("ETIMEDOUT", 0) > 0, 8)
        assert counters(lab["proxy"], "full")["failed"].get("ETIMEDOUT", 0) > 0
        for one in held:
            one.kill()
    full.kill()


def test_slow_clients_delay_no_others(lab: Lab) -> None:
    slow = (
        "import socket, sys, time\n"
        f"held = [socket.create_connection(('{PROXY4}', 80)) for _turn in range(300)]\n"
        "print('there', file=sys.stderr, flush=True)\n"
        "while True:\n"
        "    for one in held:\n"
        "        one.send(b'G')\n"
        "    time.sleep(0.2)\n"
    )
    with rules(lab["proxy"], present("web", listen_port=80, connect_address=V6)):
        service = lab["v4"].start_service(
            "slow", [sys.executable, "-c", slow], ready=lambda one: one.log_contains("there")
        )
        began = time.monotonic()
        assert fetch(lab["v4"], URL) == "served"
        assert time.monotonic() - began < 2
        service.kill()


def test_out_of_descriptors_says_so_and_running_connections_go_on(lab: Lab) -> None:
    proxy = lab["proxy"]
    web = present("web", listen_port=80, connect_address=V6)
    with rules(proxy, rule(), web):
        held = Held(lab, 7000, 20)
        workers = agent_shown(proxy)["process_ids"]
        before = resource.prlimit(workers[0], resource.RLIMIT_NOFILE)
        for worker in workers:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (60, before[1]))
        program = (
            f"import socket, time; held = [socket.create_connection(('{PROXY4}', 7000))"
            " for _turn in range(200)]; time.sleep(60)"
        )
        more = lab["v4"].popen([sys.executable, "-c", program])
        wait_until(lambda: bool(agent_shown(proxy)["exhausted"]), 10)
        examined = proxy.v6ferry("doctor", check=False).stdout
        assert (
            "a PortProxy worker was out of file descriptors of a worker"
            " (raise LimitNOFILE= of v6ferry.service)" in examined
        )
        assert held.say("still here") == 20
        more.kill()
        for worker in workers:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        assert fetch(lab["v4"], URL) == "served"
        assert held.end() == 20


def test_idle_connections_are_cut_and_long_ones_are_probed(lab: Lab) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule(idle_timeout=2), rule("kept", 7005, keepalive_idle=77)):
        idle, kept = Held(lab, 7000, 3), Held(lab, 7005, 3)
        wait_until(lambda: counters(proxy, "x")["active"] == 0, 15)
        assert counters(proxy, "x")["timed_out"] == 3
        assert idle.say("too late") == 0

        def probed() -> int:
            both = "sport = :7005 or dst [2001:db8:0:6::6]:7000"
            return proxy.run(["ss", "-tno", both]).stdout.count("timer:(keepalive,")

        wait_until(lambda: probed() == 6, 22)
        assert probed() == 6  # both sides of three connections
        assert kept.say("there") == 3
        assert kept.end() == 3


def test_next_address_is_tried_while_the_first_is_silent_rfc8305_5(lab: Lab) -> None:
    proxy = lab["proxy"]
    second = web_server(lab["dns"], DNS6, text="from the second")
    original = proxy.path("/etc/hosts").read_text()
    proxy.write("/etc/hosts", f"{original}\n{V6} twins\n{DNS6} twins\n")
    web = present("web", direction="v4tov6", listen_port=80, connect_address="twins")
    with rules(proxy, web), dropped(lab["v6"], 80):
        assert sorted(status(proxy, "web")["connect_addresses"]) == sorted([V6, DNS6])
        for _turn in range(4):
            began = time.monotonic()
            assert fetch(lab["v4"], URL) == "from the second"
            assert time.monotonic() - began < 2
    with rules(proxy, web):
        # A refusal is no silence: the next is tried at once.
        second.stop()
        assert [fetch(lab["v4"], URL) for _turn in range(4)] == ["served"] * 4
    proxy.write("/etc/hosts", original)


def test_name_that_moves_is_followed(lab: Lab) -> None:
    proxy = lab["proxy"]
    second = web_server(lab["dns"], DNS6, text="moved")
    original = proxy.path("/etc/hosts").read_text()
    proxy.write("/etc/hosts", f"{original}\n{V6} mover\n")
    with rules(
        proxy,
        present("web", listen_port=80, connect_address="mover", name_refresh_interval=5),
    ):
        assert fetch(lab["v4"], URL) == "served"
        proxy.write("/etc/hosts", f"{original}\n{DNS6} mover\n")
        wait_until(lambda: status(proxy, "web")["connect_addresses"] == [DNS6], 8)
        assert fetch(lab["v4"], URL) == "moved"
        proxy.write("/etc/hosts", original)
        wait_until(lambda: bool(status(proxy, "web")["problems"]), 8)
        assert "its last addresses go on to be used" in status(proxy, "web")["problems"][0]
        assert fetch(lab["v4"], URL) == "moved"
    second.stop()


def test_name_without_address_is_not_ready_and_says_why(lab: Lab) -> None:
    proxy = lab["proxy"]
    apply(proxy, present("x", listen_port=80, connect_address="nobody.corp.example"), wait=0)
    wait_until(lambda: "no IPv4 or IPv6" in status(proxy, "x")["summary"], 5)
    assert not status(proxy, "x")["ready"]
    assert status(proxy, "x")["summary"] == (
        "* port 80: no IPv4 or IPv6 address found for 'nobody.corp.example'"
    )
    assert is_reset(lab["v4"])
    apply(proxy, {"kind": "portproxy", "name": "x", "state": "absent"})


def test_server_that_speaks_first_is_heard_at_once_even_after_clients_that_did(lab: Lab) -> None:
    program = (
        "import socket, sys, threading\n"
        f"s = socket.create_server(('{V6}', 25), family=socket.AF_INET6)\n"
        "print('listening', file=sys.stderr, flush=True)\n"
        "def one(c):\n"
        "    c.sendall(b'220 hello')\n"
        "    c.recv(100)\n"
        "    c.close()\n"
        "while True: threading.Thread(target=one, args=(s.accept()[0],)).start()\n"
    )
    greeter = lab["v6"].start_service(
        "greeter",
        [sys.executable, "-c", program],
        ready=lambda one: one.log_contains("listening"),
    )
    client = (
        "import socket, sys, time\n"
        "def greeting(word):\n"
        f"    s = socket.create_connection(('{PROXY4}', 25))\n"
        "    began = time.monotonic()\n"
        "    s.sendall(word)\n"
        "    assert s.recv(9, socket.MSG_WAITALL) == b'220 hello'\n"
        "    return time.monotonic() - began\n"
        "print(greeting(b''))\n"
        "for _turn in range(400): greeting(b'EHLO')\n"
        "greeting(b'')\n"
        "print(greeting(b''))\n"
    )
    with rules(lab["proxy"], present("mail", listen_port=25, connect_address=V6)):
        done = lab["v4"].run([sys.executable, "-c", client])
        first, last = map(float, done.stdout.split())
        assert first < 0.5
        assert last < 0.5
    greeter.kill()


def test_server_sees_the_client_s_own_address_where_asked(lab: Lab) -> None:
    proxy, server = lab["proxy"], lab["dns"]
    web = web_server(server, "10.0.0.53", text="served")
    server.run(["ip", "route", "add", "10.0.0.4/32", "via", PROXY4])
    proxy.run(["ip", "rule", "add", "from", "10.0.0.53", "iif", "eth0", "lookup", "100"])
    proxy.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100"])
    with rules(
        proxy,
        present("web", direction="v4tov4", listen_port=80, connect_address="10.0.0.53",
                transparent_source=True),
    ):  # fmt: skip
        assert fetch(lab["v4"], URL) == "served"
        assert "10.0.0.4 - - [" in web.log.read_text()
    proxy.run(["ip", "rule", "del", "lookup", "100"])
    proxy.run(["ip", "route", "del", "local", "0.0.0.0/0", "dev", "lo", "table", "100"])
    server.run(["ip", "route", "del", "10.0.0.4/32"])
    web.stop()


def test_fast_open_is_used_where_asked_rfc7413(lab: Lab) -> None:
    for name in ("proxy", "v6"):
        lab[name].run(["sysctl", "-q", "-w", "net.ipv4.tcp_fastopen=3"])
    program = (
        "import socket, sys\n"
        f"s = socket.create_server(('{V6}', 83), family=socket.AF_INET6)\n"
        "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)\n"
        "print('listening', file=sys.stderr, flush=True)\n"
        "while True:\n"
        "    c = s.accept()[0]\n"
        "    c.sendall(c.recv(100))\n"
        "    c.close()\n"
    )
    opener = lab["v6"].start_service(
        "fast-open",
        [sys.executable, "-c", program],
        ready=lambda one: one.log_contains("listening"),
    )
    with rules(
        lab["proxy"],
        present("fast", listen_port=8083, connect_address=V6, connect_port=83, fast_open=True),
    ):
        for _turn in range(4):
            done = lab["v4"].run(["curl", "-s", "-m", "5", f"telnet://{PROXY4}:8083"],
                                 input="hello", check=False)  # fmt: skip
            assert done.stdout == "hello"
        used = lab["v6"].run(["sh", "-c", "nstat -asz TcpExtTCPFastOpenPassive"]).stdout
        assert int(used.split()[-2]) > 0
    opener.kill()

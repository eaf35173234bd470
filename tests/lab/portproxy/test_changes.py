# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and agents come, change and go while connections run; the others notice nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, LabError
from tests.lab.another_agent import make_another_agent
from tests.lab.portproxy.rules import (
    PROXY4,
    STREAMS,
    V6,
    absent,
    agent_shown,
    apply,
    counters,
    fetch,
    present,
    rules,
    status,
    streams_server,
    web_server,
)
from tests.lab.processes import wait_until

pytestmark = pytest.mark.lab

PORT = 7000
MANY = 1000


class Held:
    """Connections that run, each of which can be asked whether it still does."""

    def __init__(self, lab: Lab, port: int, number: int) -> None:
        self._process: subprocess.Popen[str] = lab["v4"].popen(
            [sys.executable, STREAMS, "hold", PROXY4, str(port), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._line() == number

    def _line(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def say(self, word: str) -> int:
        """Have each echo a word; returns how many did."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._line()

    def end(self) -> int:
        """End each properly; returns how many were ended properly by the other side, too."""
        ended = self.say("end")
        self._process.wait()
        return ended


@pytest.fixture(scope="module", autouse=True)
def _server(lab: Lab) -> Iterator[None]:
    server = streams_server(lab, "v6", V6, PORT)
    yield
    server.stop()


def rule(name: str = "x", port: int = PORT, **more: Any) -> dict[str, Any]:
    return present(
        name, **{"listen_port": port, "connect_address": V6, "connect_port": PORT, **more}
    )


def test_thousand_connections_notice_nothing_of_rules_that_come_change_and_go(lab: Lab) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule()):
        held = Held(lab, PORT, MANY)
        for number in range(5):
            apply(proxy, rule("other", 8000 + number, connect_timeout=number + 1))
            assert held.say(f"changed{number}") == MANY
        apply(proxy, absent("other"))
        # Its own rule: more to listen on, another server, filters, and a limit below what runs.
        apply(
            proxy,
            rule(
                listen_port=f"{PORT}-{PORT + 3}",
                connect_address="2001:db8:0:6::53",
                refused_sources=["10.0.0.4/32"],
                maximum_connections=10,
            ),
        )
        assert held.say("other") == MANY
        apply(proxy, rule())
        assert counters(proxy, "x")["active"] == MANY
        assert held.end() == MANY
        wait_until(lambda: counters(proxy, "x")["active"] == 0, 5)
        assert counters(proxy, "x")["accepted"] == MANY


def test_connections_of_a_removed_rule_drain(lab: Lab) -> None:
    proxy = lab["proxy"]
    apply(proxy, rule("leaving", 8001))
    held = Held(lab, 8001, 10)
    apply(proxy, absent("leaving"))
    assert ":8001" not in proxy.run(["ss", "-Hltn"]).stdout
    assert agent_shown(proxy)["leaving_connections"] == 10
    assert held.say("still here") == 10
    assert held.end() == 10
    wait_until(lambda: agent_shown(proxy)["leaving_connections"] == 0, 5)
    assert agent_shown(proxy)["leaving_connections"] == 0


@pytest.mark.parametrize(
    "how", [{"when_removed": "cut"}, {"drain_timeout": 1}], ids=["cut", "timeout"]
)
def test_connections_of_a_removed_rule_are_cut_as_asked(lab: Lab, how: dict[str, Any]) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule()):
        apply(proxy, rule("leaving", 8002, **how))
        stays, goes = Held(lab, PORT, 10), Held(lab, 8002, 10)
        apply(proxy, absent("leaving"))
        if "drain_timeout" in how:
            assert goes.say("not yet") == 10
            wait_until(lambda: agent_shown(proxy)["leaving_connections"] == 0, 5)
        assert goes.say("gone") == 0
        assert stays.say("here") == 10
        assert stays.end() == 10


def test_agent_that_ends_or_is_killed_leaves_the_proxy_at_work(lab: Lab) -> None:
    proxy = lab["proxy"]
    server = web_server(lab["v6"], V6, text="served")
    web = present("web", listen_port=80, connect_address=V6)
    with rules(proxy, rule(), web):
        held = Held(lab, PORT, MANY)
        before = agent_shown(proxy)["process_ids"]
        for end in (proxy.stop_agent, proxy.kill_agent):
            end()
            assert held.say("alone") == MANY
            assert fetch(lab["v4"], f"http://{PROXY4}/") == "served"
            proxy.start_agent("--plane", "userspace")
            assert agent_shown(proxy)["process_ids"] == before
            assert held.say("again") == MANY
            apply(proxy, rule(idle_timeout=3600))
        assert counters(proxy, "x")["active"] == MANY
        assert held.end() == MANY
    server.stop()


def test_rule_whose_file_was_removed_while_no_agent_ran_goes(lab: Lab) -> None:
    proxy = lab["proxy"]
    apply(proxy, rule("forgotten", 8003))
    held = Held(lab, 8003, 5)
    proxy.stop_agent()
    proxy.path("/var/lib/v6ferry/resources/portproxy/forgotten.json").unlink()
    proxy.start_agent("--plane", "userspace")
    assert ":8003" not in proxy.run(["ss", "-Hltn"]).stdout
    assert held.say("drains") == 5
    assert held.end() == 5


def test_upgrade_refuses_no_connection_and_cuts_none(lab: Lab, tmp_path: Path) -> None:
    proxy = lab["proxy"]
    server = web_server(lab["v6"], V6, text="served")
    web = present("web", listen_port=80, connect_address=V6)
    with rules(proxy, rule(), web):
        held = Held(lab, PORT, 100)
        before = agent_shown(proxy)["process_ids"]
        # One after the other, as fast as they can, all through the upgrade.
        lab["v4"].write(
            "/run/fetch",
            "n=0; while [ ! -e /run/stop ]; do"
            f" curl -sS -m 5 http://{PROXY4}/ | grep -q served || exit 1;"
            " n=$((n+1)); done; echo $n",
        )
        fetching = lab["v4"].popen(
            ["sh", "/run/fetch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        proxy.stop_agent()
        proxy.start_agent("--plane", "userspace", package=make_another_agent(tmp_path))
        after = agent_shown(proxy)
        assert set(before).isdisjoint(after["process_ids"][: after["workers"]])
        assert after["retired"] > 0
        wait_until(lambda: False, 0.5)
        lab["v4"].write("/run/stop", "")
        output, errors = fetching.communicate(timeout=20)
        assert fetching.returncode == 0, errors
        assert int(output) > 20
        assert held.say("still") == 100
        assert held.end() == 100
        wait_until(lambda: agent_shown(proxy)["retired"] == 0, 5)
        assert agent_shown(proxy)["retired"] == 0
        proxy.stop_agent()
        proxy.start_agent("--plane", "userspace")
    server.stop()


def test_worker_that_dies_is_replaced_and_the_rule_goes_on(lab: Lab) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule()):
        dead = agent_shown(proxy)["process_ids"][0]
        proxy.run(["kill", "-9", str(dead)])
        wait_until(lambda: dead not in (now := agent_shown(proxy))["process_ids"]
                   and len(now["process_ids"]) == now["workers"], 5)  # fmt: skip
        assert dead not in agent_shown(proxy)["process_ids"]
        held = Held(lab, PORT, 50)
        assert held.say("served") == 50
        assert held.end() == 50
        assert status(proxy, "x")["ready"]


def test_all_workers_die_and_no_connection_is_refused(lab: Lab) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule()):
        dead = agent_shown(proxy)["process_ids"]
        # At once: the agent has the listening sockets, too, so the kernel goes on to accept.
        proxy.run(["kill", "-9", *map(str, dead)])
        held = Held(lab, PORT, 50)
        assert held.say("served") == 50
        assert set(dead).isdisjoint(agent_shown(proxy)["process_ids"])
        assert held.end() == 50
        assert proxy.agent is not None
        assert proxy.agent.log_contains("a PortProxy worker has died with its connections")


def test_without_rules_there_are_no_workers(lab: Lab) -> None:
    proxy = lab["proxy"]
    with rules(proxy, rule()):
        assert agent_shown(proxy)["workers"] > 0
    wait_until(lambda: not proxy.run(["sh", "-c", "ls /run/v6ferry/portproxy"]).stdout, 5)
    with pytest.raises(LabError):
        proxy.run(["sh", "-c", "ls /run/v6ferry/portproxy/*.sock"])

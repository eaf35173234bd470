# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line against a control server with prepared answers."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import socket
import struct
import threading

import pytest
from v6ferry import __version__
from v6ferry.cli import logs
from v6ferry.cli.logs import set_up_logging
from v6ferry.cli.main import main
from v6ferry.daemon.control import ControlServer
from v6ferry.daemon.resource_log import resource_log

HOST = {
    "ready": True,
    "summary": "addresses from 2001:db8:0:7::/64, default router 10.0.0.1",
    "interface": "isatap0",
    "mtu": 1280,
    "underlay_addresses": ["192.168.47.99"],
    "addresses": [
        {
            "address": "2001:db8:0:7:0:5efe:c0a8:2f63",
            "preferred_lifetime": 604800,
            "valid_lifetime": 2592000,
        },
        {"address": "fe80::5efe:c0a8:2f63", "preferred_lifetime": None, "valid_lifetime": None},
    ],
    "routers": [
        {
            "address": "10.0.0.1",
            "name": "isatap",
            "reachability": "reachable",
            "advertised": True,
            "default_lifetime": 1800,
            "preference": "medium",
        }
    ],
    "routes": [{"prefix": "::/0", "gateway": "fe80::5efe:a00:1"}],
    "dns_servers": ["2001:db8::53"],
    "name_errors": {"isatap2": "nobody knows it"},
    "counters": {
        "packets_in": 4,
        "bytes_in": 416,
        "packets_out": 5,
        "bytes_out": 520,
        "drops": {"no_forwarding_rule": 2},
    },
}
AGENT = {"version": "0.1.0", "process_id": 7, "plane": "userspace", "started": "2026-11-24T07:00Z"}
OUTCOME = {
    "kind": "isatap_host",
    "name": "default",
    "changed": True,
    "before": None,
    "after": {},
    "actions": ["create isatap_host default"],
    "status": {**HOST, "ready": False, "summary": "no router has answered"},
}


@pytest.fixture
def agent(tmp_path):
    """A server on a socket; it returns (path, requests, answers to be changed)."""
    path, requests = tmp_path / "control.sock", []
    answers = {
        "show": {"agent": AGENT, "resources": [_named(HOST)]},
        "apply": {"changed": True, "resources": [OUTCOME]},
        "explain": {"steps": ["one", "two"], "verdict": "it goes", "sent": True},
        "doctor": {"checks": [_check("ok", None), _check("warning", "do this")]},
    }

    def method(name):
        async def answer(params):
            requests.append((name, dict(params)))
            return answers[name]

        return answer

    loop = asyncio.new_event_loop()
    server = ControlServer(path, {name: method(name) for name in answers})
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
    yield str(path), requests, answers
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _named(status):
    return {"kind": "isatap_host", "name": "default", "spec": {}, "status": status}


def _check(status, advice):
    return {"name": "tun", "status": status, "message": "looked at", "advice": advice}


def test_show_prints_what_a_person_asks_first(agent, capsys):
    assert main(["show", "--socket", agent[0]]) == 0
    assert capsys.readouterr().out == (
        "v6ferry 0.1.0, process 7, userspace plane, since 2026-11-24T07:00Z\n"
        "\n"
        "isatap_host/default: ready: addresses from 2001:db8:0:7::/64, default router 10.0.0.1\n"
        "  interface   isatap0, MTU 1280\n"
        "  underlay    192.168.47.99\n"
        "  address     2001:db8:0:7:0:5efe:192.168.47.99  valid for 30 d, preferred for 7 d\n"
        "  address     fe80::5efe:192.168.47.99\n"
        "  router      10.0.0.1 (isatap), reachable, default router for 30 min, preference medium\n"
        "  route       ::/0 via fe80::5efe:10.0.0.1\n"
        "  DNS         2001:db8::53\n"
        "  name        isatap2: nobody knows it\n"
        "  in          4 packets, 416 bytes; out 5 packets, 520 bytes\n"
        "  dropped     2 no_forwarding_rule\n"
    )


def test_show_asks_for_a_kind_and_a_name(agent, capsys):
    main(["show", "isatap_host", "default", "--socket", agent[0]])
    assert agent[1] == [("show", {"kind": "isatap_host", "name": "default"})]


@pytest.mark.parametrize("command", [["show"], ["doctor"], ["explain", "2001:db8::1"]])
def test_json_is_the_answer_itself(agent, capsys, command):
    main([*command, "--json", "--socket", agent[0]])
    assert json.loads(capsys.readouterr().out) == agent[2][command[0]]


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "isatap_host"},
        [{"kind": "isatap_host"}],
        {"resources": [{"kind": "isatap_host"}]},
    ],
    ids=["one", "list", "object"],
)
def test_apply_takes_one_resource_or_several(agent, tmp_path, capsys, content):
    file = tmp_path / "wanted.json"
    file.write_text(json.dumps(content))
    assert main(["apply", str(file), "--dry-run", "--socket", agent[0]]) == 0
    wanted = {"resources": [{"kind": "isatap_host"}], "dry_run": True, "wait": 0.0}
    assert agent[1] == [("apply", wanted)]
    assert capsys.readouterr().out.startswith("create isatap_host default\n")


def test_apply_reads_standard_input(agent, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('[{"kind": "isatap_host"}]'))
    assert main(["apply", "-", "--socket", agent[0]]) == 0
    assert agent[1][0][1]["resources"] == [{"kind": "isatap_host"}]


def test_apply_that_waits_fails_where_a_resource_is_not_ready(agent, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    assert main(["apply", "-", "--wait", "1", "--socket", agent[0]]) == 1
    said = capsys.readouterr().err
    assert "isatap_host/default is not ready after 1 s: no router has answered" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[\n  {,}]", "wanted.json, line 2, column 4: not JSON"),
        (b"\xff", "wanted.json: byte 0 is not UTF-8"),
        (None, "wanted.json: No such file or directory"),
    ],
)
def test_file_that_cannot_be_used_is_named(tmp_path, capsys, content, message):
    file = tmp_path / "wanted.json"
    if content is not None:
        file.write_bytes(content)
    assert main(["apply", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_explain_fails_where_a_packet_would_not_be_sent(agent, capsys):
    assert main(["explain", "2001:db8::1", "--socket", agent[0]]) == 0
    assert capsys.readouterr().out == "1. one\n2. two\n=> it goes\n"
    agent[2]["explain"]["sent"] = False
    assert main(["explain", "2001:db8::1", "--source", "::2", "--socket", agent[0]]) == 1
    assert agent[1][-1] == ("explain", {"destination": "2001:db8::1", "source": "::2"})


def test_doctor_fails_only_on_errors(agent, capsys):
    assert main(["doctor", "--socket", agent[0]]) == 0
    assert capsys.readouterr().out == (
        "ok      tun: looked at\n"
        "warning tun: looked at\n"
        "        -> do this\n"
        "1 of 2 need attention\n"
    )
    agent[2]["doctor"]["checks"] = [_check("error", None)]
    assert main(["doctor", "--socket", agent[0]]) == 1


def test_agent_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["show", "--socket", str(tmp_path / "none.sock")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("v6ferry: the v6ferry agent is not running or not installed")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["apply"], ["apply", "x", "--wait", "-1"], ["run", "x"]]
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"v6ferry {__version__}\n"


def test_group_that_does_not_exist_is_named(tmp_path, capsys):
    directories = ["--state-directory", str(tmp_path), "--runtime-directory", str(tmp_path)]
    assert main(["run", "--group", "no-such-group", *directories]) == 1
    assert "v6ferry: --group: there is no group 'no-such-group'" in capsys.readouterr().err


def test_log_as_json_is_an_object_a_line(capsys, monkeypatch):
    root = bare_root_logger(monkeypatch)
    set_up_logging(verbose=False, as_json=True)
    root.info("running on %s", "isatap0")
    entry = json.loads(capsys.readouterr().err)
    assert "resource" not in entry
    resource_log("isatap_host/default").info("changed")
    assert json.loads(capsys.readouterr().err)["resource"] == "isatap_host/default"
    assert (entry["level"], entry["message"]) == ("info", "running on isatap0")


def test_journal_gets_fields(monkeypatch, tmp_path):
    """systemd's JOURNAL_NATIVE_PROTOCOL.md: a value of any content goes with its length."""
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    monkeypatch.setattr(logs, "_JOURNAL", str(tmp_path / "journal"))
    bare_root_logger(monkeypatch)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        set_up_logging(verbose=False, as_json=False)
        resource_log("isatap_host/default").warning("two\nlines of %s", "text")
        entry = journal.recv(4096)
    message = b"isatap_host/default: two\nlines of text"
    assert entry.startswith(b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n")
    assert b"PRIORITY\n" + struct.pack("<Q", 1) + b"4\n" in entry
    assert b"V6FERRY_RESOURCE\n" + struct.pack("<Q", 19) + b"isatap_host/default\n" in entry


def test_what_the_journal_does_not_take_goes_to_standard_error(monkeypatch, capsys, tmp_path):
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    monkeypatch.setattr(logs, "_JOURNAL", str(tmp_path / "nobody"))
    root = bare_root_logger(monkeypatch)
    set_up_logging(verbose=False, as_json=False)
    root.warning("not lost")
    assert capsys.readouterr().err == "not lost\n"


def bare_root_logger(monkeypatch):
    """The root logger as a new process has it; pytest's handlers are back after the test."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    return root

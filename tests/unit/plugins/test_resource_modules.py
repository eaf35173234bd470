# SPDX-License-Identifier: GPL-3.0-or-later
"""The resource modules as processes, against a control socket that a test answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
import yaml
from ansible_collections.v6ops.transition.plugins.module_utils._diff import as_yaml
from hypothesis import given
from hypothesis import strategies as st

RUN = """
import json, sys
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
import importlib
module = importlib.import_module(sys.argv[1])
with patch_module_args(json.load(sys.stdin)):
    module.main()
"""
OUTCOME = {
    "kind": "isatap_host",
    "name": "default",
    "changed": True,
    "before": None,
    "after": {"routers": ["10.0.0.1"]},
    "actions": ["create isatap_host default"],
    "status": {"ready": True, "summary": "fine"},
}


class Agent:
    """Answers every request on a socket with the same answer, and notes the requests."""

    def __init__(self, path):
        self.path, self.requests, self.answer = path, [], {"result": {}}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self.requests.append(json.loads(stream.readline()))
                stream.write(json.dumps(self.answer).encode() + b"\n")

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.fixture
def agent(tmp_path):
    agent = Agent(tmp_path / "control.sock")
    agent.answer = {"result": {"changed": True, "resources": [OUTCOME]}}
    yield agent
    agent.close()


def run(module, check_mode=False, **params):
    """Run a module as Ansible does and return what it prints."""
    name = f"ansible_collections.v6ops.transition.plugins.modules.{module}"
    params |= {"_ansible_check_mode": check_mode, "_ansible_remote_tmp": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, name],
        input=json.dumps(params),
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_module_hands_over_what_the_user_wrote_and_no_defaults(agent):
    result = run("isatap_host", socket=str(agent.path), routers=["10.0.0.1"], ttl=64, wait=5)
    resource = {
        "kind": "isatap_host",
        "name": "default",
        "state": "present",
        "spec": {"routers": ["10.0.0.1"]},
    }
    params = {"resources": [resource], "dry_run": False, "wait": 5}
    assert agent.requests == [{"method": "apply", "params": params}]
    assert result["changed"]
    assert result["actions"] == ["create isatap_host default"]
    assert result["diff"]["before"] == ""
    assert result["diff"]["after"] == "routers:\n  - 10.0.0.1\n"


def test_warnings_of_the_agent_are_the_module_s(agent):
    agent.answer["result"]["resources"] = [{**OUTCOME, "warnings": ["anycast: deprecated"]}]
    result = run("sixtofour_relay", socket=str(agent.path), anycast=True)
    # How a warning is wrapped depends on Ansible's version.
    assert "sixtofour_relay default: anycast: deprecated" in json.dumps(result["warnings"])


def test_check_mode_is_a_dry_run_that_waits_for_nothing(agent):
    run("isatap_host", check_mode=True, socket=str(agent.path), wait=5)
    params = agent.requests[0]["params"]
    assert (params["dry_run"], params["wait"]) == (True, 0)


def test_defaults_of_prefixes_are_left_out_too(agent):
    run("isatap_router", socket=str(agent.path), prefixes=[{"prefix": "2001:db8:0:7::/64"}])
    (resource,) = agent.requests[0]["params"]["resources"]
    assert resource["spec"] == {"prefixes": [{"prefix": "2001:db8:0:7::/64"}]}


def test_absent_resource_has_no_specification(agent):
    agent.answer["result"]["resources"] = [{**OUTCOME, "after": None, "status": None}]
    run("isatap_host", socket=str(agent.path), state="absent", routers=["10.0.0.1"])
    (resource,) = agent.requests[0]["params"]["resources"]
    assert (resource["state"], resource["spec"]) == ("absent", {})


def test_refusal_fails_with_the_agent_s_own_words(agent):
    agent.answer = {"error": {"message": "isatap_host/default: mtu: 1 is not between"}}
    result = run("isatap_host", socket=str(agent.path), mtu=1)
    assert result["failed"]
    assert result["msg"] == "isatap_host/default: mtu: 1 is not between"


def test_resource_that_is_not_ready_in_time_fails_and_says_why(agent):
    agent.answer["result"]["resources"] = [
        {**OUTCOME, "status": {"ready": False, "summary": "no router has answered"}}
    ]
    result = run("isatap_host", socket=str(agent.path), wait=3)
    assert result["failed"]
    assert "is not ready after 3 s: no router has answered" in result["msg"]


def test_agent_that_is_not_there_fails_and_names_the_socket(tmp_path):
    result = run("isatap_host", socket=str(tmp_path / "none.sock"))
    assert result["failed"]
    assert f"there is no {tmp_path}/none.sock" in result["msg"]


def test_info_shows_what_the_agent_shows(agent):
    agent.answer = {"result": {"agent": {"version": "0.1.0"}, "resources": []}}
    result = run("transition_info", socket=str(agent.path), kind="isatap_host")
    assert agent.requests == [{"method": "show", "params": {"kind": "isatap_host"}}]
    assert (result["changed"], result["resources"]) == (False, [])


TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20)
SCALARS = st.booleans() | st.integers() | TEXTS
RESOURCES = st.dictionaries(
    TEXTS,
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.lists(st.dictionaries(TEXTS, SCALARS, max_size=3), max_size=3),
    max_size=5,
)


@given(RESOURCES)
def test_diff_is_yaml_that_says_the_same(resource):
    assert yaml.safe_load(as_yaml(resource)) == resource


def test_diff_of_nothing_is_nothing():
    assert as_yaml(None) == ""
    assert as_yaml({}) == "{}\n"


def proxied(name, changed=True, **more):
    """What the agent says of a rule."""
    return {**OUTCOME, "kind": "portproxy", "name": name, "changed": changed, **more}


def test_list_of_rules_is_one_request_and_a_diff_for_each_that_changes(agent):
    agent.answer = {
        "result": {
            "changed": True,
            "resources": [
                proxied("a", after={"listen_port": "80"}, actions=["create portproxy a"]),
                proxied("b", changed=False, before={"x": 1}, after={"x": 1}, actions=[]),
                proxied("old", before={"x": 1}, after=None, actions=["remove portproxy old"]),
            ],
        }
    }
    rules = [
        {"name": "a", "listen_port": 80, "connect_address": "::1", "keepalive": True},
        {"name": "b", "state": "absent"},
    ]
    result = run("portproxy", socket=str(agent.path), rules=rules, purge=True)
    (request,) = agent.requests
    assert request["params"] == {
        "resources": [
            {
                "kind": "portproxy",
                "name": "a",
                "state": "present",
                "spec": {"listen_port": "80", "connect_address": "::1"},
            },
            {"kind": "portproxy", "name": "b", "state": "absent", "spec": {}},
        ],
        "dry_run": False,
        "wait": 0,
        "purge": "portproxy",
    }
    assert result["actions"] == ["create portproxy a", "remove portproxy old"]
    assert set(result["status"]) == {"a", "b", "old"}
    assert [one["before_header"] for one in result["diff"]] == ["portproxy a", "portproxy old"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"purge": True, "listen_port": 80}, "purge: removes what rules does not name"),
        ({"rules": [], "listen_port": 80}, "rules: describe rules there or by listen_port"),
    ],
)
def test_list_and_single_rule_do_not_mix(agent, options, message):
    result = run("portproxy", socket=str(agent.path), **options)
    assert result["msg"].startswith(message)
    assert not agent.requests

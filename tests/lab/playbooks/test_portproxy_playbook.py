# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook of PortProxy against the lab, and netsh's words on the host, as a user runs them."""

from __future__ import annotations

import json

import pytest

from tests.demo.playbook import run_playbook
from tests.lab import PORTPROXY, Lab
from tests.lab.portproxy.rules import PROXY6, V4, V6, fetch, kill_workers, shown, web_server

pytestmark = pytest.mark.lab


def run(lab, rules, *options):
    variables = json.dumps({"portproxy_rules": rules})
    return run_playbook(lab, "portproxy", "--diff", "-e", variables, *options)


def test_list_of_rules_is_made_once_foretold_and_purged():
    first = {"name": "site6", "direction": "v4tov6", "listen_port": 80, "connect_address": V6}
    second = {"name": "site4", "direction": "v6tov4", "listen_port": 80, "connect_address": V4}
    with Lab(PORTPROXY) as lab:
        proxy = lab["proxy"]
        proxy.start_agent()
        web_server(lab["v6"], V6, text="six")
        web_server(lab["v4"], V4, text="four")
        assert run(lab, [first, second], "--check").changed == {"proxy": 1}
        assert shown(proxy) == []
        done = run(lab, [first, second])
        assert done.changed == {"proxy": 1}
        assert "+connect_address: " in done.output
        assert run(lab, [first, second]).changes == 0
        assert fetch(lab["v4"], "http://site6.corp.example/") == "six"
        assert fetch(lab["v6"], "http://site4.corp.example/") == "four"
        assert run(lab, [second]).changed == {"proxy": 1}
        assert [one["name"] for one in shown(proxy)] == ["site4"]

        said = proxy.v6ferry("portproxy", "show").stdout.splitlines()
        assert said[2].split() == ["*", "(v6tov4)", "80", V4, "80", "0"]
        explained = proxy.v6ferry("explain", PROXY6).stdout
        assert f"portproxy/site4 takes TCP connections to port 80 and leads to {V4}" in explained
        proxy.v6ferry("portproxy", "reset")
        words = ["v4tov6", "listenport=80", f"connectaddress={V6}"]
        assert proxy.v6ferry("portproxy", "add", *words).stdout.startswith("create portproxy")
        assert fetch(lab["v4"], "http://site6.corp.example/") == "six"
        again = proxy.v6ferry("portproxy", "add", *words, check=False)
        assert "is there already; use set" in again.stderr
        assert "change" in proxy.v6ferry("portproxy", "set", *words, "connectport=81").stdout
        assert "remove" in proxy.v6ferry("portproxy", "delete", *words[:2]).stdout
        assert shown(proxy) == []
        kill_workers(proxy)

# SPDX-License-Identifier: GPL-3.0-or-later
"""netsh's words for rules of PortProxy."""

from __future__ import annotations

import argparse

import pytest
from v6ferry.cli.portproxy import WordError, changed, request, run, shown
from v6ferry.daemon.resources import check


@pytest.mark.parametrize(
    ("direction", "words", "name", "spec"),
    [
        (
            "v4tov6",
            ["listenport=80", "connectaddress=2001:db8::6"],
            "v4tov6-any-80",
            {"direction": "v4tov6", "listen_port": "80", "connect_address": "2001:db8::6"},
        ),
        (
            "v6tov4",
            ["80,443", "10.0.0.4", "connectport=8080", "listenaddress=2001:db8::1"],
            "v6tov4-2001_db8__1-80_443",
            {
                "direction": "v6tov4",
                "listen_port": "80,443",
                "connect_address": "10.0.0.4",
                "connect_port": "8080",
                "listen_address": "2001:db8::1",
            },
        ),
        (
            "v6tov4",
            ["listenport=8080", "listenaddress=*", "connectport=80", "protocol=tcp"],
            "v6tov4-any-8080",
            {
                "direction": "v6tov4",
                "listen_port": "8080",
                "connect_port": "80",
                "connect_address": "127.0.0.1",
            },
        ),
    ],
)
def test_words_make_a_resource(direction, words, name, spec):
    resource = request("add", direction, words)
    assert resource == {"kind": "portproxy", "name": name, "state": "present", "spec": spec}
    if len(spec.get("connect_port", "x").split(",")) == 1:
        check(resource["kind"], resource["name"], spec)


def test_delete_names_the_same_resource_by_direction_address_and_port():
    added = request("add", "v4tov6", ["listenport=80", "connectaddress=::1"])
    deleted = request("delete", "v4tov6", ["listenport=80"])
    assert deleted == {"kind": "portproxy", "name": added["name"], "state": "absent"}


def test_delete_takes_nothing_but_what_says_which_rule_is_meant():
    with pytest.raises(WordError, match="connectport: delete takes only listenport, listenaddr"):
        request("delete", "v4tov6", ["listenport=80", "connectport=80"])


def test_set_leaves_where_a_rule_leads_as_it_is_if_that_is_not_named():
    spec = request("set", "v4tov6", ["listenport=80", "connectport=8080"])["spec"]
    assert spec == {"direction": "v4tov6", "listen_port": "80", "connect_port": "8080"}


@pytest.mark.parametrize(
    ("direction", "words", "message"),
    [
        (None, [], "add: a direction is required, one of v4tov4, v4tov6, v6tov4, v6tov6"),
        ("v4tov5", ["80"], "add: v4tov5 is not one of v4tov4, v4tov6, v6tov4, v6tov6"),
        ("v4tov6", ["connectaddress=::1"], "listenport: is required, as in listenport=80"),
        ("v4tov6", ["port=1"], "port: is not one of listenport, connectaddress, connectport"),
        ("v4tov6", ["80", "listenport=80"], "listenport: is there twice"),
        ("v4tov6", ["80", "::1", "80", "*", "tcp", "x"], "x: is one value too many"),
        ("v4tov6", ["80", "protocol=udp"], "protocol: only tcp is proxied"),
    ],
)
def test_mistakes_are_named(direction, words, message):
    with pytest.raises(WordError) as raised:
        request("add", direction, words)
    assert str(raised.value).startswith(message)


def test_table_has_a_line_for_each_rule():
    status = {
        "listen_address": "*",
        "listen_port": "80",
        "connect_port": "8080",
        "counters": {"active": 3},
        "summary": "",
    }
    rules = [
        {
            "name": "web",
            "spec": {"direction": "v4tov6", "connect_address": "2001:db8::6"},
            "status": status,
        }
    ]
    assert shown(rules).splitlines() == [
        "Listen on   Port  Connect to   Port  Connections",
        "----------  ----  -----------  ----  -----------",
        "* (v4tov6)  80    2001:db8::6  8080  3",
    ]


def test_a_table_of_nothing_says_so():
    assert shown([]) == "there is no rule"


def test_what_was_done_comes_with_what_is_wrong():
    one = {"kind": "portproxy", "name": "web", "actions": ["create portproxy web"]}
    assert changed([{**one, "status": {"ready": True, "problems": []}}]) == "create portproxy web"
    bad = {"ready": False, "summary": "* port 21: no address", "problems": ["port 21: FTP"]}
    assert changed([{**one, "status": bad}]).splitlines() == [
        "create portproxy web",
        "  not ready: * port 21: no address",
        "  note: port 21: FTP",
    ]
    assert changed([{**one, "actions": [], "status": None}]) == "portproxy web: as it should be"
    assert changed([]) == "there is no rule"


@pytest.fixture
def rule_80(monkeypatch):
    """An agent with one rule; what is applied to it."""
    told = []
    existing = {
        "name": "v4tov6-any-80",
        "spec": {"direction": "v4tov6", "listen_port": "80", "connect_address": "2001:db8::6"},
        "status": {"summary": "all is well"},
    }

    class Client:
        def __init__(self, *_arguments):
            pass

        def call(self, method, params):
            if method == "show":
                return {"resources": [existing] if params.get("name", "80").endswith("80") else []}
            told.append(params)
            return {"resources": []}

    monkeypatch.setattr("v6ferry.cli.portproxy.ControlClient", Client)
    return told


def command(action, direction=None, *words):
    return run(argparse.Namespace(socket="", action=action, direction=direction, words=words))


def test_set_changes_what_is_named_alone(rule_80):
    command("set", "v4tov6", "80", "connectport=8080")
    (resource,) = rule_80[0]["resources"]
    assert resource["spec"] == {
        "direction": "v4tov6",
        "listen_port": "80",
        "connect_address": "2001:db8::6",
        "connect_port": "8080",
    }


def test_show_may_name_a_direction_and_reset_may_not(rule_80):
    assert "v4tov6-any-80" in command("show")
    assert "v4tov6-any-80" in command("show", "all")
    assert "v4tov6-any-80" in command("show", "v4tov6")
    assert command("show", "v6tov4") == "there is no rule"
    with pytest.raises(WordError, match="show: v4 is not one of"):
        command("show", "v4")
    with pytest.raises(WordError, match="v4tov6: is one word too many for reset"):
        command("reset", "v4tov6")
    with pytest.raises(WordError, match="80: is one word too many for show"):
        command("show", "v4tov6", "80")
    assert rule_80 == []
    command("reset")
    assert rule_80 == [{"resources": [], "purge": "portproxy"}]

# SPDX-License-Identifier: GPL-3.0-or-later
"""netsh's words for rules of PortProxy."""

from __future__ import annotations

import pytest
from v6ferry.cli.portproxy import WordError, request, shown
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


@pytest.mark.parametrize(
    ("direction", "words", "message"),
    [
        (None, [], "add: no direction is not one of v4tov4, v4tov6, v6tov4, v6tov6"),
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

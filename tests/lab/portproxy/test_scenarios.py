# SPDX-License-Identifier: GPL-3.0-or-later
"""The three scenarios of the white paper's chapter on PortProxy, by name, with real servers."""

from __future__ import annotations

import json

import pytest

from tests.lab import Lab
from tests.lab.portproxy.rules import (
    PROXY4,
    PROXY6,
    V4,
    V6,
    apply,
    counters,
    fetch,
    present,
    refusal,
    rules,
    status,
    web_server,
)

pytestmark = pytest.mark.lab


def test_ipv4_only_node_reaches_ipv6_only_node(lab: Lab) -> None:
    server = web_server(lab["v6"], V6, text="from the IPv6-only node")
    with rules(
        lab["proxy"],
        present("site6", direction="v4tov6", listen_port=80, connect_address=V6),
    ):
        assert fetch(lab["v4"], "http://site6.corp.example/") == "from the IPv6-only node"
        counted = counters(lab["proxy"], "site6")
        assert counted["accepted"] == 1
        assert counted["bytes_out"] > len("from the IPv6-only node")
        told = lab["proxy"].v6ferry("metrics").stdout.splitlines()
        assert 'v6ferry_portproxy_connections_total{name="site6"} 1' in told
        assert 'v6ferry_portproxy_connection_duration_seconds_count{name="site6"} 1' in told
    server.stop()


def test_ipv6_only_node_reaches_ipv4_only_node_by_name(lab: Lab) -> None:
    server = web_server(lab["v4"], V4, text="from the IPv4-only node")
    with rules(
        lab["proxy"],
        present("site4", direction="v6tov4", listen_port=80, connect_address="site4.corp.example"),
    ):
        assert status(lab["proxy"], "site4")["connect_addresses"] == [V4]
        assert fetch(lab["v6"], "http://site4.corp.example/") == "from the IPv4-only node"
    server.stop()


def test_ipv6_node_reaches_ipv4_only_service_of_the_proxy_itself(lab: Lab) -> None:
    server = web_server(lab["proxy"], "127.0.0.1", text="from an old service")
    with rules(
        lab["proxy"],
        present(
            "old",
            direction="v6tov4",
            listen_address=PROXY6,
            listen_port=80,
            connect_address="127.0.0.1",
        ),
    ):
        assert fetch(lab["v6"], "http://proxy.corp.example/") == "from an old service"
    server.stop()


@pytest.mark.parametrize(
    ("client", "at", "to"),
    [("v4", PROXY4, V4), ("v4", PROXY4, V6), ("v6", PROXY6, V4), ("v6", PROXY6, V6)],
    ids=["v4tov4", "v4tov6", "v6tov4", "v6tov6"],
)
def test_all_directions_with_ranges_and_lists_of_ports(
    lab: Lab, client: str, at: str, to: str
) -> None:
    name = "v6" if ":" in to else "v4"
    servers = [web_server(lab[name], to, port, text=str(port)) for port in (9000, 9001, 9002)]
    with rules(
        lab["proxy"],
        present(
            "range",
            listen_address=at,
            listen_port="8000-8001,8010",
            connect_address=to,
            connect_port="9000-9002",
        ),
    ):
        host = f"[{at}]" if ":" in at else at
        pages = [fetch(lab[client], f"http://{host}:{port}/") for port in (8000, 8001, 8010)]
        assert pages == ["9000", "9001", "9002"]
    for server in servers:
        server.stop()


def test_port_that_is_taken_is_an_error_at_once_and_nothing_changes(lab: Lab) -> None:
    server = web_server(lab["proxy"], PROXY4, 8080)
    proxy = lab["proxy"]
    with rules(proxy, present("there", listen_port=8090, connect_address=V4)):
        assert refusal(
            proxy,
            present("there", listen_port=8091, connect_address=V4),
            present("new", listen_address=PROXY4, listen_port="8079-8080", connect_address=V6),
        ) == (
            f"cannot listen on {PROXY4} port 8080: another program has the port (ss -ltnp says"
            " which): stop it, or listen on another port or address"
        )
        assert status(proxy, "there")["listen_port"] == "8090"
        listening = proxy.run(["ss", "-Hltn"]).stdout
        assert ":8090" in listening
        assert ":8091" not in listening
        assert ":8079" not in listening
        assert refusal(
            proxy, present("again", listen_address=PROXY4, listen_port=8090, connect_address=V6)
        ) == (
            f"portproxy/again: listen_port: portproxy/there listens on {PROXY4} port 8090 already;"
            " give one of them another address or port"
        )
    server.stop()


def test_purge_removes_what_is_not_in_the_list(lab: Lab) -> None:
    proxy = lab["proxy"]
    apply(
        proxy,
        present("one", listen_port=8001, connect_address=V4),
        present("two", listen_port=8002, connect_address=V4),
    )
    wanted = [present("two", listen_port=8001, connect_address=V4)]
    apply_file = ["apply", "-", "--purge", "portproxy", "--json"]
    before = json.loads(proxy.v6ferry(*apply_file, "--dry-run", input=json.dumps(wanted)).stdout)
    done = json.loads(proxy.v6ferry(*apply_file, input=json.dumps(wanted)).stdout)
    expected = [["change portproxy two: listen_port"], ["remove portproxy one"]]
    for answer in (before, done):
        assert [one["actions"] for one in answer["resources"]] == expected
    listening = proxy.run(["ss", "-Hltn"]).stdout
    assert ":8001" in listening
    assert ":8002" not in listening
    proxy.v6ferry(*apply_file, input="[]")
    assert not proxy.show()["resources"]

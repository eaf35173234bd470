# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``v6ferry metrics`` makes of what the agent says, read by Prometheus's own parser."""

from __future__ import annotations

from random import Random

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from v6ferry.cli.metrics import exposition
from v6ferry.daemon.resources import KINDS, check
from v6ferry.engines.portproxy.rule import PortProxyRule
from v6ferry.forwarding.counters import Counters, DropReason
from v6ferry.portproxy.counts import Counts
from v6ferry.portproxy.rules import Rule

AGENT = {
    "version": "1.2.3",
    "plane": "ebpf",
    "started": "2026-11-24T07:00:00+00:00",
    "unclaimed_drops": {"no_tunnel_accepts": 3},
    "unclaimed_handed_up": {},
    "portproxy": {"workers": 2, "retired": 1, "leaving_connections": 4},
}
TUNNELS = {
    "compatible_tunnel": {},
    "sixrd_br": {"prefix": "2001:db8::/32"},
    "sixrd_ce": {
        "prefix": "2001:db8::/32",
        "border_relays": ["10.0.0.1"],
        "private_interfaces": [{"interface": "lan0"}],
    },
    "sixtofour_router": {"private_interfaces": [{"interface": "lan0"}]},
    "isatap_host": {"routers": ["10.0.0.1"]},
    "isatap_router": {"prefixes": [{"prefix": "2001:db8:0:7::/64"}]},
    "sixtofour_host": {},
    "sixtofour_relay": {},
    "configured_tunnel": {"local": "192.0.2.1", "remote": "192.0.2.2", "keepalive": True},
    "teredo_client": {"servers": ["206.73.118.1"]},
    "teredo_relay": {},
    "teredo_server": {"server_address": "206.73.118.1"},
}


def samples(*resources):
    """Values by name and labels."""
    text = exposition({"agent": AGENT, "resources": list(resources)})
    return {
        (one.name, *sorted(one.labels.items())): one.value
        for family in parse(text)
        for one in family.samples
    }


def test_the_agent_itself_is_there():
    found = samples()
    assert found["v6ferry_info", ("plane", "ebpf"), ("version", "1.2.3")] == 1
    assert found["v6ferry_start_time_seconds",] == 1795503600
    assert found["v6ferry_unclaimed_dropped_packets_total", ("reason", "no_tunnel_accepts")] == 3
    assert found["v6ferry_portproxy_workers",] == 2
    assert found["v6ferry_portproxy_retired_workers",] == 1
    assert found["v6ferry_portproxy_leaving_connections",] == 4


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"portproxy"}))
def test_every_kind_of_tunnel_has_its_counters(kind):
    counters = Counters()
    counters.packets_in, counters.bytes_out = 5, 700
    counters.drop(DropReason.TOO_BIG, 2)
    counters.handed_up["packet_too_big"] = 1
    engine = check(kind, "default", TUNNELS[kind]).engine(Random(1), 0.0)
    status = {**engine.status(0.0), "counters": counters.as_dict()}
    found = samples({"kind": kind, "name": "default", "status": status})

    def one(name, *labels):
        own = (("kind", kind), ("name", "default"))
        return found[(f"v6ferry_{name}", *sorted((*own, *labels)))]

    tunnel = ("interface", status["interface"])
    assert one("resource_ready") == 0
    assert one("tunnel_receive_packets_total", tunnel) == 5
    assert one("tunnel_transmit_bytes_total", tunnel) == 700
    reason = ("reason", "packet_too_big")
    assert one("tunnel_dropped_packets_total", tunnel, reason) == 2
    assert one("tunnel_handed_up_packets_total", tunnel, reason) == 1
    if kind == "configured_tunnel":
        assert one("keepalive_reachable") == 0
        assert one("keepalive_losses_total") == 0


def told(**counted):
    """What a worker says of a rule."""
    rule = Rule("web")
    for name, value in counted.items():
        setattr(rule.counters, name, value)
    rule.active = 1
    return {
        "rules": {"web": rule.as_dict()},
        "leaving": [],
        "retired": False,
        "exhausted": None,
        "process_id": 1,
    }


def test_a_rule_has_all_that_its_workers_count():
    counts = Counts()
    durations = [3, 2, *([0] * 28), 0, 1]
    counts.note(1, told(durations=durations, seconds=9.5, bytes_in=10, bytes_out=20, refused=7))
    counts.note(2, told(durations=durations, seconds=0.5, failed={111: 4}, timed_out=1))
    spec = check("portproxy", "web", {"listen_port": 80, "connect_address": "2001:db8::1"})
    status = PortProxyRule("web", spec.parsed).status(counts.of("web"))
    found = samples({"kind": "portproxy", "name": "web", "status": status})
    web = ("name", "web")

    def one(name, *labels):
        return found[(f"v6ferry_portproxy_{name}", *sorted((*labels, web)))]

    assert one("connections_total") == 14
    assert one("active_connections") == 2
    assert one("refused_connections_total") == 7
    assert one("timed_out_connections_total") == 1
    assert one("failed_connections_total", ("errno", "ECONNREFUSED")) == 4
    assert one("bytes_total", ("direction", "to_server")) == 10
    assert one("bytes_total", ("direction", "to_client")) == 20
    assert one("connection_duration_seconds_bucket", ("le", "0.001")) == 6
    assert one("connection_duration_seconds_bucket", ("le", "0.002")) == 10
    assert one("connection_duration_seconds_bucket", ("le", "+Inf")) == 12
    assert one("connection_duration_seconds_count") == 12
    assert one("connection_duration_seconds_sum") == 10


def test_sums_do_not_shrink_when_a_worker_dies():
    counts = Counts()
    counts.note(1, told(bytes_in=10, failed={111: 4}, durations=[2] + [0] * 31))
    counts.note(2, told(bytes_in=5, durations=[0] * 32))
    counts.lose(1)
    found = counts.of("web")
    assert (found["bytes_in"], found["failed"], found["accepted"]) == (15, {"ECONNREFUSED": 4}, 4)
    assert found["active"] == 1
    counts.lose(1)
    assert counts.of("web") == found
    counts.lose(2)
    counts.forget("web")
    assert counts.of("web") == {}

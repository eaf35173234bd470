# SPDX-License-Identifier: GPL-3.0-or-later
"""``v6ferry metrics``: what the agent's ``show`` counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from v6ferry.wire.exposition import Family, format_exposition

Answer = Mapping[str, Any]

_TUNNEL = (
    ("packets_in", "receive_packets", "IPv6 packets that came through the tunnel."),
    ("bytes_in", "receive_bytes", "Bytes of these packets."),
    ("packets_out", "transmit_packets", "IPv6 packets that were sent through the tunnel."),
    ("bytes_out", "transmit_bytes", "Bytes of these packets."),
    ("icmp_errors_in", "receive_icmp_errors", "ICMPv4 errors about packets of the tunnel."),
    ("icmp_errors_out", "transmit_icmp_errors", "ICMPv6 errors that were sent to sources."),
)
_TUNNEL_REASONS = (
    ("drops", "dropped_packets", "reason", "Packets that went no further."),
    ("handed_up", "handed_up_packets", "reason", "Packets that the kernel left to the agent."),
    ("rules", "rule_packets", "rule", "Packets by the rule of the forwarding table."),
)
_PORTPROXY = (
    ("accepted", "connections", "Connections that were accepted."),
    ("refused", "refused_connections", "Connections from sources that are not allowed."),
    ("timed_out", "timed_out_connections", "Connections that were cut for being idle."),
)
_DIRECTIONS = (("bytes_in", "to_server"), ("bytes_out", "to_client"))


class _Families:
    """Families by name, each made when it is first used, in that order."""

    def __init__(self) -> None:
        self._by_name: dict[str, Family] = {}

    def counter(self, name: str, meaning: str) -> Family:
        return self._one(f"v6ferry_{name}_total", "counter", meaning)

    def gauge(self, name: str, meaning: str) -> Family:
        return self._one(f"v6ferry_{name}", "gauge", meaning)

    def histogram(self, name: str, meaning: str) -> Family:
        return self._one(f"v6ferry_{name}", "histogram", meaning)

    def _one(self, name: str, kind: str, meaning: str) -> Family:
        return self._by_name.setdefault(name, Family(name, kind, meaning))

    def all(self) -> Iterable[Family]:
        return self._by_name.values()


def exposition(answer: Answer) -> str:
    """What ``metrics`` prints.

    Args:
        answer: to the control API's ``show``.
    """
    families = _Families()
    _agent(families, answer["agent"])
    for one in answer["resources"]:
        _resource(families, one)
    return format_exposition(families.all())


def _agent(families: _Families, agent: Answer) -> None:
    families.gauge("info", "The agent: its version, and what carries packets.").add(
        1, version=agent["version"], plane=agent["plane"]
    )
    families.gauge("start_time_seconds", "When the agent started, in Unix time.").add(
        datetime.fromisoformat(agent["started"]).timestamp()
    )
    for key, name, meaning in (
        ("unclaimed_drops", "unclaimed_dropped_packets", "Packets that no tunnel accepts."),
        ("unclaimed_handed_up", "unclaimed_handed_up_packets", "Such that the agent looked at."),
    ):
        for reason, count in agent[key].items():
            families.counter(name, meaning).add(count, reason=reason)
    proxies = agent["portproxy"]
    families.gauge("portproxy_workers", "Processes that accept connections.").add(
        proxies["workers"]
    )
    families.gauge(
        "portproxy_retired_workers", "Processes of an earlier version, with connections left."
    ).add(proxies["retired"])
    families.gauge(
        "portproxy_leaving_connections", "Connections of removed rules that still run."
    ).add(proxies["leaving_connections"])


def _resource(families: _Families, one: Answer) -> None:
    status, labels = one["status"], {"kind": one["kind"], "name": one["name"]}
    families.gauge("resource_ready", "Whether a resource does its work (1) or not (0).").add(
        int(status["ready"]), **labels
    )
    counters = status.get("counters") or {}
    if one["kind"] == "portproxy":
        _rule(families, counters, one["name"])
    elif counters:
        _tunnel(families, counters, {**labels, "interface": status["interface"]})
    discarded = "Control packets that were not acted on."
    for reason, count in status.get("discarded", {}).items():
        families.counter("discarded_packets", discarded).add(count, **labels, reason=reason)
    for interface, link in status.get("private_interfaces", {}).items():
        for reason, count in link["discarded"].items():
            families.counter("discarded_packets", discarded).add(
                count, **labels, reason=reason, interface=interface
            )
    if asked := status.get("keepalive"):
        families.gauge("keepalive_reachable", "Whether the peer answers (1) or not (0).").add(
            int(asked["state"] == "reachable"), **labels
        )
        families.counter("keepalive_losses", "Questions that the peer did not answer.").add(
            asked["losses"], **labels
        )


def _tunnel(families: _Families, counters: Answer, labels: Mapping[str, str]) -> None:
    for key, name, meaning in _TUNNEL:
        families.counter(f"tunnel_{name}", meaning).add(counters[key], **labels)
    for key, name, label, meaning in _TUNNEL_REASONS:
        for reason, count in counters[key].items():
            families.counter(f"tunnel_{name}", meaning).add(count, **labels, **{label: reason})


def _rule(families: _Families, counters: Answer, name: str) -> None:
    if not counters:
        return  # no worker has told anything of it yet
    for key, metric, meaning in _PORTPROXY:
        families.counter(f"portproxy_{metric}", meaning).add(counters[key], name=name)
    families.gauge("portproxy_active_connections", "Connections that run.").add(
        counters["active"], name=name
    )
    for key, direction in _DIRECTIONS:
        families.counter("portproxy_bytes", "Bytes that were carried.").add(
            counters[key], name=name, direction=direction
        )
    for number, count in counters["failed"].items():
        families.counter(
            "portproxy_failed_connections", "Clients for whom no server was reached."
        ).add(count, name=name, errno=number)
    durations = counters["durations"]
    # Item n counts those of less than 2**n milliseconds, and the last one all that are longer.
    families.histogram(
        "portproxy_connection_duration_seconds", "How long connections took that have ended."
    ).add_histogram(
        [2**power / 1000 for power in range(len(durations) - 1)],
        durations,
        counters["seconds"],
        name=name,
    )

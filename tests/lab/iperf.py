# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a path between two hosts is, by iperf3."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from tests.lab.host import LabHost

Measured = dict[str, Any]
"""The part ``end`` of what iperf3 prints with ``--json``."""


@contextlib.contextmanager
def iperf_server(*hosts: LabHost) -> Iterator[None]:
    """Keep an iperf3 server on each host for the length of a ``with`` block.

    Raises:
        LabError: one does not start.
    """
    with contextlib.ExitStack() as servers:
        for host in hosts:
            service = host.start_service(
                "iperf3",
                ["iperf3", "--server", "--forceflush"],
                ready=lambda server: server.log_contains("listening"),
            )
            servers.callback(service.kill)
        yield


def tcp_throughput(host: LabHost, target: str, seconds: float) -> float | None:
    """Send TCP from ``host`` to the server at ``target``.

    Args:
        host: who sends.
        target: an address, with ``%INTERFACE`` if it is link-local.
        seconds: how long.

    Returns:
        Bits of payload that arrived, per second; None if nothing connects.
    """
    end = _iperf(host, target, seconds)
    bits = end.get("sum_received", {}).get("bits_per_second")
    return float(bits) if bits else None


def packet_rate(host: LabHost, target: str, seconds: float, payload: int) -> float | None:
    """Send UDP as fast as ``host`` can, with ``payload`` octets in each datagram.

    Returns:
        Datagrams that arrived, per second; None if nothing connects.
    """
    end = _iperf(host, target, seconds, "--udp", "--bitrate", "0", "--length", str(payload))
    total = end.get("sum")
    if not total or not total["packets"]:
        return None
    return float(total["packets"] - total["lost_packets"]) / float(total["seconds"])


def _iperf(host: LabHost, target: str, seconds: float, *options: str) -> Measured:
    command = ["iperf3", "--json", "--time", f"{seconds:g}", "--client", target, *options]
    done = host.run(command, check=False, timeout=seconds + 30)
    try:
        end: Measured = json.loads(done.stdout)["end"]
    except (ValueError, KeyError):
        return {}
    return end

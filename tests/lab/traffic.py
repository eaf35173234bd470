# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic between hosts of a lab, made and counted: by iperf3, and streams of echo requests."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from tests.lab.errors import LabError
from tests.lab.host import LabHost

_SENDER_CORE, _RECEIVER_CORE = 0, 1
# Each end on a core of its own: where the scheduler puts them is half of what is measured.
_PINNED = ("--affinity", f"{_SENDER_CORE},{_RECEIVER_CORE}")
_ATTEMPTS = 5


@contextlib.contextmanager
def iperf_server(host: LabHost) -> Iterator[None]:
    """Keep an iperf3 server on a host, for both families, for the length of a ``with`` block."""
    service = host.start_service(
        "iperf3",
        ["iperf3", "--server", "--forceflush"],
        ready=lambda server: server.log_contains("listening"),
    )
    try:
        yield
    finally:
        service.kill()


def tcp_bits_per_second(host: LabHost, target: str, seconds: int = 1, streams: int = 1) -> float:
    """Send TCP to a server and return the payload bits a second that arrived.

    Args:
        host: that sends.
        target: address of the server, with ``%interface`` if it is link-local.
        seconds: for how long.
        streams: connections at the same time.

    Raises:
        LabError: it does not connect.
    """
    report = _iperf(host, target, seconds, "--parallel", str(streams), *_PINNED)
    return float(report["end"]["sum_received"]["bits_per_second"])


@contextlib.contextmanager
def a_core_each(sender: LabHost, receiver: LabHost) -> Iterator[None]:
    """Have the core of either end take all that comes to it, for the length of a ``with`` block.

    So a network card has it with every flow. A veth hands packets over on the core where they were
    sent, and TCP sends where its application runs and where acknowledgments come in. On two cores
    its packets overtake each other then: ten thousand retransmissions a second, which nothing but a
    veth has, and which are most of what is measured.

    Args:
        sender: what its interfaces get is taken where ``tcp_bits_per_second`` runs the client.
        receiver: the same with the server.
    """
    ends = ((sender, _SENDER_CORE), (receiver, _RECEIVER_CORE))
    try:
        for host, core in ends:
            _steer(host, 1 << core)
        yield
    finally:
        for host, _core in ends:
            _steer(host, 0)


def _steer(host: LabHost, cores: int) -> None:
    for interface in host.host.interfaces:
        # It is in the /sys of the host's own namespace, which only programs there see.
        file = f"/sys/class/net/{interface.name}/queues/rx-0/rps_cpus"
        host.run(["tee", file], input=f"{cores:x}")


def udp_packets_per_second(host: LabHost, target: str, seconds: int = 1, size: int = 64) -> float:
    """Send UDP as fast as the host can and return the packets a second that arrived.

    Args:
        host: that sends.
        target: address of the server.
        seconds: for how long.
        size: bytes of payload.

    Raises:
        LabError: the server does not answer.
    """
    report = _iperf(
        host, target, seconds, "--udp", "--bitrate", "0", "--length", str(size), *_PINNED
    )
    total = report["end"]["sum"]
    return (float(total["packets"]) - float(total["lost_packets"])) / float(total["seconds"])


def _iperf(host: LabHost, target: str, seconds: int, *options: str) -> dict[str, Any]:
    command = ["iperf3", "--json", "--connect-timeout", "3000", "--client", target]
    command += ["--time", str(seconds), *options]
    for _attempt in range(_ATTEMPTS):
        done = host.run(command, check=False, timeout=seconds + 30)
        try:
            report: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            said = done.stderr.strip()
            raise LabError(f"host {host.name}: iperf3 to {target}: {said}") from error
        if "busy" not in report.get("error", ""):
            break
        time.sleep(0.5)  # the server has not yet heard of the end of the test before
    if "error" in report:
        raise LabError(f"host {host.name}: iperf3 to {target}: {report['error']}")
    return report


def stream(host: LabHost, target: str, seconds: float, *options: str) -> subprocess.Popen[str]:
    """Start to send 1000 echo requests a second.

    Args:
        host: that sends.
        target: an address.
        seconds: for how long.
        options: to ping, beyond those.
    """
    command = ["ping", "-q", "-n", "-i", "0.001", "-c", str(round(1000 * seconds)), *options]
    started: subprocess.Popen[str] = host.popen(
        [*command, target], stdout=subprocess.PIPE, text=True
    )
    return started


def lost(ping: subprocess.Popen[str]) -> int:
    """Wait for the end of a stream and return how many requests had no answer."""
    report, _errors = ping.communicate(timeout=60)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", report)
    assert found is not None, report
    return int(found[1]) - int(found[2])

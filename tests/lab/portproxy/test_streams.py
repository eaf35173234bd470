# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes in comes out: whole streams, their ends, their resets, and urgent data."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.portproxy.rules import (
    PROXY4,
    STREAMS,
    V6,
    agent_shown,
    counters,
    present,
    rules,
    streams_server,
    web_server,
)
from tests.lab.processes import wait_until

pytestmark = pytest.mark.lab

PORT = 7000


@pytest.fixture(scope="module", autouse=True)
def _rule(lab: Lab) -> Iterator[None]:
    server = streams_server(lab, "v6", V6, PORT)
    with rules(lab["proxy"], present("x", listen_port=PORT, connect_address=V6)):
        yield
    server.stop()


def descriptors(lab: Lab) -> int:
    """How many the workers have open, but for pipes, which they keep."""
    return sum(
        not str(one.readlink()).startswith("pipe:")
        for process_id in agent_shown(lab["proxy"])["process_ids"]
        for one in Path(f"/proc/{process_id}/fd").iterdir()
        if one.is_symlink()
    )


@pytest.mark.parametrize("seed", range(1, 25))
def test_streams_come_through_whole_with_their_ends_and_resets(lab: Lab, seed: int) -> None:
    before = descriptors(lab)
    log = next(iter(sorted((lab.directory / "logs").glob("v6-streams-*.log"))))
    done = lab["v4"].run(
        [sys.executable, STREAMS, "connect", PROXY4, str(PORT), str(seed), "12"], timeout=120
    )
    clients = {one["seed"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert len(clients) == 12

    def of_server() -> dict[int, dict[str, object]]:
        lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
        told = {one["seed"]: one for one in map(json.loads, lines)}
        return {key: told[key] for key in clients if key in told}

    wait_until(
        lambda: all(
            key in of_server() for key, one in clients.items() if one["resets"] != "client"
        ),
        20,
    )
    servers = of_server()
    for key, client in clients.items():
        server = servers.get(key)
        if client["resets"] == "nobody":
            assert server is not None
            assert (client["whole"], client["ended"], client["sending"]) == (True, "end", ""), (
                client
            )
            assert (server["whole"], server["ended"], server["sending"]) == (True, "end", ""), (
                server
            )
            continue
        # What has come is right as far as it goes, and no reset looks like an end.
        other = server if client["resets"] == "client" else client
        if other is not None:
            assert other["prefix"]
            assert "ECONNRESET" in (other["ended"], other["sending"]) or "EPIPE" in (
                other["ended"], other["sending"]
            ), other  # fmt: skip
    wait_until(lambda: counters(lab["proxy"], "x")["active"] == 0, 10)
    assert counters(lab["proxy"], "x")["active"] == 0
    assert descriptors(lab) == before


_URGENT = """
import socket, sys, time
address, port = sys.argv[1], int(sys.argv[2])
if sys.argv[3] == "serve":
    sock = socket.create_server((address, port), family=socket.AF_INET6)
    print("listening", file=sys.stderr, flush=True)
    sock = sock.accept()[0]
    time.sleep(0.5)
    before = sock.recv(100)              # stops at the mark
    urgent = sock.recv(1, socket.MSG_OOB)
    after = b""
    while data := sock.recv(100):
        after += data
    print(before, urgent, after, file=sys.stderr, flush=True)
else:
    sock = socket.create_connection((address, port))
    sock.sendall(b"before")
    sock.send(b"!", socket.MSG_OOB)
    time.sleep(0.1)
    sock.sendall(b"after")
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
"""


def test_urgent_data_keeps_its_place_and_its_urgency_rfc9293_3_8_5(lab: Lab) -> None:
    server = lab["v6"].start_service(
        "urgent",
        [sys.executable, "-c", _URGENT, V6, "7001", "serve"],
        ready=lambda service: service.log_contains("listening"),
    )
    with rules(lab["proxy"], present("urgent", listen_port=7001, connect_address=V6)):
        lab["v4"].run([sys.executable, "-c", _URGENT, PROXY4, "7001", "connect"])
        wait_until(lambda: server.log_contains("after"), 5)
        assert "b'before' b'!' b'after'" in server.log.read_text()


_ASK = """
import socket, sys
address, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _turn in range(number):
    with socket.create_connection((address, port)) as sock:
        sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        assert b"hello" in b"".join(iter(lambda: sock.recv(1000), b""))
"""


def test_handshakes_end_with_the_question_where_clients_speak_first_rfc9293_3_5(lab: Lab) -> None:
    server = web_server(lab["v6"], V6, 7002)
    with rules(lab["proxy"], present("asked", listen_port=7002, connect_address=V6)):
        lab["v4"].run([sys.executable, "-c", _ASK, PROXY4, "7002", "400"])
        with lab["proxy"].capture("eth1", "tcp dst port 7002") as capture:
            lab["v4"].run([sys.executable, "-c", _ASK, PROXY4, "7002", "10"])
    # By port of the proxy: bytes of the second packet, which follows the SYN.
    seconds: dict[int, int] = {}
    began: set[int] = set()
    for packet in capture.packets:
        port, length = packet["TCP"].sport, len(packet["TCP"].payload)
        if packet["TCP"].flags == "S":
            began.add(port)
        elif port in began:
            seconds.setdefault(port, length)
    assert len(seconds) == 10
    # A worker that has seen few of them goes on without it.
    assert max(seconds.values()) > 0
    server.stop()

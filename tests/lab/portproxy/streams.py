# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections whose two ends both know what has to come through, and say what did.

Run as a program it is one end, in whatever namespace it was started::

    streams.py serve ADDRESS PORT            a line of JSON for each connection, on standard error
    streams.py connect ADDRESS PORT SEED N   N connections at a time; a line of JSON for each
    streams.py hold ADDRESS PORT N           N connections that talk when told to (see `hold`)

A connection begins with its seed, 8 bytes. From that, both ends make the plan: how many bytes go
each way, who ends first, who resets when; then each pauses where it likes.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from random import Random
from typing import Any

SIZES = (0, 1, 1000, 32767, 32768, 32769, 300_000, 2_000_000)
_RESET = struct.pack("ii", 1, 0)
TIMEOUT = 60.0


@dataclass(frozen=True)
class Plan:
    """What passes on a connection."""

    there: int
    """Bytes from client to server."""
    back: int
    server_ends_first: bool
    resets: str
    """Who resets: client, server, or nobody."""
    reset_after: int
    """Bytes that it has sent by then."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        random = Random(seed)
        there, back = (random.choice(SIZES) + random.randrange(100) for _turn in range(2))
        resets = random.choice(["nobody"] * 4 + ["client", "server"])
        own = there if resets == "client" else back
        return cls(there, back, random.random() < 0.5, resets, random.randint(0, own))


def content(seed: int, way: str, length: int) -> bytes:
    """What has to come through one way."""
    return Random(f"{seed} {way}").randbytes(length)


def _send(sock: socket.socket, data: bytes, random: Random) -> None:
    view = memoryview(data)
    while view:
        size = random.choice([1, 100, 5000, 65536, 500_000])
        sock.sendall(view[:size])
        view = view[size:]
        if random.random() < 0.1:
            time.sleep(random.random() * 0.02)


def _receive(sock: socket.socket, random: Random) -> tuple[bytes, str]:
    """Read to the end; returns what came, and how it ended."""
    received = bytearray()
    while True:
        try:
            data = sock.recv(random.choice([100, 4096, 65536, 300_000]))
        except OSError as error:
            return bytes(received), errno.errorcode.get(error.errno or 0, str(error))
        if not data:
            return bytes(received), "end"
        received += data
        if random.random() < 0.05:
            time.sleep(random.random() * 0.02)


def _talk(sock: socket.socket, seed: int, side: str) -> dict[str, Any]:
    """Be one end of a connection whose seed is known."""
    plan, random = Plan.of(seed), Random(f"{seed} {side}")
    is_client = side == "client"
    ours = content(seed, side, plan.there if is_client else plan.back)
    resets = plan.resets == side
    waits = plan.resets == "nobody" and plan.server_ends_first == is_client
    arrived: list[tuple[bytes, str]] = []
    receiving = threading.Thread(target=lambda: arrived.append(_receive(sock, random)))
    receiving.start()
    sending = ""
    try:
        _send(sock, ours[: plan.reset_after] if resets else ours, Random(f"{seed} {side} sends"))
        if resets:
            time.sleep(0.05)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # Closing would wait for the other thread's recv.
            sock.shutdown(socket.SHUT_RD)
            receiving.join(TIMEOUT)
            sock.close()
        else:
            if waits:
                receiving.join(TIMEOUT)
            sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        sending = errno.errorcode.get(error.errno or 0, str(error))
    receiving.join(TIMEOUT)
    data, ended = arrived[0] if arrived else (b"", "never")
    expected = content(
        seed, "server" if is_client else "client", plan.back if is_client else plan.there
    )
    if not resets:
        sock.close()
    return {
        "seed": seed,
        "resets": plan.resets,
        "whole": data == expected,
        "prefix": expected.startswith(data),
        "ended": ended,
        "sending": sending,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def serve(address: str, port: int) -> None:
    """Answer connections for ever."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=4096)
    print("listening", file=sys.stderr, flush=True)
    lock = threading.Lock()

    def answer(sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT)
        try:
            start = sock.recv(8, socket.MSG_WAITALL)
        except OSError:
            start = b""
        if len(start) < 8:
            # A client that reset before all else.
            sock.close()
            return
        (seed,) = struct.unpack("!Q", start)
        if seed == 0:
            _echo(sock)
            return
        told = _talk(sock, seed, "server")
        with lock:
            print(json.dumps(told), file=sys.stderr, flush=True)

    while True:
        sock, _peer = listener.accept()
        threading.Thread(target=answer, args=(sock,), daemon=True).start()


def _echo(sock: socket.socket) -> None:
    sock.settimeout(None)
    with sock:
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except OSError:
            return


def connect(address: str, port: int, seed: int, number: int) -> None:
    """Make connections all at once, and say of each what came of it."""
    lock = threading.Lock()

    def one(its_seed: int) -> None:
        sock = socket.create_connection((address, port), timeout=TIMEOUT)
        sock.sendall(struct.pack("!Q", its_seed))
        told = _talk(sock, its_seed, "client")
        with lock:
            print(json.dumps(told), flush=True)

    threads = [threading.Thread(target=one, args=(seed * 1000 + n + 1,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hold(address: str, port: int, number: int) -> None:
    """Hold connections to the echo; for each line read, each says something and must hear it.

    Prints how many did; the line "end" has all of them end properly, and counts ends.
    """
    held = []
    for _turn in range(number):
        sock = socket.create_connection((address, port), timeout=TIMEOUT)
        sock.sendall(struct.pack("!Q", 0))
        held.append(sock)
    print(number, flush=True)
    for line in sys.stdin:
        word = line.strip().encode()
        if word == b"end":
            for sock in held:
                sock.shutdown(socket.SHUT_WR)
            print(sum(_heard(sock, b"") for sock in held), flush=True)
            return
        for sock in held:
            try:
                sock.sendall(word)
            except OSError:
                continue
        print(sum(_heard(sock, word) for sock in held), flush=True)


def _heard(sock: socket.socket, expected: bytes) -> bool:
    try:
        return sock.recv(len(expected) or 1, socket.MSG_WAITALL) == expected
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("end", choices=["serve", "connect", "hold"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("numbers", type=int, nargs="*")
    options = parser.parse_args()
    act = {"serve": serve, "connect": connect, "hold": hold}[options.end]
    act(options.address, options.port, *options.numbers)


if __name__ == "__main__":
    main()

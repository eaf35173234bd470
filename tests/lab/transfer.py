# SPDX-License-Identifier: GPL-3.0-or-later
"""Bulk TCP with a checksum taken at both ends, over one connection in one direction.

Run as a program it is one end, in whatever namespace it was started, and prints one line of JSON::

    transfer.py send ADDRESS PORT BYTES [--source ADDRESS] [--rate BYTES_A_SECOND]
    transfer.py receive PORT
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import time

BLOCK = 1 << 18


def send(
    address: str, port: int, length: int, source: str | None = None, rate: float | None = None
) -> dict[str, object]:
    """Send random bytes, no faster than a rate, which is in bytes a second.

    Returns:
        Their number, their SHA-256 and the seconds it took.
    """
    digest = hashlib.sha256()
    began = time.monotonic()
    # The scope of a link-local address is no part of its text for bind().
    ours = None if source is None else socket.getaddrinfo(source, 0)[0][4]
    with socket.create_connection((address, port), timeout=60, source_address=ours) as connection:
        left = length
        while left:
            if rate is not None:
                time.sleep(max(0.0, began + (length - left) / rate - time.monotonic()))
            block = os.urandom(min(BLOCK, left))
            connection.sendall(block)
            digest.update(block)
            left -= len(block)
        connection.shutdown(socket.SHUT_WR)
        # The peer closes when it has read all; only then is the time known.
        connection.recv(1)
    return _report(length, digest.hexdigest(), began)


def receive(port: int) -> dict[str, object]:
    """Accept one connection, read it to its end, and return what `send` returns."""
    digest = hashlib.sha256()
    length = 0
    with socket.create_server(("::", port), family=socket.AF_INET6) as listener:
        print("listening", flush=True)
        listener.settimeout(60)
        connection = listener.accept()[0]
    with connection:
        connection.settimeout(60)
        began = time.monotonic()
        while block := connection.recv(BLOCK):
            digest.update(block)
            length += len(block)
    return _report(length, digest.hexdigest(), began)


def _report(length: int, checksum: str, began: float) -> dict[str, object]:
    seconds = round(time.monotonic() - began, 3)
    return {"bytes": length, "sha256": checksum, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    ends = parser.add_subparsers(dest="end", required=True)
    sender = ends.add_parser("send")
    sender.add_argument("address")
    sender.add_argument("port", type=int)
    sender.add_argument("length", type=int)
    sender.add_argument("--source")
    sender.add_argument("--rate", type=float)
    receiver = ends.add_parser("receive")
    receiver.add_argument("port", type=int)
    options = parser.parse_args()
    if options.end == "send":
        sent = send(options.address, options.port, options.length, options.source, options.rate)
        print(json.dumps(sent))
    else:
        print(json.dumps(receive(options.port)))


if __name__ == "__main__":
    main()

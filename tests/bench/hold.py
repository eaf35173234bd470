# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds idle connections until it is killed: ``hold.py ADDRESS PORT NUMBER``."""

from __future__ import annotations

import resource
import signal
import socket
import sys


def main() -> None:
    address, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [socket.create_connection((address, port), timeout=10) for _turn in range(number)]
    print(len(held), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()

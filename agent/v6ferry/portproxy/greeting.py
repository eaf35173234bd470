# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that has to say first for whom it speaks (the PROXY protocol)."""

from __future__ import annotations

import socket

from v6ferry.portproxy.relay import GREETING, End
from v6ferry.portproxy.rules import Listener
from v6ferry.wire.proxy_protocol import (
    LONGEST_HEADER,
    ProxyHeader,
    ProxyHeaderError,
    parse_proxy_header,
)


class Greeting:
    """Reads the header of one client.

    Args:
        client: who sends it.
        listener: where it came in.
    """

    __slots__ = ("client", "fd", "is_broken", "listener", "received", "rest", "state")

    def __init__(self, client: End, listener: Listener) -> None:
        self.client = client
        self.listener = listener
        self.fd = client.fd
        self.state = GREETING
        self.received = b""
        self.rest = b""
        """What has come in behind the header."""
        self.is_broken = False

    def read(self) -> ProxyHeader | None:
        """Read on; returns the header once it is whole."""
        while True:
            try:
                data = self.client.sock.recv(LONGEST_HEADER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError:
                data = b""
            self.client.carried += len(data)
            self.received += data
            try:
                parsed = parse_proxy_header(self.received)
            except ProxyHeaderError:
                self.is_broken = True
                return None
            if parsed is not None:
                header, length = parsed
                self.rest = self.received[length:]
                return header
            if not data:
                self.is_broken = True
                return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening TCP sockets."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Any

from v6ferry.system.errors import SystemFault

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel allows net.core.somaxconn at most."""
_WHY: Mapping[int, str] = {
    errno.EADDRINUSE: (
        "another program has the port (ss -ltnp says which): stop it, or listen on another port"
        " or address"
    ),
    errno.EADDRNOTAVAIL: "the address is none of this host's: give it to an interface, or use *",
    errno.EACCES: (
        "ports below 1024 need CAP_NET_BIND_SERVICE: run as root, or give the service"
        " AmbientCapabilities=CAP_NET_BIND_SERVICE"
    ),
    errno.EMFILE: "the agent is out of file descriptors: raise LimitNOFILE= of v6ferry.service",
}


def listen(host: str, port: int, backlog: int = BACKLOG) -> socket.socket:
    """Open a listening socket; one of an IPv6 address takes no IPv4 connections.

    Args:
        host: an address; ``0.0.0.0`` and ``::`` are all of a family, and ``%interface`` may follow.
        port: 1 to 65535.
        backlog: connections that may wait to be accepted.

    Raises:
        SystemFault: the kernel refuses; the message says which address and port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # What is accepted inherits it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(_bindable(host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        why = _WHY.get(error.errno or 0, error.strerror or str(error))
        raise SystemFault(f"cannot listen on {host} port {port}: {why}") from error
    return sock


def is_listening(sock: socket.socket, host: str, port: int) -> bool:
    """Whether an inherited descriptor is a listening socket of that address and port."""
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        return bool(sock.getsockname()[:2] == (host.partition("%")[0], port))
    except OSError:
        return False


def _bindable(host: str, port: int) -> tuple[Any, ...]:
    plain, _percent, zone = host.partition("%")
    if ":" not in host:
        return host, port
    return plain, port, 0, socket.if_nametoindex(zone) if zone else 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""What is particular about the sockets that lead to servers."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from v6ferry.portproxy.rules import Rule
from v6ferry.wire.proxy_protocol import ProxyHeader, format_v1, format_v2

NONBLOCKING_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
UNDER_WAY = {0, errno.EINPROGRESS}
"""What connect(2) says when there is nothing to complain about."""
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""What the system says when it has run out of something."""

_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75  # <linux/in.h>, <linux/in6.h>
_SYN_SENT = 2  # <net/tcp_states.h>
_TCP_FASTOPEN_CONNECT = 30  # <linux/tcp.h>
_TCP = socket.IPPROTO_TCP


def prepare(rule: Rule, sock: Any, family: int, source: Any) -> None:
    """Set what has to be set before connect(2).

    Raises:
        OSError: the kernel refuses.
    """
    if rule.fast_open:
        sock.setsockopt(_TCP, _TCP_FASTOPEN_CONNECT, 1)
    if source is None:
        return
    if (family == socket.AF_INET6) != (":" in source[0]):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    sock.bind(source)


def is_connected(sock: Any) -> bool:
    """Whether the handshake has ended; the first byte of struct tcp_info is the state."""
    return bool(sock.getsockopt(_TCP, socket.TCP_INFO, 1)[0] != _SYN_SENT)


def proxy_header(rule: Rule, source: Any, local: Any) -> bytes:
    """What a server is told first of a client, if anything: who it is, and where it came in."""
    if not rule.send_proxy:
        return b""
    header = ProxyHeader((source[0], source[1]), (local[0], local[1]))
    return format_v1(header) if rule.send_proxy == 1 else format_v2(header)

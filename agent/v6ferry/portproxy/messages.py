# SPDX-License-Identifier: GPL-3.0-or-later
"""What agent and workers say to each other: one JSON object a packet, with descriptors.

A request is ``{"do": "set", ...}``, and every one is answered: ``{"error": "..."}``, or what was
asked for.

``hello``      who are you? ``version``, ``code``, ``process_id``, ``retired``, and by name the
               ``rules`` with their listening sockets
``set``        have a rule (``rule``, as ``rules.Rule.configure`` takes it); the descriptors are
               its listening sockets that the worker does not have yet, ``added`` says which
``aim``        lead the listeners of a rule to other addresses (``name``, ``listeners``)
``remove``     have a rule no more (``name``); its connections are cut after ``cut_after`` seconds,
               never for null
``lend``       copies of listening sockets (``name``, ``where``), for a worker of another version
``statistics`` what each rule counts, and how the worker is
``retire``     accept no more, and end with the last connection
``stop``       end at once
"""

from __future__ import annotations

import array
import contextlib
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 1 << 20
"""Bytes of one packet."""
MOST_DESCRIPTORS = 240
"""Of one packet; SCM_MAX_FD is 253."""
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>


def enlarge(sock: socket.socket) -> None:
    """Let messages be as long as they may be; the sysctl net.core.wmem_max is for others."""
    for option in (socket.SO_SNDBUF, _SO_SNDBUFFORCE):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, LONGEST)


def send(sock: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message.

    Raises:
        OSError: the other side has gone, or the message is too long.
    """
    socket.send_fds(sock, [json.dumps(message).encode()], list(descriptors))


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message and its descriptors; None if the other side has gone.

    Raises:
        OSError: nothing can be received now.
        ValueError: it is no message.
    """
    data, ancillary, flags, _address = sock.recvmsg(
        LONGEST, socket.CMSG_SPACE(MOST_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if not data:
        return None
    if flags & socket.MSG_TRUNC:
        raise ValueError(f"a message is longer than {LONGEST} bytes")
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("a message is no object")
    return message, list(descriptors)

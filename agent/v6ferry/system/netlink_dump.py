# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of the kernel's tables over rtnetlink."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from v6ferry.system.netlink_messages import error_number, fault_of

_NLM_F_DUMP_INTR = 0x10  # linux/netlink.h
_ATTEMPTS = 5
_PAUSE = 0.02  # seconds


class Dumps:
    """Reads whole tables, one after the other: the kernel has one dump a socket at a time.

    Args:
        rtnetlink: the socket to the kernel.
    """

    def __init__(self, rtnetlink: AsyncIPRoute) -> None:
        self._rtnetlink = rtnetlink
        self._dumping = asyncio.Lock()

    async def __call__(self, what: str, **filters: Any) -> list[Any]:
        """Return all messages of a dump that the kernel filters.

        Args:
            what: pyroute2's name for the table: "link", "addr" or "route".
            filters: fields that the messages must have.

        Raises:
            SystemFault: the kernel refuses.
        """
        request: Callable[..., Awaitable[Any]] = getattr(self._rtnetlink, what)
        messages: list[Any] = []
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._dumping:
                    # dump_filter=None: without it pyroute2 filters by itself, after a full dump.
                    answer = await request("dump", dump_filter=None, **filters)
                    messages = [message async for message in answer]
            except (NetlinkError, OSError) as error:
                if error_number(error) == errno.EBUSY and attempt < _ATTEMPTS:
                    await asyncio.sleep(_PAUSE)  # a dump of traffic control's, on the same socket
                    continue
                raise fault_of(f"list the kernel's {what} entries", error) from error
            if not any(message["header"]["flags"] & _NLM_F_DUMP_INTR for message in messages):
                break
        # A table that changes all the time: the next event brings another look at it.
        return messages

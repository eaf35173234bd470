# SPDX-License-Identifier: GPL-3.0-or-later
"""Where BPF programs meet packets: filters of the clsact queueing discipline (tc-bpf(8))."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from v6ferry.system.errors import SystemFault
from v6ferry.system.netlink_messages import error_number, fault_of

PRIORITY = 0x7636
"""Of our filters, among those of an interface: whoever needs to be first will ask for less."""
HANDLE = 1
NAME = "v6ferry"

_CLSACT_PARENT = 0xFFFF_FFF1
_CLSACT_HANDLE = 0xFFFF_0000
_ABSENT = frozenset({errno.ENOENT, errno.EINVAL, errno.ENODEV})


class Direction(IntEnum):
    """Where on an interface; the value is the parent of the filter (linux/pkt_sched.h)."""

    INGRESS = 0xFFFF_FFF2
    EGRESS = 0xFFFF_FFF3


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that an interface has."""

    index: int
    direction: Direction
    priority: int
    handle: int
    name: str
    """That of a BPF filter; that of its kind for others."""

    @property
    def is_ours(self) -> bool:
        """Whether an agent has put it there."""
        place = (self.priority, self.handle)
        return place == (PRIORITY, HANDLE) and self.name.split(" ")[0] == NAME


class TrafficControl:
    """The filters of interfaces.

    Args:
        rtnetlink: the socket to the kernel.
    """

    def __init__(self, rtnetlink: AsyncIPRoute) -> None:
        self._rtnetlink = rtnetlink

    async def filters(self, index: int, direction: Direction) -> list[Filter]:
        """Return the filters of one direction of an interface, in the order in which they run.

        Raises:
            SystemFault: the kernel refuses.
        """
        try:
            answer = await self._rtnetlink.tc("dump-filter", index=index, parent=int(direction))
            messages = [message async for message in answer]
        except (NetlinkError, OSError) as error:
            if error_number(error) in _ABSENT:
                return []
            raise fault_of("list the filters of an interface", error) from error
        return sorted(_filters(messages, index, direction), key=lambda one: one.priority)

    async def attach(self, index: int, direction: Direction, program: int, name: str) -> None:
        """Run a program on packets of an interface, instead of an earlier one of ours.

        There is no moment without a program where one was.

        Args:
            index: of the interface.
            direction: of its packets.
            program: descriptor of the BPF program.
            name: of the program, for people.

        Raises:
            SystemFault: the kernel refuses, or another's filter is in the place of ours.
        """
        for one in await self.filters(index, direction):
            if one.priority == PRIORITY and not one.is_ours:
                raise SystemFault(
                    f"a tc filter of another program, {one.name}, has priority {PRIORITY};"
                    f" remove it (tc filter del ... pref {PRIORITY}) or give it another priority"
                )
        doing = f"attach the BPF program {name}"
        try:
            await self._rtnetlink.tc(
                "add", "clsact", index=index, parent=_CLSACT_PARENT, handle=_CLSACT_HANDLE
            )
        except (NetlinkError, OSError) as error:
            if error_number(error) != errno.EEXIST:
                raise fault_of(doing, error) from error
        try:
            await self._rtnetlink.tc(
                "replace-filter",
                "bpf",
                index=index,
                handle=HANDLE,
                parent=int(direction),
                prio=PRIORITY,
                fd=program,
                name=f"{NAME} {name}",
                direct_action=True,
            )
        except (NetlinkError, OSError) as error:
            raise fault_of(doing, error) from error

    async def detach(self, index: int, direction: Direction) -> None:
        """Remove our filter if there is one; the queueing discipline stays, others may use it.

        Raises:
            SystemFault: the kernel refuses.
        """
        if not any(one.is_ours for one in await self.filters(index, direction)):
            return
        try:
            await self._rtnetlink.tc(
                "del-filter",
                "bpf",
                index=index,
                handle=HANDLE,
                parent=int(direction),
                prio=PRIORITY,
            )
        except (NetlinkError, OSError) as error:
            if error_number(error) not in _ABSENT:
                raise fault_of("remove a filter", error) from error


def _filters(messages: Iterable[Any], index: int, direction: Direction) -> Iterable[Filter]:
    for message in messages:
        # The kernel sends an empty one for each priority before those that say something.
        if message["index"] != index or not message["handle"]:
            continue
        kind = message.get("TCA_KIND")
        options = message.get("TCA_OPTIONS")
        name = options.get("TCA_BPF_NAME") if kind == "bpf" and options is not None else None
        yield Filter(index, direction, message["info"] >> 16, message["handle"], name or kind)

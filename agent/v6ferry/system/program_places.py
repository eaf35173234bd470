# SPDX-License-Identifier: GPL-3.0-or-later
"""Where our BPF programs run on the packets of interfaces: by TCX, or as filters.

TCX costs less, but its programs run before all filters. Where others have filters, ours is one of
them, so that theirs go on seeing what they saw.
"""

from __future__ import annotations

from v6ferry.system.tcx import Tcx
from v6ferry.system.traffic_control import PRIORITY, Direction, TrafficControl

TCX = "TCX"
CLSACT = "clsact"


class ProgramPlaces:
    """Has our programs on interfaces.

    Args:
        traffic_control: the filters of interfaces.
        tcx: our programs by TCX; None has filters alone.
    """

    def __init__(self, traffic_control: TrafficControl, tcx: Tcx | None = None) -> None:
        self._traffic_control = traffic_control
        self._tcx = tcx if tcx is not None and tcx.is_supported else None
        self._filters: set[tuple[int, Direction]] = set()
        """Where a filter of this very agent is, and not of one before."""

    async def attach(self, index: int, direction: Direction, program: int, name: str) -> str:
        """Have a program on the packets of an interface, instead of an earlier one of ours.

        Nothing is done where it is already in the right place. There is no moment without a
        program where one was.

        Args:
            index: of the interface.
            direction: of its packets.
            program: descriptor of the BPF program.
            name: of the program, for people.

        Returns:
            Where it is: TCX or CLSACT.

        Raises:
            SystemFault: the kernel refuses, or another's filter is in the place of ours.
        """
        filters = await self._traffic_control.filters(index, direction)
        if self._tcx is not None and all(one.is_ours for one in filters):
            self._tcx.attach(index, direction, program)
            if filters:
                await self._traffic_control.detach(index, direction)
                self._filters.discard((index, direction))
            return TCX
        if (index, direction) not in self._filters or not any(one.is_ours for one in filters):
            await self._traffic_control.attach(index, direction, program, name)
            self._filters.add((index, direction))
        if self._tcx is not None:
            self._tcx.detach(index, direction)
        return CLSACT

    async def detach(self, index: int, direction: Direction) -> None:
        """Have no program of ours on packets of an interface, of whatever agent.

        Raises:
            SystemFault: the kernel refuses.
        """
        await self._traffic_control.detach(index, direction)
        self._filters.discard((index, direction))
        if self._tcx is not None:
            self._tcx.detach(index, direction)

    async def before_ours(self, index: int, direction: Direction) -> list[str]:
        """Return the names of others' programs that see packets of an interface before ours.

        Raises:
            SystemFault: the kernel refuses.
        """
        filters = await self._traffic_control.filters(index, direction)
        names = [f"tc filter {one.name}" for one in filters if one.priority < PRIORITY]
        others = [] if self._tcx is None else self._tcx.before_ours(index, direction)
        return [f"TCX program {one}" for one in others] + names

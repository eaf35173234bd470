# SPDX-License-Identifier: GPL-3.0-or-later
"""A plane with a tunnel and without an agent: for tables that no technology makes yet.

Run as a program it carries packets in whatever namespace it was started::

    plane_process PLANE MODULE:FUNCTION ARGUMENT...

The function gets the arguments as text and returns a ``Carried``. The program prints a line of
JSON when the tunnel works, and another one, the tunnel's counters, for each line that it reads; it
ends at the end of its input.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any

from v6ferry.forwarding.ebpf.plane import EbpfPlane, load_programs
from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.forwarding.userspace import UserspacePlane
from v6ferry.system.netlink import Netlink
from v6ferry.system.program_places import ProgramPlaces
from v6ferry.system.sockets import Underlay
from v6ferry.system.tun import open_tun
from v6ferry.system.uplinks import find_uplinks

from tests.lab.errors import LabError
from tests.lab.host import LabHost

UPLINK = "eth0"
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Carried:
    """What a plane has to carry."""

    table: TunnelTable
    addresses: tuple[IPv6Interface, ...]
    """Of the tunnel interface."""
    mtu: int
    peers: Mapping[IPv6Address, Endpoint] = field(default_factory=dict)


class PlaneProcess:
    """One that runs in a host."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.started = self._answer()

    def counters(self) -> dict[str, Any]:
        """The counters of the tunnel."""
        assert self._process.stdin is not None
        self._process.stdin.write("counters\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise LabError(f"the plane has ended: {self._process.stderr.read()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def plane_process(
    host: LabHost, plane: str, function: Callable[..., Carried], *arguments: str
) -> Iterator[PlaneProcess]:
    """Carry what a function returns in a host, for the length of a ``with`` block.

    Args:
        host: of the lab.
        plane: "ebpf" or "userspace".
        function: one of a module, with these arguments.
        arguments: what it takes.

    Raises:
        LabError: it does not start.
    """
    name = f"{function.__module__}:{function.__name__}"
    process = host.popen(
        [sys.executable, "-m", __name__, plane, name, *arguments],
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield PlaneProcess(process)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


async def _carry(plane_name: str, carried: Carried) -> None:
    loop, table = asyncio.get_running_loop(), carried.table
    async with Netlink() as netlink:
        with ExitStack() as stack:
            underlay = Underlay()
            stack.callback(underlay.close)
            arguments = (loop, underlay, time.monotonic)
            places = ProgramPlaces(netlink.traffic_control)
            plane: UserspacePlane
            if plane_name == "ebpf":
                plane = EbpfPlane(*arguments, load_programs(), places)
            else:
                plane = UserspacePlane(*arguments, places)
            stack.callback(plane.close)
            tun = stack.enter_context(open_tun(table.interface))
            _ip("link", "set", tun.name, "up", "mtu", str(carried.mtu))
            for address in carried.addresses:
                _ip("address", "add", str(address), "dev", tun.name, "nodad")
            began = time.perf_counter()
            plane.add(tun, table, lambda _control: None)
            plane.change_peers(tun.name, carried.peers)
            seconds = time.perf_counter() - began
            await plane.settle_tunnel(tun.name)
            await plane.settle_uplinks(find_uplinks([UPLINK]))
            plane.start()
            _say({"plane": plane.carrier(tun.name), "faults": plane.faults, "seconds": seconds})
            lines = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
            while await lines.readline():
                _say(plane.counters(tun.name).as_dict())


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _say(answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Carry packets until the end of the input."""
    plane, name, *rest = arguments
    module, _colon, function = name.partition(":")
    asyncio.run(_carry(plane, getattr(importlib.import_module(module), function)(*rest)))


if __name__ == "__main__":
    main(sys.argv[1:])

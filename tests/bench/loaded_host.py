# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose tunnel has a large table: a program that drives the eBPF plane without an agent.

It runs in a host of a lab. Commands come on standard input, a JSON list each: the name of a method
of ``LoadedHost`` and its arguments; the answer is a line of JSON. What a table is made of is a
*kind*, of which there may be more: see ``KINDS``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from v6ferry.forwarding.ebpf import layout
from v6ferry.forwarding.ebpf.plane import EbpfPlane, load_programs
from v6ferry.forwarding.table import (
    ANYBODY,
    PEERS,
    Encapsulation,
    Endpoint,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    TunnelTable,
)
from v6ferry.system.netlink import Netlink
from v6ferry.system.program_places import ProgramPlaces
from v6ferry.system.sockets import Underlay
from v6ferry.system.sysctl import write_sysctl
from v6ferry.system.tun import open_tun
from v6ferry.system.uplinks import find_uplinks

INTERFACE = "tun0"
UPLINK = "eth0"
_PORT = 3545
_ALL = 0x20010DB8 << 96


def prefix(number: int) -> int:
    """The network address of one of 2^32 prefixes of 64 bits, spread over 2001:db8::/32."""
    return _ALL | (number * 0x9E3779B1 & 0xFFFF_FFFF) << 64


class Rules:
    """As many forwarding and as many ingress rules, all with one far end."""

    def __init__(self, count: int) -> None:
        self._count = count

    def destination(self, entry: int, number: int) -> int:
        """One of many addresses that an entry of the table says something of."""
        return prefix(self._count - 1 - entry) | 2 << 32 | number

    def load(self, plane: EbpfPlane, table: TunnelTable, far_end: IPv4Address) -> None:
        """Fill the table."""
        networks = [IPv6Network((prefix(number), 64)) for number in range(self._count)]
        to, by = Fixed(far_end), (Listed(frozenset({far_end})),)
        self._table = replace(
            table,
            forwarding=tuple(ForwardingRule(one, to, f"to {one}") for one in networks),
            ingress=tuple(IngressRule(one, by, f"from {one}") for one in networks),
        )
        plane.update(self._table)

    def change(self, plane: EbpfPlane) -> None:
        """Change one entry."""
        *others, last = self._table.forwarding
        changed = replace(last, selector=Fixed(IPv4Address("192.0.2.1")), name="changed")
        plane.update(replace(self._table, forwarding=(*others, changed)))

    def restore(self, plane: EbpfPlane) -> None:
        """Take the change back."""
        plane.update(self._table)


class Peers:
    """As many peers, in UDP, all with one far end."""

    def __init__(self, count: int) -> None:
        self._count = count

    def destination(self, entry: int, number: int) -> int:
        """The address of a peer: there is but one."""
        return prefix(entry) | 1

    def load(self, plane: EbpfPlane, table: TunnelTable, far_end: IPv4Address) -> None:
        """Fill the peer table."""
        everything = IPv6Network("::/0")
        table = replace(
            table,
            forwarding=(ForwardingRule(everything, PEERS, "peers"),),
            ingress=(IngressRule(everything, (ANYBODY,), "anybody"),),
            encapsulation=replace(table.encapsulation, port=_PORT),
        )
        plane.update(table)
        peer = Endpoint(far_end, _PORT)
        plane.change_peers(
            INTERFACE, {IPv6Address(prefix(number) | 1): peer for number in range(self._count)}
        )
        self._last = IPv6Address(prefix(self._count - 1) | 1)
        self._peer = peer

    def change(self, plane: EbpfPlane) -> None:
        """Change one entry."""
        plane.change_peers(INTERFACE, {self._last: replace(self._peer, port=_PORT + 1)})

    def restore(self, plane: EbpfPlane) -> None:
        """Take the change back."""
        plane.change_peers(INTERFACE, {self._last: self._peer})


KINDS: Mapping[str, Callable[[int], Rules | Peers]] = {"rules": Rules, "peers": Peers}
"""What fills a table with so many entries."""


class LoadedHost:
    """A tunnel interface with a table of some kind and size.

    Args:
        plane: that carries it.
        address: of this host.
        far_end: the other host's.
    """

    def __init__(self, plane: EbpfPlane, address: str, far_end: str) -> None:
        self._plane = plane
        self._far_end = IPv4Address(far_end)
        endpoints = frozenset({IPv4Address(address)})
        self._table = TunnelTable(
            INTERFACE,
            encapsulation=Encapsulation(dynamic_mtu=True, default_source=IPv4Address(address)),
            local_endpoints=endpoints,
            host_endpoints=endpoints,
        )

    async def start(self) -> None:
        """Have programs, and a table without entries."""
        tun = open_tun(INTERFACE)
        write_sysctl(f"net/ipv6/conf/{INTERFACE}/addr_gen_mode", "1")
        self._plane.add(tun, self._table, lambda _control: None)
        await self._plane.settle_tunnel(INTERFACE)
        await self._plane.settle_uplinks(find_uplinks([UPLINK]))

    def load(self, kind: str, count: int) -> dict[str, float]:
        """Load a table and say what it took.

        Returns:
            seconds to ``load`` it and to ``change`` one entry of it then; octets an entry, of the
            ``kernel`` and of this ``process``.
        """
        filling = KINDS[kind](count)
        kernel, process = self._kernel_octets(), _process_octets()
        began = time.perf_counter()
        filling.load(self._plane, self._table, self._far_end)
        loaded = time.perf_counter()
        octets = (
            (self._kernel_octets() - kernel) / count,
            (_process_octets() - process) / count,
        )
        changing = time.perf_counter()
        filling.change(self._plane)
        changed = time.perf_counter()
        filling.restore(self._plane)
        return {
            "load": loaded - began,
            "change": changed - changing,
            "kernel": octets[0],
            "process": octets[1],
        }

    def received(self) -> int:
        """Packets that have come in through the tunnel."""
        counters = self._plane._programs.maps["tunnel_counters"]
        values = counters.per_cpu(layout.index_key(socket.if_nametoindex(INTERFACE)))
        return sum(layout.COUNTERS.unpack(value)[0] for value in values)

    def _kernel_octets(self) -> int:
        """Memory of the maps."""
        total = 0
        for one in self._plane._programs.maps.values():
            for line in Path(f"/proc/self/fdinfo/{one.descriptor}").read_text().splitlines():
                name, _colon, value = line.partition(":")
                total += int(value) if name == "memlock" else 0
        return total


def _process_octets() -> int:
    """Memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def main(address: str, far_end: str) -> None:
    """Do what standard input says."""
    loop = asyncio.get_running_loop()
    async with Netlink() as netlink:
        places = ProgramPlaces(netlink.traffic_control)
        plane = EbpfPlane(loop, Underlay(), time.monotonic, load_programs(), places)
        host = LoadedHost(plane, address, far_end)
        await host.start()
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            method, *arguments = json.loads(line)
            answer: Any = getattr(host, method)(*arguments)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

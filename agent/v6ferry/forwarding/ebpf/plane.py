# SPDX-License-Identifier: GPL-3.0-or-later
"""The eBPF plane: programs in the kernel, and the userspace plane for what they leave to it.

The programs keep running when this process ends, with the tables as they are, until the next
agent puts its own in their place or the tunnel is removed.
"""

from __future__ import annotations

import logging
import os
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from ipaddress import IPv4Address
from pathlib import Path

from v6ferry.forwarding.counters import Counters
from v6ferry.forwarding.ebpf import layout
from v6ferry.forwarding.ebpf.inquiry import ask_programs
from v6ferry.forwarding.ebpf.layout import HandUp
from v6ferry.forwarding.ebpf.tables import (
    Identifiers,
    MapEntries,
    TunnelEntries,
    candidate_entries,
    tunnel_entries,
)
from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.forwarding.tunnel import Control, PeerChanges, Tunnel
from v6ferry.forwarding.userspace import UserspacePlane
from v6ferry.system.bpf import BpfMap, BpfObject
from v6ferry.system.errors import SystemFault
from v6ferry.system.program_places import ProgramPlaces
from v6ferry.system.sockets import Underlay
from v6ferry.system.state import UnderlayRoute
from v6ferry.system.sysctl import read_sysctl, write_sysctl
from v6ferry.system.traffic_control import Direction
from v6ferry.system.tun import Tun
from v6ferry.system.uplinks import KERNEL_DRIVER, Uplink

# What refers to something comes after it when it is added, and before it when it goes.
_ORDER = (
    "members",
    "endpoints",
    "near_sources",
    "near_destinations",
    "forwarding",
    "ingress",
    "tunnels",
    "answers",
)

_UNKNOWN_HEADER = (
    "the programs do not know the link-layer header of this kind of interface"
    " (ARPHRD type {uplink.kind} of linux/if_arp.h)"
)

_log = logging.getLogger(__name__)


def load_programs() -> BpfObject:
    """Load the BPF object that the package carries.

    Raises:
        SystemFault: why the kernel or libbpf will not have it.
    """
    image = resources.files(__package__).joinpath("tunnel.bpf.o").read_bytes()
    return BpfObject(image, layout.MAPS, layout.PROGRAMS)


class EbpfPlane(UserspacePlane):
    """Executes the tables of any number of tunnel interfaces in the kernel.

    Args:
        loop: the event loop whose readers call the userspace plane.
        underlay: the raw sockets.
        clock: seconds, monotonic.
        programs: from ``load_programs``.
        places: attaches them.
        kernel_driver: what is there while the kernel's own driver of protocol 41 is loaded.
    """

    name = "eBPF"
    link_layer_length = 0
    """Octets before the IPv6 header in a tunnel interface; a test run of a program has some."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        underlay: Underlay,
        clock: Callable[[], float],
        programs: BpfObject,
        places: ProgramPlaces,
        *,
        kernel_driver: Path = KERNEL_DRIVER,
    ) -> None:
        super().__init__(loop, underlay, clock, places)
        self._programs = programs
        self._kernel_driver = kernel_driver
        self._identifiers = Identifiers(int.from_bytes(os.urandom(4), "big"))
        self._entries: dict[str, TunnelEntries] = {}
        self._candidate_entries: MapEntries = {}
        self._port_words: MapEntries = {}
        self._on_tunnels: dict[str, int] = {}
        self._uplinks: set[int] = set()
        now = programs.maps["common"].value(layout.index_key(0))
        self._generation = layout.generation_of(now) if now else 0
        programs.maps["tunnel_counters"].set_per_cpu(
            layout.index_key(layout.UNCLAIMED), bytes(layout.COUNTERS.size)
        )

    def add(self, tun: Tun, table: TunnelTable, control: Control) -> None:
        """Carry packets of ``tun`` as ``table`` says; ``control`` hears what is handed up."""
        super().add(tun, table, control)
        counters = self._programs.maps["tunnel_counters"]
        counters.set_per_cpu(layout.index_key(tun.index), bytes(layout.COUNTERS.size))
        if tun.index < layout.FEW:
            self._programs.maps["few_traffic"].set_per_cpu(
                layout.index_key(tun.index), bytes(layout.TRAFFIC.size)
            )
        self._write(self._tunnels[tun.name])
        self._write_candidates()

    def update(self, table: TunnelTable) -> None:
        """Replace the table of ``table.interface``; counters go on."""
        super().update(table)
        self._write(self._tunnels[table.interface])
        self._write_candidates()

    def _table_changed(self, tunnel: Tunnel) -> None:
        self._write(tunnel)

    def change_peers(self, interface: str, changes: PeerChanges) -> None:
        """Change the peer table of a tunnel."""
        super().change_peers(interface, changes)
        index, peers = self._tunnels[interface].tun.index, self._programs.maps["peers"]
        for address, endpoint in changes.items():
            key = layout.peer_key(index, address)
            if endpoint is None:
                peers.delete([key])
            else:
                peers.update([(key, layout.endpoint(endpoint))])
        self._decide_anew()

    def remove(self, interface: str) -> None:
        """Carry no more packets of ``interface`` from here; the kernel goes on with its own."""
        super().remove(interface)
        self._on_tunnels.pop(interface, None)

    def forget(self, interface: str) -> None:
        """Carry no more packets of ``interface`` at all: it is about to be removed."""
        tunnel = self._tunnels.get(interface)
        super().forget(interface)
        entries = self._entries.pop(interface, None)
        if tunnel is None or entries is None:
            return
        self._write_candidates()
        maps = self._programs.maps
        maps["peers"].delete(layout.peer_key(tunnel.tun.index, one) for one in tunnel.peers)
        for name in reversed(_ORDER):
            maps[name].delete(entries.maps[name])
        self._decide_anew()
        self._forget_counters(entries.rules.values())
        maps["tunnel_counters"].delete([layout.index_key(tunnel.tun.index)])
        self._identifiers.release(interface, entries.rules)

    def counters(self, interface: str) -> Counters:
        """What ``interface`` has carried and dropped, in the kernel and here."""
        total = Counters()
        total.add(super().counters(interface))
        entries = self._entries[interface]
        key = layout.index_key(self._tunnels[interface].tun.index)
        self._count(total, key)
        for rule, identifier in entries.rules.items():
            values = self._rule_counters(identifier).per_cpu(layout.index_key(identifier))
            packets = sum(layout.RULE_COUNTER.unpack(value)[0] for value in values)
            if packets:
                total.rules[rule] += packets
        return total

    def all_unclaimed(self) -> Counters:
        """What no tunnel has accepted, and what was handed up before one was looked for."""
        total = Counters()
        total.add(self.unclaimed)
        self._count(total, layout.index_key(layout.UNCLAIMED))
        return total

    def _count(self, total: Counters, key: bytes) -> None:
        """Add what the programs have counted under a key of ``tunnel_counters``."""
        maps = self._programs.maps
        traffic = [layout.TRAFFIC.unpack(value) for value in maps["few_traffic"].per_cpu(key)]
        for value in maps["tunnel_counters"].per_cpu(key):
            numbers = layout.COUNTERS.unpack(value)
            traffic.append(numbers[: layout.FIRST_DROP])
            drops, handed_up = numbers[layout.FIRST_DROP :], numbers[layout.FIRST_HAND_UP :]
            for reason, number in zip(layout.DROP_REASONS, drops, strict=False):
                if number:
                    total.drop(reason, number)
            for why, number in zip(HandUp, handed_up, strict=False):
                if number:
                    total.handed_up[why.name.lower()] += number
        for packets_in, bytes_in, packets_out, bytes_out in traffic:
            total.packets_in += packets_in
            total.bytes_in += bytes_in
            total.packets_out += packets_out
            total.bytes_out += bytes_out

    # The programs' places

    def carrier(self, interface: str) -> str:
        """Return the name of the plane that carries the packets of ``interface``."""
        fast = interface in self._on_tunnels and interface not in self.faults
        return self.name if fast else super().carrier(interface)

    def way_of_programs(
        self, interface: str, endpoint: Endpoint, source: IPv4Address | None, tos: int
    ) -> UnderlayRoute | None:
        """Return by which way the programs would send to ``endpoint`` out of ``interface``."""
        if self.carrier(interface) != self.name:
            return None
        tunnel = self._tunnels[interface]
        port = endpoint.local_port or tunnel.table.encapsulation.port
        return ask_programs(self._programs, tunnel.tun.index, tos, endpoint, source, port)

    async def settle_tunnel(self, interface: str) -> None:
        """Have the program on a tunnel interface, so that it encapsulates.

        Where it cannot be, the userspace plane does its work; ``faults`` says why.
        """
        tun = self._tunnels[interface].tun
        try:
            # The kernel's routing is asked as if for packets that come in here.
            key = f"net/ipv4/conf/{interface}/forwarding"
            if read_sysctl(key) != "1":
                write_sysctl(key, "1")
            await self._attach(tun.index, interface, Direction.EGRESS, "encapsulate")
            if self._on_tunnels.get(interface) != tun.index:
                tun.take_super_packets(True)
                self._on_tunnels[interface] = tun.index
        except (SystemFault, OSError) as error:
            self._note_fault(interface, str(error))
        else:
            self._note_fault(interface, None)

    async def settle_uplinks(self, uplinks: Mapping[int, Uplink]) -> None:
        """Have the program on every way to the underlay, and nowhere else, so that it decapsulates.

        Where it cannot be, the userspace plane does its work; ``faults`` says why.

        Args:
            uplinks: the interfaces that lead to the underlay, by index.
        """
        known, few = (self._programs.maps[name] for name in ("uplinks", "few_uplinks"))
        for index, uplink in uplinks.items():
            if uplink.link_layer_length is None:
                self._note_fault(uplink.name, _UNKNOWN_HEADER.format(uplink=uplink))
                continue
            length = uplink.link_layer_length
            known.update([(layout.index_key(index), layout.index_key(length))])
            if index < layout.FEW:
                few.update([(layout.index_key(index), layout.index_key(length + 1))])
            try:
                await self._attach(index, uplink.name, Direction.INGRESS, "decapsulate")
                await self._look_before(index, uplink.name)
            except SystemFault as fault:
                self._note_fault(uplink.name, str(fault))
            else:
                self._note_fault(uplink.name, None)
        for index, name in socket.if_nameindex():
            if index not in uplinks:
                await self._places.detach(index, Direction.INGRESS)
                if name not in self._tunnels:
                    for told in (self.faults, self.before_ours, self.hooks):
                        told.pop(name, None)
        # One that was removed or renamed goes without nothing any more.
        names = {name for _index, name in socket.if_nameindex()}
        for told in (self.faults, self.before_ours, self.hooks):
            for name in told.keys() - names:
                del told[name]
        gone = self._uplinks - uplinks.keys()
        known.delete(map(layout.index_key, gone))
        few.update((layout.index_key(one), bytes(4)) for one in gone if one < layout.FEW)
        self._uplinks = set(uplinks)

    async def _attach(self, index: int, name: str, direction: Direction, program: str) -> None:
        self.hooks[name] = await self._places.attach(
            index, direction, self._programs.programs[program], program
        )

    async def _look_before(self, index: int, name: str) -> None:
        before = await self._places.before_ours(index, Direction.INGRESS)
        if before:
            self.before_ours[name] = ", ".join(before)
        else:
            self.before_ours.pop(name, None)

    def _note_fault(self, interface: str, fault: str | None) -> None:
        if fault is None:
            self.faults.pop(interface, None)
            return
        if self.faults.get(interface) != fault:
            _log.warning("%s goes without the fast path: %s", interface, fault)
        self.faults[interface] = fault

    # The maps

    def _write(self, tunnel: Tunnel) -> None:
        """Bring the maps to what a tunnel's table says.

        New entries are added before old ones go, so every packet finds either the old rule or the
        new one.
        """
        interface, maps = tunnel.table.interface, self._programs.maps
        entries = tunnel_entries(
            tunnel.table,
            tunnel.tun.index,
            self._identifiers,
            watched=tunnel.soft_errors,
            hand_up_refused=self._kernel_driver.exists() or tunnel.table.on_demand,
        )
        before = self._entries.get(interface) or TunnelEntries({}, {name: {} for name in _ORDER})
        for rule in entries.rules.keys() - before.rules.keys():
            identifier = entries.rules[rule]
            self._rule_counters(identifier).set_per_cpu(
                layout.index_key(identifier), bytes(layout.RULE_COUNTER.size)
            )
        for name in _ORDER:
            maps[name].update(entries.maps[name].items() - before.maps[name].items())
        for name in reversed(_ORDER):
            maps[name].delete(before.maps[name].keys() - entries.maps[name].keys())
        self._decide_anew()
        gone = before.rules.keys() - entries.rules.keys()
        self._forget_counters(before.rules[rule] for rule in gone)
        self._identifiers.release(interface, gone)
        self._entries[interface] = entries

    def _rule_counters(self, identifier: int) -> BpfMap:
        name = "few_rule_counters" if identifier < layout.FEW else "rule_counters"
        return self._programs.maps[name]

    def _forget_counters(self, identifiers: Iterable[int]) -> None:
        """Remove counters of rules, but for those that always are."""
        self._programs.maps["rule_counters"].delete(
            layout.index_key(one) for one in identifiers if one >= layout.FEW
        )

    def _write_candidates(self) -> None:
        indexes = {name: tunnel.tun.index for name, tunnel in self._tunnels.items()}
        entries = candidate_entries(self._acceptance.candidates, indexes)
        before, self._candidate_entries = self._candidate_entries, entries
        one = self._programs.maps["candidates"]
        one.update(entries.items() - before.items())
        one.delete(before.keys() - entries.keys())
        self._write_ports()
        self._decide_anew()

    def _write_ports(self) -> None:
        words = layout.port_words(
            port for _there, _here, port in self._acceptance.candidates if port
        )
        gone = self._port_words.keys() - words.keys()
        self._programs.maps["ports"].update(
            [*words.items(), *((key, layout.NO_PORTS) for key in gone)]
        )
        self._port_words = words

    def _decide_anew(self) -> None:
        """Make the programs forget what they remember of the tables."""
        self._generation = self._generation + 1 & 0xFFFFFFFF
        common = layout.common(self._generation, self.link_layer_length)
        self._programs.maps["common"].update([(layout.index_key(0), common)])

    # ICMPv4 errors whose quotation was too short

    def _expect(self, tunnel: Tunnel, endpoint: IPv4Address) -> None:
        super()._expect(tunnel, endpoint)
        self._write(tunnel)

    def _expect_no_more(self, tunnel: Tunnel, endpoint: IPv4Address) -> None:
        super()._expect_no_more(tunnel, endpoint)
        self._write(tunnel)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Both planes side by side: what one does with a packet, the other must do too.

The kernel runs the programs on each packet (BPF_PROG_TEST_RUN); what they hand up goes to the
eBPF plane's own slow path. A userspace plane with the same tables gets every packet. What comes
out must be the same to the last bit, and so must all counters in the end.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from v6ferry.forwarding.ebpf.plane import EbpfPlane, load_programs
from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.forwarding.userspace import UserspacePlane
from v6ferry.system.sockets import Underlay
from v6ferry.wire.checksum import internet_checksum
from v6ferry.wire.ipv4 import PROTOCOL_UDP
from v6ferry.wire.udp import UDP_HEADER_LENGTH

from tests.lab.agent_system.namespaces import ip, run

OURS = IPv4Address("192.168.47.99")
SECOND = IPv4Address("203.0.113.9")
ETHERNET = 14
REDIRECT, SHOT, GOES_ON = 7, 2, -1
_SKB = struct.Struct("=40xI")  # struct __sk_buff up to ifindex


class NoLoop:
    """The planes read nothing by themselves here."""

    def add_reader(self, *_arguments: object) -> None:
        """Ignore it."""

    def remove_reader(self, *_arguments: object) -> None:
        """Ignore it."""


@dataclass
class RecordingTun:
    """Takes what a plane delivers."""

    name: str
    index: int
    written: list[bytes] = field(default_factory=list)
    descriptor: int = -1

    def write(self, *pieces: bytes, offload: object = None) -> None:
        """Record a packet."""
        self.written.append(b"".join(pieces))


class EbpfPlaneUnderTest(EbpfPlane):
    """Test runs have an Ethernet header everywhere."""

    link_layer_length = ETHERNET


class Bench:
    """Both planes, in a namespace with an uplink and a way to see what leaves by it.

    Args:
        ours: the IPv4 addresses of the uplink, with the lengths of their subnets.
    """

    def __init__(self, ours: Iterable[str] = (f"{OURS}/24", f"{SECOND}/32")) -> None:
        ip("link add up0 type veth peer name up1")
        run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
        for name in ("up0", "up1"):
            ip(f"link set {name} up")
        for address in ours:
            ip(f"addr add {address} dev up0")
        for neighbor in ("192.168.47.100", "192.168.47.1"):
            ip(f"neigh add {neighbor} lladdr 02:00:00:00:00:01 dev up0 nud permanent")
        gateway = "via 192.168.47.1 dev up0 onlink"
        ip(f"route add default {gateway}")
        ip(f"route add 198.51.100.0/24 {gateway} mtu lock 1400")
        ip(f"route add 192.0.2.0/24 {gateway} mtu lock 1290")
        ip("route add unreachable 203.0.113.66")
        self.names = ["tun0", "tun1", "tun2"]
        for name in self.names:
            ip(f"tuntap add {name} mode tun")
            ip(f"link set {name} up")
            run(f"sysctl -qw net.ipv4.conf.{name}.forwarding=1")
        self.uplink = socket.if_nametoindex("up0")
        link = ip("-o link show up0").split("link/ether ")[1].split()[0]
        self.ethernet = bytes.fromhex(link.replace(":", "")) + bytes(6)
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.wire.bind(("up1", 0x0800))
        self.wire.setblocking(False)
        self.underlay = Underlay()
        self.programs = load_programs()
        self.programs.maps["uplinks"].update(
            [(struct.pack("=I", self.uplink), struct.pack("=I", ETHERNET))]
        )

    def sent(self) -> list[bytes]:
        """What has left by the uplink since the last time, identification and checksum aside."""
        found = []
        while True:
            try:
                packet = bytearray(self.wire.recv(65535))
            except BlockingIOError:
                return found
            found.append(masked(packet))

    def close(self) -> None:
        """Let go of what the namespace does not end."""
        self.wire.close()
        self.underlay.close()
        self.programs.close()


def masked(packet: bytes | bytearray) -> bytes:
    """An IPv4 packet without what no two senders have in common."""
    assert internet_checksum(packet[: (packet[0] & 15) * 4]) == 0
    return bytes(packet[:4]) + bytes(2) + bytes(packet[6:10]) + bytes(2) + bytes(packet[12:])


class Agreement:
    """One set of tables, on both planes."""

    def __init__(
        self,
        bench: Bench,
        made: list[TunnelTable],
        peers: Mapping[str, Mapping[IPv6Address, Endpoint]] | None = None,
    ) -> None:
        self.bench = bench
        arguments: Any = (NoLoop(), bench.underlay, lambda: 1000.0)
        self.fast = EbpfPlaneUnderTest(
            *arguments,
            bench.programs,
            None,
            kernel_driver=Path("/nonexistent"),  # type: ignore[arg-type]
        )
        self.reference = UserspacePlane(*arguments, None)  # type: ignore[arg-type]
        self.controls: list[tuple[str, Any]] = []
        self.verdicts: Counter[str] = Counter()
        for table in made:
            self.add(table, (peers or {}).get(table.interface, {}))

    def add(self, table: TunnelTable, peers: Mapping[IPv6Address, Endpoint] | None = None) -> None:
        """Add a tunnel."""
        index = socket.if_nametoindex(table.interface)
        for which, plane in (("fast", self.fast), ("reference", self.reference)):
            tun: Any = RecordingTun(table.interface, index)
            plane.add(tun, table, lambda control, w=which: self.controls.append((w, control)))
            plane.change_peers(table.interface, peers or {})

    def forget(self, interface: str) -> None:
        """Remove a tunnel."""
        self.fast.forget(interface)
        self.reference.forget(interface)

    def compare_counters(self) -> None:
        """Fail if the planes have counted differently."""
        for interface in list(self.fast.tables()):
            ours, theirs = (
                plane.counters(interface).as_dict() for plane in (self.fast, self.reference)
            )
            ours.pop("handed_up"), theirs.pop("handed_up")
            assert ours == theirs, f"{interface}\n eBPF      {ours}\n userspace {theirs}"
        ours, theirs = self.fast.unclaimed.drops, self.reference.unclaimed.drops
        assert ours == theirs, f"unclaimed\n eBPF      {ours}\n userspace {theirs}"

    def end(self) -> None:
        """Leave the maps empty."""
        for interface in list(self.fast.tables()):
            self.fast.forget(interface)

    def transmit(self, interface: str, packet: bytes) -> None:
        """Compare what becomes of a packet that was routed into a tunnel interface."""
        bench, fast, reference = self.bench, self.fast, self.reference
        slow, other = fast._tunnels[interface], reference._tunnels[interface]
        done = bench.programs.test_run(
            "encapsulate", bytes(12) + b"\x86\xdd" + packet, _SKB.pack(slow.tun.index)
        )
        if done.verdict == REDIRECT:
            ours = [masked(done.packet[2 * ETHERNET :])]
        elif done.verdict == GOES_ON:
            assert done.packet[ETHERNET:] == packet
            fast._transmit_packet(slow, packet)
            ours = bench.sent()
        else:
            ours = []
        reference._transmit_packet(other, packet)
        self.compare(packet, done.verdict, ours, bench.sent())
        self.compare(packet, done.verdict, written(slow), written(other))

    def receive(self, packet: bytes) -> None:
        """Compare what becomes of a packet from the underlay."""
        bench, fast, reference = self.bench, self.fast, self.reference
        done = bench.programs.test_run(
            "decapsulate", bench.ethernet + b"\x08\x00" + packet, _SKB.pack(bench.uplink)
        )
        if done.verdict == GOES_ON:
            assert done.packet[ETHERNET:] == packet
            receive_slowly(fast, packet)
            ours = [one for tunnel in fast._tunnels.values() for one in written(tunnel)]
        else:
            ours = [done.packet[ETHERNET:]] if done.verdict == REDIRECT else []
        receive_slowly(reference, packet)
        theirs = [one for tunnel in reference._tunnels.values() for one in written(tunnel)]
        self.compare(packet, done.verdict, ours, theirs)
        controls = dict(self.controls)
        self.controls.clear()
        self.compare(packet, done.verdict, controls.get("fast"), controls.get("reference"))

    def compare(self, packet: bytes, verdict: int, ours: object, theirs: object) -> None:
        """Fail with both results if they differ."""
        self.verdicts[str(verdict)] += 1
        assert ours == theirs, (
            f"packet {packet.hex()}\n eBPF ({verdict}) {ours!r}\n userspace {theirs!r}"
        )


def written(tunnel: Any) -> list[bytes]:
    """What was delivered through a tunnel interface since the last time."""
    found = list(tunnel.tun.written)
    tunnel.tun.written.clear()
    return found


def receive_slowly(plane: UserspacePlane, packet: bytes) -> None:
    """Give a plane's slow path what one of its sockets would get, if any does."""
    if packet[9] == PROTOCOL_UDP:
        start = (packet[0] & 15) * 4
        ports, payload = packet[start : start + 4], packet[start + UDP_HEADER_LENGTH :]
        if int.from_bytes(ports[2:], "big") in plane._underlay.udp:
            plane._receive_inner(payload, packet[12:20] + ports, packet[1])
    else:
        plane._buffer[: len(packet)] = packet
        plane._receive_packet(len(packet))
    plane._delivery.flush()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The userspace plane: TUN devices and raw sockets, a packet at a time.

It works wherever /dev/net/tun does, and it is what other planes are compared with. Decisions come
from ``decide`` once a pair of addresses and are remembered until the tables change; the loops
below only execute them.
"""

from __future__ import annotations

import errno
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from v6ferry.forwarding import icmp_errors
from v6ferry.forwarding.candidates import Ends, candidates
from v6ferry.forwarding.counters import Counters, DropReason
from v6ferry.forwarding.decide import (
    Accept,
    decide_decapsulation,
)
from v6ferry.forwarding.delivery import Delivery
from v6ferry.forwarding.ecn import DECAPSULATED, DROP
from v6ferry.forwarding.offload import finished
from v6ferry.forwarding.path import Path, find_path
from v6ferry.forwarding.table import TunnelTable
from v6ferry.system.sockets import Underlay, ancillary, path_mtu
from v6ferry.system.traffic_control import Direction, TrafficControl
from v6ferry.system.tun import Tun
from v6ferry.system.uplinks import Uplink
from v6ferry.wire.icmpv4 import Icmpv4Error
from v6ferry.wire.ipv4 import IPV4_MAXIMUM_LENGTH
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.parser import WireError

PACKETS_A_WAKEUP = 64
"""Read so many packets before other work gets its turn."""

_REMEMBERED_FLOWS = 65536
_SOFT_ERROR_LIFETIME = 5.0
_REMEMBERED_SOFT_ERRORS = 1024
_NO_ENDPOINT = frozenset(
    {
        DropReason.DESTINATION_NOT_EMBEDDED,
        DropReason.ENDPOINT_NOT_UNICAST,
        DropReason.REFUSED_BY_RULE,
    }
)
"""The destination resolves to no link address: its sender is told (RFC 4443 section 3.1)."""


@dataclass(frozen=True, slots=True)
class ReceivedControl:
    """A neighbor discovery packet that passed the ingress table and is for the engine."""

    packet: bytes
    outer_source: IPv4Address
    outer_destination: IPv4Address


class Tunnel:
    """A TUN device, its table and its counters."""

    def __init__(self, tun: Tun, table: TunnelTable, control: Callable[[ReceivedControl], None]):
        self.tun = tun
        self.table = table
        self.control = control
        self.counters = Counters()
        self.paths: dict[bytes, Path] = {}
        self.soft_errors: dict[IPv4Address, float] = {}


class UserspacePlane:
    """Executes the tables of any number of tunnel interfaces.

    Args:
        loop: the event loop whose readers call the plane.
        underlay: the raw sockets.
        clock: seconds, monotonic.
        traffic_control: where programs of an earlier agent may still be.
    """

    name = "userspace"

    def __init__(
        self,
        loop: AbstractEventLoop,
        underlay: Underlay,
        clock: Callable[[], float],
        traffic_control: TrafficControl,
    ) -> None:
        self._loop = loop
        self._underlay = underlay
        self._clock = clock
        self._traffic_control = traffic_control
        self._tunnels: dict[str, Tunnel] = {}
        self._candidates: dict[Ends, tuple[str, ...]] = {}
        self._accepted: dict[bytes, tuple[Tunnel, Accept]] = {}
        self._buffer = bytearray(IPV4_MAXIMUM_LENGTH)
        self._view = memoryview(self._buffer)
        self._delivery = Delivery()
        self._limiter = icmp_errors.ErrorLimiter()
        self.unclaimed = Counters()
        """Drops of packets that no tunnel's table accepts."""
        self.faults: dict[str, str] = {}
        """Why an interface has to do without the fast path of this plane."""
        self.before_ours: dict[str, str] = {}
        """Filters of others that see packets of an interface before this plane's programs."""
        self.why = ""
        """Why it is this plane that runs, where another one would be faster."""
        self.was_asked_for = False
        """Whether that is what the user wants."""

    def start(self) -> None:
        """Receive from the underlay; what has waited there finds the tunnels that were added."""
        self._loop.add_reader(self._underlay.protocol41, self._receive)
        self._loop.add_reader(self._underlay.icmp, self._receive_icmp)

    def close(self) -> None:
        """Stop; TUN devices and sockets stay open, they belong to the caller."""
        self._loop.remove_reader(self._underlay.protocol41)
        self._loop.remove_reader(self._underlay.icmp)
        for interface in list(self._tunnels):
            self.remove(interface)

    def add(self, tun: Tun, table: TunnelTable, control: Callable[[ReceivedControl], None]) -> None:
        """Carry packets of ``tun`` as ``table`` says; ``control`` hears what is handed up."""
        tunnel = self._tunnels[tun.name] = Tunnel(tun, table, control)
        self._tables_changed()
        self._loop.add_reader(tun.descriptor, self._transmit, tunnel)

    def update(self, table: TunnelTable) -> None:
        """Replace the table of ``table.interface``; counters go on."""
        tunnel = self._tunnels[table.interface]
        tunnel.table = table
        tunnel.paths.clear()
        self._tables_changed()

    def remove(self, interface: str) -> None:
        """Carry no more packets of ``interface`` from here, where another agent may go on."""
        tunnel = self._tunnels.pop(interface, None)
        if tunnel is not None:
            self._loop.remove_reader(tunnel.tun.descriptor)
            self._tables_changed()

    def forget(self, interface: str) -> None:
        """Carry no more packets of ``interface`` at all: it is about to be removed."""
        self.remove(interface)

    def _tables_changed(self) -> None:
        self._accepted.clear()
        self._candidates = candidates(self.tables())

    async def settle_tunnel(self, interface: str) -> None:
        """Have the programs of this plane on a tunnel interface, and no others of ours.

        What cannot be is in ``faults`` afterwards.
        """
        tun = self._tunnels[interface].tun
        await self._traffic_control.detach(tun.index, Direction.EGRESS)
        tun.take_super_packets(False)

    async def settle_uplinks(self, uplinks: Mapping[int, Uplink]) -> None:
        """Have the programs of this plane on the ways to the underlay, and none elsewhere.

        What cannot be is in ``faults`` afterwards.
        """
        for index, _name in socket.if_nameindex():
            await self._traffic_control.detach(index, Direction.INGRESS)

    def counters(self, interface: str) -> Counters:
        """What ``interface`` has carried and dropped."""
        return self._tunnels[interface].counters

    def all_unclaimed(self) -> Counters:
        """What no tunnel has accepted."""
        return self.unclaimed

    def carrier(self, interface: str) -> str:
        """Return the name of the plane that carries the packets of ``interface``."""
        return UserspacePlane.name

    def tables(self) -> Mapping[str, TunnelTable]:
        """The tables in force, by interface."""
        return {name: tunnel.table for name, tunnel in self._tunnels.items()}

    def send_control(
        self, interface: str, packet: bytes, endpoint: IPv4Address, source: IPv4Address | None
    ) -> None:
        """Send an engine's own packet to ``endpoint``, past the forwarding table."""
        tunnel = self._tunnels[interface]
        encapsulation = tunnel.table.encapsulation
        try:
            self._underlay.send(
                packet, ancillary(source, encapsulation.ttl, 0), (str(endpoint), 0), False
            )
        except OSError:
            tunnel.counters.drop(DropReason.SEND_REFUSED)
            return
        tunnel.counters.packets_out += 1
        tunnel.counters.bytes_out += len(packet)

    # From the TUN device to the underlay

    def _transmit(self, tunnel: Tunnel) -> None:
        read = tunnel.tun.read
        for _turn in range(PACKETS_A_WAKEUP):
            try:
                packet, offload = read()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.EBADFD, errno.EIO, errno.EBADF):
                    raise
                # The device was removed behind our back; the reconciler will make it again.
                self._loop.remove_reader(tunnel.tun.descriptor)
                return
            if offload is None:
                self._transmit_packet(tunnel, packet)
                continue
            for one in finished(packet, offload):
                self._transmit_packet(tunnel, one)

    def _transmit_packet(self, tunnel: Tunnel, packet: bytes) -> None:
        length = len(packet)
        if length < IPV6_HEADER_LENGTH or packet[0] >> 4 != 6:
            tunnel.counters.drop(DropReason.INNER_NOT_IPV6)
            return
        flow = packet[8:40]
        path = tunnel.paths.get(flow)
        if path is None or path.expires < self._clock():
            path = self._remember(tunnel, flow)
        counters = tunnel.counters
        if path.drop is not None:
            counters.drop(path.drop)
            if path.drop is DropReason.NO_RULE:
                self._answer(tunnel, icmp_errors.no_route(tunnel.table, packet))
            elif path.drop in _NO_ENDPOINT:
                self._answer(tunnel, icmp_errors.address_unreachable(tunnel.table, packet))
            return
        if length > path.mtu:
            counters.drop(DropReason.TOO_BIG)
            self._answer(tunnel, icmp_errors.packet_too_big(tunnel.table, packet, path.mtu))
            return
        if tunnel.soft_errors:
            self._answer_soft_error(tunnel, path, packet)
        traffic_class = (packet[0] & 0x0F) << 4 | packet[1] >> 4
        messages = path.messages(traffic_class)
        try:
            self._underlay.send(packet, messages, path.address, path.dont_fragment)
        except OSError as error:
            self._send_failed(tunnel, flow, packet, error)
            return
        counters.packets_out += 1
        counters.bytes_out += length
        if path.rule is not None:
            counters.rules[path.rule] += 1

    def _remember(self, tunnel: Tunnel, flow: bytes) -> Path:
        """Decide for a pair of addresses and remember it."""
        if len(tunnel.paths) >= _REMEMBERED_FLOWS:
            tunnel.paths.clear()
        source, destination = IPv6Address(flow[:16]), IPv6Address(flow[16:])
        path = tunnel.paths[flow] = find_path(tunnel.table, source, destination, self._clock())
        return path

    def _send_failed(self, tunnel: Tunnel, flow: bytes, packet: bytes, error: OSError) -> None:
        # Whatever was remembered may be why: decide again with the next packet.
        path = tunnel.paths.pop(flow, None)
        if error.errno == errno.EMSGSIZE and path is not None and path.endpoint is not None:
            tunnel.counters.drop(DropReason.TOO_BIG)
            mtu = icmp_errors.tunnel_path_mtu(path_mtu(path.endpoint, path.source) or 0)
            self._answer(tunnel, icmp_errors.packet_too_big(tunnel.table, packet, mtu))
            return
        tunnel.counters.drop(DropReason.SEND_REFUSED)
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            self._answer(tunnel, icmp_errors.no_route(tunnel.table, packet))

    def _answer(self, tunnel: Tunnel, reply: bytes | None) -> None:
        """Give an ICMPv6 error to the kernel, which routes it to the sender of the inner packet."""
        if reply is None or not self._limiter.allows(self._clock()):
            return
        try:
            tunnel.tun.write(reply)
        except OSError:
            tunnel.counters.drop(DropReason.TUNNEL_DOWN)
            return
        tunnel.counters.icmp_errors_out += 1

    def _answer_soft_error(self, tunnel: Tunnel, path: Path, packet: bytes) -> None:
        """Report what an ICMPv4 error with too short a quotation could not (section 3.4)."""
        if path.endpoint is None:
            return
        until = tunnel.soft_errors.get(path.endpoint)
        if until is not None:
            self._expect_no_more(tunnel, path.endpoint)
        if until is not None and until >= self._clock():
            self._answer(tunnel, icmp_errors.address_unreachable(tunnel.table, packet))

    def _expect(self, tunnel: Tunnel, endpoint: IPv4Address) -> None:
        """Answer the next packet to ``endpoint`` with an error."""
        if len(tunnel.soft_errors) >= _REMEMBERED_SOFT_ERRORS:
            tunnel.soft_errors.clear()
        tunnel.soft_errors[endpoint] = self._clock() + _SOFT_ERROR_LIFETIME

    def _expect_no_more(self, tunnel: Tunnel, endpoint: IPv4Address) -> None:
        del tunnel.soft_errors[endpoint]

    # From the underlay to the TUN device

    def _receive(self) -> None:
        receive_into, buffer = self._underlay.protocol41.recv_into, self._buffer
        for _turn in range(PACKETS_A_WAKEUP):
            try:
                length = receive_into(buffer)
            except BlockingIOError:
                break
            except OSError:
                # A queued error of an earlier send; the ICMP socket tells what it was.
                continue
            self._receive_packet(length)
        self._delivery.flush()

    def _receive_packet(self, length: int) -> None:
        """Check and deliver the outer packet in the first ``length`` bytes of the buffer."""
        data = bytes(self._view[:length])
        packet = data[(data[0] & 0x0F) * 4 :]
        if len(packet) < IPV6_HEADER_LENGTH:
            self.unclaimed.drop(DropReason.INNER_TRUNCATED)
            return
        if packet[0] >> 4 != 6:
            self.unclaimed.drop(DropReason.INNER_NOT_IPV6)
            return
        end = IPV6_HEADER_LENGTH + (packet[4] << 8 | packet[5])
        if end != len(packet):
            if end > len(packet):
                self.unclaimed.drop(DropReason.INNER_TRUNCATED)
                return
            packet = packet[:end]
        flow = data[12:20] + packet[8:40]
        remembered = self._accepted.get(flow)
        if remembered is None:
            remembered = self._choose_tunnel(flow)
            if remembered is None:
                return
        tunnel, accept = remembered
        counters = tunnel.counters
        ecn = packet[1] >> 4 & 3
        combined = DECAPSULATED[ecn][data[1] & 3]
        if combined != ecn:
            if combined == DROP:
                counters.drop(DropReason.ECN)
                return
            packet = b"".join((packet[:1], bytes((packet[1] & 0xCF | combined << 4,)), packet[2:]))
        if packet[6] == socket.IPPROTO_ICMPV6:
            kind = neighbor_discovery_type(packet)
            if kind is not None and kind in tunnel.table.handed_up:
                counters.packets_in += 1
                counters.bytes_in += end
                self._delivery.flush()
                tunnel.control(
                    ReceivedControl(packet, IPv4Address(flow[0:4]), IPv4Address(flow[4:8]))
                )
                return
        if accept.control_only:
            counters.drop(DropReason.INNER_DESTINATION)
            return
        self._delivery.add(tunnel.tun, counters, accept, packet)

    def _choose_tunnel(self, flow: bytes) -> tuple[Tunnel, Accept] | None:
        """The first tunnel whose table accepts the packet; a refusal is counted and forgotten.

        Refusals are not remembered: a sender who forges sources must not fill our memory.
        """
        outer_source, outer_destination = IPv4Address(flow[0:4]), IPv4Address(flow[4:8])
        source, destination = IPv6Address(flow[8:24]), IPv6Address(flow[24:40])
        refused: tuple[Tunnel, DropReason] | None = None
        names = self._candidates.get((outer_destination, outer_source))
        if names is None:
            names = self._candidates.get((outer_destination, None), ())
        for tunnel in map(self._tunnels.__getitem__, names):
            decision = decide_decapsulation(
                tunnel.table, outer_source, outer_destination, source, destination
            )
            if isinstance(decision, Accept):
                if len(self._accepted) >= _REMEMBERED_FLOWS:
                    self._accepted.clear()
                self._accepted[flow] = (tunnel, decision)
                return tunnel, decision
            # The first one that refuses it knows best why.
            refused = refused or (tunnel, decision.reason)
        if refused is None:
            self.unclaimed.drop(DropReason.NO_TUNNEL)
        else:
            refused[0].counters.drop(refused[1])
        return None

    # ICMPv4 errors about what was sent

    def _receive_icmp(self) -> None:
        for _turn in range(PACKETS_A_WAKEUP):
            try:
                data = self._underlay.icmp.recv(IPV4_MAXIMUM_LENGTH)
            except BlockingIOError:
                return
            except OSError:
                continue
            self._receive_icmp_error(data)

    def _receive_icmp_error(self, data: bytes) -> None:
        try:
            error = Icmpv4Error.parse(data)
            outer = error.quoted_header
        except WireError:
            return  # every ICMP error of the host comes by, malformed ones are none of ours
        if outer.protocol != socket.IPPROTO_IPV6:
            return
        for tunnel in self._tunnels.values():
            try:
                mtu = path_mtu(outer.destination, outer.source)
                translation = icmp_errors.translate(tunnel.table, error, mtu)
            except WireError:
                continue
            tunnel.counters.icmp_errors_in += 1
            if translation.ignored:
                return
            tunnel.paths.clear()
            if translation.reply is not None:
                self._answer(tunnel, translation.reply)
            elif not translation.fragmentation_needed:
                self._expect(tunnel, translation.endpoint)
            return

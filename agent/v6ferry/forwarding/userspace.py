# SPDX-License-Identifier: GPL-3.0-or-later
"""The userspace plane: TUN devices and sockets of the underlay, a packet at a time.

It works wherever /dev/net/tun does, and it is what other planes are compared with. Decisions come
from ``decide`` once a pair of addresses and are remembered until the tables change; the loops
below only execute them.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

from v6ferry.forwarding import icmp_errors
from v6ferry.forwarding.acceptance import Acceptance
from v6ferry.forwarding.answers import Answers
from v6ferry.forwarding.counters import Counters, DropReason
from v6ferry.forwarding.decide import PeerTable
from v6ferry.forwarding.delivery import Delivery
from v6ferry.forwarding.ecn import DECAPSULATED, DROP
from v6ferry.forwarding.offload import finished
from v6ferry.forwarding.on_demand import OnDemand
from v6ferry.forwarding.path import Path, find_path
from v6ferry.forwarding.ports import Ports
from v6ferry.forwarding.sharing import Parts
from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.forwarding.tunnel import Control, PeerChanges, ReceivedControl, Tunnel, Unresolved
from v6ferry.system.program_places import ProgramPlaces
from v6ferry.system.sockets import OuterSocket, Underlay, path_mtu, receive_udp
from v6ferry.system.state import UnderlayRoute
from v6ferry.system.traffic_control import Direction
from v6ferry.system.tun import Tun
from v6ferry.system.uplinks import Uplink
from v6ferry.wire.icmpv4 import Icmpv4Error
from v6ferry.wire.ipv4 import IPV4_MAXIMUM_LENGTH, PROTOCOL_IPV6, PROTOCOL_UDP
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.parser import WireError

PACKETS_A_WAKEUP = 64
"""Read so many packets before other work gets its turn."""

_REMEMBERED_FLOWS, _REMEMBERED_SOFT_ERRORS = 65536, 1024
_SOFT_ERROR_LIFETIME = 5.0


class UserspacePlane:
    """Executes the tables of any number of tunnel interfaces.

    Args:
        loop: the event loop whose readers call the plane.
        underlay: the sockets.
        clock: seconds, monotonic.
        places: where programs of an earlier agent may still be.
    """

    name = "userspace"

    def __init__(
        self,
        loop: AbstractEventLoop,
        underlay: Underlay,
        clock: Callable[[], float],
        places: ProgramPlaces,
    ) -> None:
        self._loop = loop
        self._underlay = underlay
        self._clock = clock
        self._places = places
        self._tunnels: dict[str, Tunnel] = {}
        self._buffer = bytearray(IPV4_MAXIMUM_LENGTH)
        self._view = memoryview(self._buffer)
        self._delivery = Delivery()
        self.unclaimed = Counters()
        """Drops of packets that no tunnel's table accepts."""
        self._acceptance = Acceptance(self._tunnels, self.unclaimed)
        self._parts = Parts()
        self._ports = Ports(loop, underlay, self._tunnels, self._receive_udp)
        self._on_demand = OnDemand(self._tunnels, self._acceptance)
        self._answers = Answers(self._tunnels, clock, secrets.randbits(64))
        self.faults: dict[str, str] = {}
        """Why an interface has to do without the fast path of this plane."""
        self.before_ours: dict[str, str] = {}
        """Programs of others that see packets of an interface before this plane's programs."""
        self.hooks: dict[str, str] = {}
        """Where this plane's programs are on an interface: TCX or clsact of program_places.py."""
        self.why = ""
        """Why this plane runs, where another one would be faster."""
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

    def add(self, tun: Tun, table: TunnelTable, control: Control) -> None:
        """Carry packets of ``tun`` as ``table`` says; ``control`` hears what is handed up.

        Raises:
            SystemFault: another program has the UDP port.
        """
        outer = self._ports.open(table.encapsulation.port)
        tunnel = self._tunnels[tun.name] = Tunnel(tun, table, outer, control)
        self._ports.open_more(tunnel)
        self._parts.add(tunnel.part)
        self._share(tunnel)
        self._renew(tun.name)
        self._loop.add_reader(tun.descriptor, self._transmit, tunnel)

    def update(self, table: TunnelTable) -> None:
        """Replace the table of ``table.interface``; counters and peers stay.

        Raises:
            SystemFault: another program has the UDP port.
        """
        tunnel = self._tunnels[table.interface]
        before, tunnel.outer = tunnel.table, self._ports.open(table.encapsulation.port)
        self._parts.discard(tunnel.part)
        tunnel.ask(table)
        self._parts.add(tunnel.part)
        self._ports.open_more(tunnel)
        self._ports.release(before.encapsulation.ports)
        tunnel.paths.clear()
        self._share(tunnel)
        self._renew(table.interface)

    def change_peers(self, interface: str, changes: PeerChanges) -> None:
        """Change the peer table of a tunnel."""
        tunnel = self._tunnels[interface]
        for address in changes:
            tunnel.peers.pop(address, None)
        tunnel.peers.update({one: there for one, there in changes.items() if there is not None})
        tunnel.paths.clear()
        self._acceptance.peers_changed()

    def remove(self, interface: str) -> None:
        """Carry no more packets of ``interface`` from here, where another agent may go on."""
        tunnel = self._tunnels.pop(interface, None)
        if tunnel is not None:
            self._loop.remove_reader(tunnel.tun.descriptor)
            self._ports.release(tunnel.table.encapsulation.ports)
            self._renew(interface)
            self._parts.discard(tunnel.part)

    def forget(self, interface: str) -> None:
        """Carry no more packets of ``interface`` at all: it is about to be removed."""
        self.remove(interface)
        self._share()

    def _renew(self, interface: str) -> None:
        self._acceptance.table_changed(interface)
        self._on_demand.tables_changed()
        self._answers.tables_changed()

    def _share(self, changed: Tunnel | None = None) -> None:
        """Have every tunnel refuse what any of them would bring back (RFC 6324 section 3.3).

        That of ``changed`` is put in force by the caller.
        """
        is_another = self._parts.settle()
        if changed is not None:
            changed.share(self._parts.shared)
        for tunnel in self._tunnels.values() if is_another else ():
            if tunnel.share(self._parts.shared):
                self._table_changed(tunnel)

    def _table_changed(self, tunnel: Tunnel) -> None:
        """The table that is in force for a tunnel is another one, though nobody asked for it."""

    async def settle_tunnel(self, interface: str) -> None:
        """Have the programs of this plane on a tunnel interface, and no others of ours.

        What cannot be is in ``faults`` afterwards.
        """
        tun = self._tunnels[interface].tun
        await self._places.detach(tun.index, Direction.EGRESS)
        tun.take_super_packets(False)

    async def settle_uplinks(self, uplinks: Mapping[int, Uplink]) -> None:
        """Have the programs of this plane on the ways to the underlay; see ``settle_tunnel``."""
        for index, _name in socket.if_nameindex():
            await self._places.detach(index, Direction.INGRESS)

    def counters(self, interface: str) -> Counters:
        """What ``interface`` has carried and dropped."""
        return self._tunnels[interface].counters

    def all_unclaimed(self) -> Counters:
        """What no tunnel has accepted."""
        return self.unclaimed

    def carrier(self, interface: str) -> str:
        """Return the name of the plane that carries the packets of ``interface``."""
        return UserspacePlane.name

    def way_of_programs(
        self, interface: str, endpoint: Endpoint, source: IPv4Address | None, tos: int
    ) -> UnderlayRoute | None:
        """Return by which way programs would send; None if they do not, but the agent itself."""
        return None

    def peers(self, interface: str) -> PeerTable:
        """The peer table of a tunnel."""
        return self._tunnels[interface].peers

    def tables(self) -> Mapping[str, TunnelTable]:
        """The tables in force, by interface."""
        return {name: tunnel.table for name, tunnel in self._tunnels.items()}

    def tunnel(self, interface: str) -> Tunnel:
        """The tunnel of ``interface``, for what its engine sends and delivers past the table."""
        return self._tunnels[interface]

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
            if path.drop is DropReason.NO_PEER and tunnel.table.on_demand:
                tunnel.control(Unresolved(packet))
                return
            counters.drop(path.drop)
            if path.drop is DropReason.NO_RULE:
                tunnel.answer(icmp_errors.no_route(tunnel.table, packet), self._clock())
            elif path.drop in icmp_errors.NO_ENDPOINT:
                tunnel.answer(icmp_errors.address_unreachable(tunnel.table, packet), self._clock())
            return
        if length > path.mtu:
            counters.drop(DropReason.TOO_BIG)
            tunnel.answer(icmp_errors.packet_too_big(tunnel.table, packet, path.mtu), self._clock())
            return
        if tunnel.soft_errors:
            self._answer_soft_error(tunnel, path, packet)
        traffic_class = (packet[0] & 0x0F) << 4 | packet[1] >> 4
        messages = path.messages(traffic_class)
        outer = tunnel.outer_at(path.local_port) or tunnel.outer
        try:
            outer.send(packet, messages, path.address, path.dont_fragment)
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
        ends = IPv6Address(flow[:16]), IPv6Address(flow[16:])
        path = tunnel.paths[flow] = find_path(tunnel.table, *ends, tunnel.peers, self._clock())
        return path

    def _send_failed(self, tunnel: Tunnel, flow: bytes, packet: bytes, error: OSError) -> None:
        # Whatever was remembered may be why: decide again with the next packet.
        path = tunnel.paths.pop(flow, None)
        if error.errno == errno.EMSGSIZE and path is not None and path.endpoint is not None:
            tunnel.counters.drop(DropReason.TOO_BIG)
            underlay_mtu = path_mtu(path.endpoint, path.source) or 0
            mtu = icmp_errors.tunnel_path_mtu(underlay_mtu, path.encapsulation.overhead)
            tunnel.answer(icmp_errors.packet_too_big(tunnel.table, packet, mtu), self._clock())
            return
        tunnel.counters.drop(DropReason.SEND_REFUSED)
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            tunnel.answer(icmp_errors.no_route(tunnel.table, packet), self._clock())

    def _answer_soft_error(self, tunnel: Tunnel, path: Path, packet: bytes) -> None:
        """Report what an ICMPv4 error with too short a quotation could not (section 3.4)."""
        if path.endpoint is None:
            return
        until = tunnel.soft_errors.get(path.endpoint)
        if until is not None:
            self._expect_no_more(tunnel, path.endpoint)
        if until is not None and until >= self._clock():
            tunnel.answer(icmp_errors.address_unreachable(tunnel.table, packet), self._clock())

    def _expect(self, tunnel: Tunnel, endpoint: IPv4Address) -> None:
        """Answer the next packet to ``endpoint`` with an error."""
        if len(tunnel.soft_errors) >= _REMEMBERED_SOFT_ERRORS:
            tunnel.soft_errors.clear()
        tunnel.soft_errors[endpoint] = self._clock() + _SOFT_ERROR_LIFETIME

    def _expect_no_more(self, tunnel: Tunnel, endpoint: IPv4Address) -> None:
        del tunnel.soft_errors[endpoint]

    # From the underlay to the TUN device

    def _receive(self) -> None:
        receive_into, buffer = self._underlay.protocol41.socket.recv_into, self._buffer
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
        self._receive_inner(data[(data[0] & 0x0F) * 4 :], data[12:20], data[1])

    def _receive_udp(self, outer: OuterSocket, port: int) -> None:
        for _turn in range(PACKETS_A_WAKEUP):
            try:
                one = receive_udp(outer)
            except BlockingIOError:
                break
            except OSError:
                continue
            if self._answers.take(outer, one, port) or self._on_demand.takes(one, port):
                continue
            ports = struct.pack("!HH", one.port, port)
            self._receive_inner(one.packet, one.source + one.destination + ports, one.tos)
        self._delivery.flush()

    def _receive_inner(self, packet: bytes, ends: bytes, tos: int) -> None:
        """Check and deliver a packet.

        Args:
            packet: what followed the outer headers.
            ends: outer source and destination; in UDP also the ports, theirs and ours.
            tos: the second octet of the outer header.
        """
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
        accepted = self._acceptance.tunnel_for(ends, packet)
        if accepted is None:
            return
        tunnel, accept = accepted
        counters = tunnel.counters
        ecn = packet[1] >> 4 & 3
        combined = DECAPSULATED[ecn][tos & 3]
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
                    ReceivedControl(packet, IPv4Address(ends[0:4]), IPv4Address(ends[4:8]))
                )
                return
        if accept.control_only:
            counters.drop(DropReason.INNER_DESTINATION)
            return
        self._delivery.add(tunnel.tun, counters, accept, packet)

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
        if outer.protocol not in (PROTOCOL_IPV6, PROTOCOL_UDP):
            return
        for tunnel in self._tunnels.values():
            try:
                mtu = path_mtu(outer.destination, outer.source)
                translation = icmp_errors.translate(tunnel.table, error, mtu, tunnel.peers)
            except WireError:
                continue
            tunnel.counters.icmp_errors_in += 1
            if translation.ignored:
                return
            tunnel.paths.clear()
            if translation.reply is not None:
                tunnel.answer(translation.reply, self._clock())
            elif not translation.fragmentation_needed:
                self._expect(tunnel, translation.endpoint)
            return

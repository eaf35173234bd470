# SPDX-License-Identifier: GPL-3.0-or-later
"""Large packets of TCP segments: made here, and met where the kernel made them.

What the kernel does for each packet that it is given, acknowledging included, costs more than what
the userspace plane does. So segments that follow each other both on the wire and in their
connection go to the kernel as one; if it forwards them, it splits them again, equal to the last
bit. The rules are those of the kernel's own receive offload (``net/ipv4/tcp_offload.c``); TCP is
that of RFC 9293 section 3.1.

That receive offload looks into protocol 41 packets too, and raw sockets get what it made of them:
packets larger than any link would carry, their checksum left for a network card to finish.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from v6ferry.system.tun import Offload
from v6ferry.wire.checksum import (
    internet_checksum,
    pseudo_header_sum,
    tcp_checksums_are_right,
)
from v6ferry.wire.ipv6 import (
    IPV6_HEADER_LENGTH,
    IPV6_MINIMUM_MTU,
    NEXT_HEADER_TCP,
    NEXT_HEADER_UDP,
)

# Version, traffic class and flow label, payload length, next header, hop limit, addresses and
# ports, sequence number, acknowledgment number, data offset, flags, window, checksum, urgent
# pointer.
_HEADERS = struct.Struct("!4s2xBB36sI4sBB2s2x2s")
_LONGEST_PACKET = IPV6_HEADER_LENGTH + 65535
_ACK, _PSH, _FIN, _CWR = 0x10, 0x08, 0x01, 0x80

# Where, behind the IPv6 header, the checksum is (RFC 9293 section 3.1, RFC 768).
_CHECKSUM_OFFSETS = {NEXT_HEADER_TCP: 16, NEXT_HEADER_UDP: 6}


class _Segment(NamedTuple):
    """A segment that carries and acknowledges data, and does nothing else."""

    header_length: int
    """Octets of the IPv6 and TCP headers."""
    size: int
    """Octets of data."""
    sequence_number: int
    pushed: bool
    identity: tuple[bytes | int, ...]
    """All that neighbours have in common."""


class Segments:
    """A packet, and the segments of the same TCP connection that followed it.

    All segments are of one length; only the last may be shorter. Where the packet is not a TCP
    segment that carries data and nothing else, nothing follows it.

    Args:
        packet: an IPv6 packet, as long as its header says.
    """

    __slots__ = ("_complete", "_next", "_segment", "length", "packets")

    def __init__(self, packet: bytes) -> None:
        self.packets = [packet]
        """The packets as they came."""
        self.length = len(packet)
        """Octets of the large packet."""
        self._segment = segment = _segment(packet)
        if segment is not None:
            self._next = segment.sequence_number + segment.size & 0xFFFFFFFF
            self._complete = segment.pushed

    def take(self, packet: bytes) -> bool:
        """Append ``packet`` if it is the next segment; return whether it was."""
        first = self._segment
        if first is None or self._complete:
            return False
        segment = _segment(packet)
        if (
            segment is None
            or segment.sequence_number != self._next
            or segment.identity != first.identity
            or segment.size > first.size
            or self.length + segment.size > _LONGEST_PACKET
        ):
            return False
        self.packets.append(packet)
        self.length += segment.size
        self._next = self._next + segment.size & 0xFFFFFFFF
        self._complete = segment.pushed or segment.size < first.size
        return True

    @property
    def octets(self) -> int:
        """Octets of all packets, each with its headers."""
        return sum(map(len, self.packets))

    def joined(self) -> tuple[list[bytes], Offload] | None:
        """The large packet, and what the kernel has to do with it.

        It comes in pieces: its headers with the first data, then the data that followed. Its TCP
        checksum covers the pseudo-header alone; the kernel adds the rest. So there is no large
        packet, but None, if a segment's own checksum is wrong: whoever receives that segment shall
        see it. None too if there is but one packet.
        """
        packets, segment = self.packets, self._segment
        if segment is None or len(packets) == 1 or not tcp_checksums_are_right(packets):
            return None
        first, length = packets[0], self.length - IPV6_HEADER_LENGTH
        headers = b"".join(
            (
                first[:4],
                length.to_bytes(2, "big"),
                first[6:53],
                packets[-1][53:54],
                first[54:56],
                pseudo_header_sum(first[8:40], length, NEXT_HEADER_TCP).to_bytes(2, "big"),
                first[58:],
            )
        )
        start = segment.header_length
        pieces = [headers, *[packet[start:] for packet in packets[1:]]]
        return pieces, Offload(_CHECKSUM_OFFSETS[NEXT_HEADER_TCP], start, segment.size)


def finished(packet: bytes, offload: Offload) -> list[bytes]:
    """Do what a kernel has left to a network card: split a packet, finish its checksum.

    The segments are those of the kernel's own ``tcp_gso_segment``.

    Args:
        packet: an IPv6 packet, as long as its header says.
        offload: what is left to do.

    Returns:
        The packets as they would be on a wire.
    """
    start, size = offload.start, offload.segment_size
    if not size or len(packet) < start + 20:
        return [_with_checksum(packet, offload)]
    header_length = start + (packet[start + 12] >> 4) * 4
    headers, data = packet[:header_length], packet[header_length:]
    number = int.from_bytes(headers[start + 4 : start + 8], "big")
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    made: list[bytes] = []
    for position, piece in enumerate(pieces):
        flags = headers[start + 13]
        if position:
            flags &= ~_CWR
        if position < len(pieces) - 1:
            flags &= ~(_FIN | _PSH)
        segment = bytearray(headers + piece)
        segment[4:6] = (len(segment) - IPV6_HEADER_LENGTH).to_bytes(2, "big")
        segment[start + 4 : start + 8] = (number + position * size & 0xFFFFFFFF).to_bytes(4, "big")
        segment[start + 13] = flags
        total = pseudo_header_sum(packet[8:40], len(segment) - start, NEXT_HEADER_TCP)
        segment[start + 16 : start + 18] = total.to_bytes(2, "big")
        made.append(_with_checksum(bytes(segment), offload))
    return made


def _with_checksum(packet: bytes, offload: Offload) -> bytes:
    """Finish the checksum of a packet, which is so far the sum of the pseudo-header."""
    at = offload.start + offload.checksum_offset
    checksum = internet_checksum(packet[offload.start :])
    # RFC 8200 section 8.1: UDP sends the sum 0 as 0xffff; for others the two mean the same.
    return packet[:at] + (checksum or 0xFFFF).to_bytes(2, "big") + packet[at + 2 :]


def unfinished(packet: bytes) -> Offload | None:
    """Return what a kernel has left undone of a packet that never saw a wire as it is.

    Its checksum is the sum of its pseudo-header. If it is larger than every link must carry, it is
    taken for TCP segments that the kernel put together, whose size nobody knows any more. It is
    split into ones that need no Packet Too Big anywhere, for the sender might be unable to help:
    what it sent may well have been small enough.

    Args:
        packet: an IPv6 packet, as long as its header says.

    Returns:
        None if nothing is left to do, as for everything that came over a wire, or if that is not
        known: for what is neither TCP nor UDP, and behind extension headers.
    """
    offset = _CHECKSUM_OFFSETS.get(packet[6])
    if offset is None:
        return None
    at, length = IPV6_HEADER_LENGTH + offset, len(packet) - IPV6_HEADER_LENGTH
    total = pseudo_header_sum(packet[8:40], length, packet[6])
    if packet[at : at + 2] != total.to_bytes(2, "big"):
        return None
    if packet[6] == NEXT_HEADER_TCP and len(packet) > IPV6_MINIMUM_MTU:
        header_length = IPV6_HEADER_LENGTH + (packet[52] >> 4) * 4
        return Offload(offset, header_length, IPV6_MINIMUM_MTU - header_length)
    return Offload(offset)


def _segment(packet: bytes) -> _Segment | None:
    """Read a packet; None if it is not a TCP segment that carries data and nothing else."""
    if len(packet) < _HEADERS.size or packet[6] != NEXT_HEADER_TCP:
        return None
    start, _tcp, hops, ends, number, acknowledgment, offset, flags, window, urgent = (
        _HEADERS.unpack_from(packet)
    )
    header_length = IPV6_HEADER_LENGTH + (offset >> 4) * 4
    size = len(packet) - header_length
    if flags & ~_PSH != _ACK or header_length < _HEADERS.size or size <= 0:
        return None
    options = packet[_HEADERS.size : header_length]
    return _Segment(
        header_length,
        size,
        number,
        flags & _PSH != 0,
        (start, hops, ends, acknowledgment, offset, window, urgent, options),
    )

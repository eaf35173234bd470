# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packets go to the kernel as one, and which come from it unfinished."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Packet, Raw
from v6ferry.forwarding.offload import Segments, unfinished
from v6ferry.system.tun import Offload
from v6ferry.wire.checksum import pseudo_header_sum, tcp_checksums_are_right

A, B = "2001:db8:0:7:0:5efe:c0a8:2f63", "2001:db8:0:7:200:5efe:836b:47d1"
TIMESTAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (7, 8))]


def segment(sequence: int = 1000, data: bytes = b"x" * 100, **fields: object) -> Packet:
    """A segment of a connection; names of fields that IPv6 and TCP have in common are TCP's."""
    ipv6 = {name: fields.pop(name) for name in ("src", "tc", "fl", "hlim") if name in fields}
    tcp = {"sport": 50000, "dport": 5201, "flags": "A", "ack": 7, "window": 64} | fields
    header = IPv6(**({"src": A, "dst": B} | ipv6))
    return header / TCP(seq=sequence % 2**32, **tcp) / Raw(data)


def gathered(*packets: Packet) -> Segments:
    """As many of the packets as follow each other, from the first on."""
    first, *others = map(bytes, packets)
    segments = Segments(first)
    for packet in others:
        if not segments.take(packet):
            break
    return segments


def finished(pieces: list[bytes]) -> bytes:
    """The large packet with the checksum that scapy computes."""
    packet = IPv6(b"".join(pieces))
    del packet[TCP].chksum
    return bytes(packet)


@given(
    start=st.integers(0, 2**32 - 1),
    size=st.integers(1, 1400),
    segments=st.integers(2, 40),
    last=st.integers(1, 1400),
    options=st.sampled_from([[], TIMESTAMPS]),
)
def test_segments_of_a_stream_make_one_packet_of_the_same_data(
    start: int, size: int, segments: int, last: int, options: list[object]
) -> None:
    lengths = [size] * (segments - 1) + [min(last, size)]
    data = bytes(index % 251 for index in range(sum(lengths)))
    starts = [sum(lengths[:index]) for index in range(segments)]
    packets = [
        segment(start + begin, data[begin : begin + length], options=options)
        for begin, length in zip(starts, lengths, strict=True)
    ]
    stream = gathered(*packets)
    assert stream.packets == [bytes(one) for one in packets]
    assert stream.octets == sum(len(one) for one in packets)
    joined = stream.joined()
    assert joined is not None
    pieces, offload = joined
    assert offload == Offload(16, 60 + 12 * bool(options), size)
    whole = finished(pieces)
    assert whole == bytes(segment(start, data, options=options))
    assert len(whole) == stream.length
    assert unfinished(b"".join(pieces)) is not None


@pytest.mark.parametrize(
    "second",
    [
        segment(1101),
        segment(1099),
        segment(1000),
        segment(1100, sport=50001),
        segment(1100, dport=5202),
        segment(1100, src="2001:db8::1"),
        segment(1100, ack=8),
        segment(1100, window=65),
        segment(1100, urgptr=1),
        segment(1100, reserved=1),
        segment(1100, options=TIMESTAMPS),
        segment(1100, tc=3),
        segment(1100, fl=9),
        segment(1100, hlim=63),
        segment(1100, b"x" * 101),
        segment(1100, b""),
        *[segment(1100, flags=flags) for flags in ("FA", "S", "RA", "UA", "EA", "CA", "")],
    ],
    ids=lambda packet: packet.summary(),
)
def test_what_differs_in_more_than_its_place_is_no_neighbour(second: Packet) -> None:
    assert len(gathered(segment(), second).packets) == 1


@pytest.mark.parametrize("flags", ["FA", "S", "RA", "UA", "EA", "CA", ""])
def test_nothing_follows_a_segment_that_does_more_than_carry_data(flags: str) -> None:
    assert len(gathered(segment(flags=flags), segment(1100, flags=flags)).packets) == 1


def test_nothing_follows_a_pushed_or_a_shorter_segment() -> None:
    pushed = gathered(segment(), segment(1100, flags="PA"), segment(1200))
    shorter = gathered(segment(), segment(1100, b"y"), segment(1101, b"y"))
    assert [len(one.packets) for one in (pushed, shorter)] == [2, 2]
    joined = pushed.joined()
    assert joined is not None
    assert IPv6(b"".join(joined[0]))[TCP].flags == "PA"


def test_large_packet_has_a_length_that_its_header_can_tell() -> None:
    packets = [segment(1000 * index, b"z" * 1000) for index in range(80)]
    stream = gathered(*packets)
    assert len(stream.packets) == 65
    assert stream.length == 40 + 20 + 65000


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_wrong_checksum_is_left_to_whoever_receives_it(wrong: int) -> None:
    packets = [segment(1000 + 100 * index) for index in range(3)]
    packets[wrong][TCP].chksum = 0x1234
    stream = gathered(*packets)
    assert len(stream.packets) == 3
    assert stream.joined() is None


def test_single_packet_is_not_touched() -> None:
    assert gathered(segment()).joined() is None


@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src=A, dst=B),
        IPv6(src=A, dst=B, nh=6) / Raw(b"short"),
        IPv6(src=A, dst=B, nh=17) / Raw(b"short"),
        IPv6(src=A, dst=B) / UDP() / Raw(b"x" * 40),
        IPv6(src=A, dst=B) / IPv6ExtHdrDestOpt() / TCP() / Raw(b"x"),
        segment(dataofs=4),
        segment(dataofs=15),
    ],
    ids=lambda packet: packet.summary(),
)
def test_what_is_no_tcp_segment_stays_alone(packet: Packet) -> None:
    data = bytes(packet)
    segments = Segments(data)
    assert not segments.take(data)
    assert segments.packets == [data]
    assert segments.joined() is None
    assert unfinished(data) is None


@given(st.binary(min_size=40, max_size=200), st.binary(min_size=40, max_size=200))
def test_any_octets_are_taken(first: bytes, second: bytes) -> None:
    segments = Segments(first)
    segments.take(second)
    segments.joined()
    unfinished(first)


def without_checksum(packet: Packet, protocol: type[Packet], number: int) -> bytes:
    """The packet as the kernel leaves it for a network card."""
    octets = bytes(packet)
    total = pseudo_header_sum(octets[8:40], len(octets) - 40, number)
    packet[protocol].chksum = total
    return bytes(packet)


@given(st.integers(0, 1220))
def test_kernel_is_told_to_finish_the_checksum_of_what_fits_any_link(size: int) -> None:
    tcp = without_checksum(segment(data=b"x" * size), TCP, 6)
    udp = without_checksum(IPv6(src=A, dst=B) / UDP() / Raw(b"x" * size), UDP, 17)
    assert unfinished(tcp) == Offload(16)
    assert unfinished(udp) == Offload(6)


@given(st.integers(1221, 65000), st.sampled_from([[], TIMESTAMPS]))
def test_what_the_kernel_put_together_is_split_to_fit_any_link_rfc8200_5(
    size: int, options: list[object]
) -> None:
    """RFC 8200 section 5: 1280 octets need no Packet Too Big anywhere."""
    offload = unfinished(without_checksum(segment(data=b"x" * size, options=options), TCP, 6))
    header_length = 60 + 12 * bool(options)
    assert offload == Offload(16, header_length, 1280 - header_length)


@given(st.binary(max_size=1500))
def test_what_came_over_a_wire_needs_nothing(data: bytes) -> None:
    packet = bytes(segment(data=data))
    # One in 65536 looks unfinished; then its checksum is computed anew, and is the same.
    assert unfinished(packet) is None or tcp_checksums_are_right([packet])
    assert unfinished(bytes(IPv6(src=A, dst=B) / UDP() / Raw(data[:1200]))) in (None, Offload(6))

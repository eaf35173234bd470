# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMPv6 error messages: RFC 4443."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6MLReport,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    in6_chksum,
)
from scapy.packet import Packet
from v6ferry.wire.icmpv6 import (
    Icmpv6Type,
    ParameterProblemCode,
    UnreachableCode,
    icmpv6_error,
    icmpv6_packet,
    icmpv6_type,
    is_icmpv6_error,
    may_answer_with_error,
)
from v6ferry.wire.parser import WireError

ROUTER = IPv6Address("fe80::5efe:10.0.0.1")
HOST_A = "2001:db8:0:7:0:5efe:c0a8:2f63"
HOST_C = "2001:db8:0:8::1"


def packet(upper: Packet, source: str = HOST_A, destination: str = HOST_C) -> bytes:
    return bytes(IPv6(src=source, dst=destination) / upper)


@pytest.mark.parametrize(
    ("kind", "code", "value", "layer"),
    [
        (
            Icmpv6Type.DESTINATION_UNREACHABLE,
            UnreachableCode.ADDRESS_UNREACHABLE,
            0,
            ICMPv6DestUnreach,
        ),
        (Icmpv6Type.PACKET_TOO_BIG, 0, 1280, ICMPv6PacketTooBig),
        (Icmpv6Type.TIME_EXCEEDED, 0, 0, ICMPv6TimeExceeded),
        (Icmpv6Type.PARAMETER_PROBLEM, 1, 6, ICMPv6ParamProblem),
    ],
)
def test_scapy_decodes_our_errors(
    kind: Icmpv6Type, code: int, value: int, layer: type[Packet]
) -> None:
    original = packet(UDP(dport=53) / b"question")
    error = IPv6(icmpv6_error(kind, code, value, ROUTER, original))
    assert IPv6Address(error.src) == ROUTER
    assert IPv6Address(error.dst) == IPv6Address(HOST_A)
    message = error[layer]
    assert message.code == code
    assert bytes(message.payload) == original
    assert in6_chksum(58, error, bytes(error.payload)) == 0
    assert int.from_bytes(bytes(message)[4:8], "big") == value


def test_an_error_quotes_what_fits_the_minimum_mtu_rfc4443_2_4() -> None:
    """RFC 4443 section 2.4 (c): as much of the packet as possible without exceeding 1280 bytes."""
    original = packet(UDP(dport=53) / bytes(1400))
    error = icmpv6_error(Icmpv6Type.PACKET_TOO_BIG, 0, 1280, ROUTER, original)
    assert len(error) == 1280
    assert error[48:] == original[:1232]


def test_an_error_can_be_sent_to_somebody_else() -> None:
    other = IPv6Address("2001:db8::99")
    original = packet(UDP())
    error = icmpv6_error(Icmpv6Type.TIME_EXCEEDED, 0, 0, ROUTER, original, destination=other)
    assert IPv6Address(error[24:40]) == other


@pytest.mark.parametrize(
    ("kind", "code", "value", "field"),
    [(128, 0, 0, "type"), (1, 256, 0, "code"), (2, 0, 1 << 32, "value32"), (2, 0, -1, "value32")],
)
def test_a_number_that_does_not_fit_is_refused(
    kind: int, code: int, value: int, field: str
) -> None:
    with pytest.raises(WireError) as caught:
        icmpv6_error(kind, code, value, ROUTER, packet(UDP()))
    assert caught.value.field == field


def test_what_is_no_ipv6_packet_cannot_be_answered() -> None:
    with pytest.raises(WireError):
        icmpv6_error(Icmpv6Type.TIME_EXCEEDED, 0, 0, ROUTER, b"\x45" + bytes(60))


TOO_BIG = ICMPv6PacketTooBig(mtu=1280)


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        (TOO_BIG, 2),
        (ICMPv6EchoRequest(), 128),
        (IPv6ExtHdrHopByHop() / TOO_BIG, 2),
        (IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TOO_BIG, 2),
        (IPv6ExtHdrFragment(offset=0, m=1) / TOO_BIG, 2),
        (IPv6ExtHdrFragment(offset=1, nh=58) / b"\x02\x00", None),
        (TCP(), None),
        (UDP() / bytes(TOO_BIG), None),
    ],
)
def test_the_type_is_found_behind_extension_headers(upper: Packet, expected: int | None) -> None:
    assert icmpv6_type(packet(upper)) == expected
    assert is_icmpv6_error(packet(upper)) is (expected is not None and expected < 128)


@pytest.mark.parametrize(
    "upper", [TOO_BIG, IPv6ExtHdrHopByHop() / ICMPv6DestUnreach(), ICMPv6ND_Redirect()]
)
def test_errors_and_redirects_are_never_answered_rfc4443_2_4(upper: Packet) -> None:
    """RFC 4443 section 2.4 (e.1), (e.2): no error about an error or a redirect."""
    assert not may_answer_with_error(packet(upper), Icmpv6Type.PACKET_TOO_BIG)


@pytest.mark.parametrize("source", ["::", "ff02::1"])
def test_no_error_to_what_is_not_one_node_rfc4443_2_4(source: str) -> None:
    """RFC 4443 section 2.4 (e.6): the source must identify a single node."""
    original = packet(UDP(), source=source)
    assert not may_answer_with_error(original, Icmpv6Type.DESTINATION_UNREACHABLE)


@pytest.mark.parametrize(
    ("kind", "code", "allowed"),
    [
        (Icmpv6Type.PACKET_TOO_BIG, 0, True),
        (Icmpv6Type.PARAMETER_PROBLEM, ParameterProblemCode.UNRECOGNIZED_OPTION, True),
        (Icmpv6Type.PARAMETER_PROBLEM, ParameterProblemCode.UNRECOGNIZED_NEXT_HEADER, False),
        (Icmpv6Type.DESTINATION_UNREACHABLE, 0, False),
        (Icmpv6Type.TIME_EXCEEDED, 0, False),
    ],
)
def test_multicast_is_answered_for_two_reasons_only_rfc4443_2_4(
    kind: int, code: int, allowed: bool
) -> None:
    """RFC 4443 section 2.4 (e.3): packets to a multicast address, and the two exceptions."""
    original = packet(ICMPv6MLReport(), destination="ff02::16")
    assert may_answer_with_error(original, kind, code) is allowed


def test_ordinary_packets_are_answered() -> None:
    assert may_answer_with_error(packet(TCP()), Icmpv6Type.TIME_EXCEEDED)
    assert may_answer_with_error(packet(ICMPv6EchoRequest()), Icmpv6Type.TIME_EXCEEDED)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.binary(min_size=4, max_size=100))
def test_checksums_agree_with_scapy(
    source: IPv6Address, destination: IPv6Address, message: bytes
) -> None:
    built = icmpv6_packet(source, destination, message, hop_limit=255)
    assert in6_chksum(58, IPv6(built), built[40:]) == 0
    assert built[40:42] == message[:2]
    assert built[44:] == message[4:]


extension_headers = st.sampled_from([0, 43, 44, 60, 58, 50, 59])


@given(extension_headers, st.binary(min_size=33, max_size=120))
def test_random_bytes_are_looked_at_without_an_error(next_header: int, data: bytes) -> None:
    original = b"\x60\0\0\0\0\0" + bytes((next_header,)) + data
    for looked_at in (original, data, b""):
        is_icmpv6_error(looked_at)
        may_answer_with_error(looked_at, Icmpv6Type.PACKET_TOO_BIG)
    assert len(icmpv6_error(Icmpv6Type.PACKET_TOO_BIG, 0, 1280, ROUTER, original)) <= 1280

# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo's encapsulations (RFC 4380 section 5.1.1) and trailers (RFC 6081 section 4)."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.wire.parser import WireError
from v6ferry.wire.teredo import (
    Authentication,
    DiscoveryType,
    Origin,
    TeredoDatagram,
    Trailers,
    authentication_value,
    bubble,
    is_authentic,
    is_bubble,
)

A = IPv6Address("2001:0:ce49:7601:e866:efff:62c3:fffe")
B = IPv6Address("2001:0:ce49:7601:2cad:dfff:7c94:fffe")
BUBBLE = bubble(A, B)

WINDOWS_SOLICITATIONS = [
    bytes.fromhex("00010000bb1b5fc51b66505700" + "6000000000083aff" + rest)
    for rest in (
        "fe800000000000000000fffffffffffeff02000000000000000000000000000285007d3800000000",
        "fe800000000000008000fffffffffffeff0200000000000000000000000000028500fd3700000000",
    )
]
"""As Windows sends them, without and with the cone bit (Get-NatType.psm1 of the PowerShell module
NetDebug 1.3)."""

nonces = st.binary(min_size=8, max_size=8)
words = st.integers(0, 0xFFFF)
origins = st.builds(Origin, st.ip_addresses(v=4), words)
authentications = st.builds(
    Authentication, nonces, st.integers(0, 255), st.binary(max_size=255), st.binary(max_size=255)
)
trailers = st.builds(
    Trailers,
    nonce=st.none() | st.integers(0, 0xFFFF_FFFF),
    alternate_addresses=st.lists(origins, max_size=4).map(tuple),
    discovery=st.none() | st.sampled_from(DiscoveryType),
    random_port=st.none() | words,
)
datagrams = st.builds(
    TeredoDatagram,
    packet=st.just(BUBBLE),
    origin=st.none() | origins,
    authentication=st.none() | authentications,
    trailers=trailers,
)


def test_bubble_is_an_ipv6_header_alone_rfc4380_2_8() -> None:
    assert len(BUBBLE) == 40
    assert (BUBBLE[4:6], BUBBLE[6]) == (b"\0\0", 59)
    assert (BUBBLE[8:24], BUBBLE[24:]) == (A.packed, B.packed)
    assert is_bubble(BUBBLE)
    assert not is_bubble(BUBBLE[:39])
    assert not is_bubble(BUBBLE[:6] + b"\x3a" + BUBBLE[7:])


@pytest.mark.parametrize("solicitation", WINDOWS_SOLICITATIONS, ids=["restricted", "cone"])
def test_solicitation_of_windows_is_read_rfc4380_5_1_1(solicitation: bytes) -> None:
    datagram = TeredoDatagram.parse(solicitation)
    assert datagram.authentication == Authentication(bytes.fromhex("bb1b5fc51b665057"))
    assert len(datagram.packet) == 48
    assert datagram.build() == solicitation


def test_origin_is_inverted_rfc4380_5_1_1() -> None:
    """Figure 27's client A, 157.60.0.1:4096, has the same bits in its address."""
    built = Origin(IPv4Address("157.60.0.1"), 4096).build()
    assert built == bytes.fromhex("0000 efff 62c3fffe")
    assert built[2:] == A.packed[10:]


def test_authentication_comes_first_and_has_its_fields_in_order_rfc4380_5_1_1() -> None:
    datagram = TeredoDatagram(
        BUBBLE,
        Origin(IPv4Address("131.107.0.1"), 8192),
        Authentication(b"12345678", 1, b"id", b"value"),
    )
    expected = bytes.fromhex("0001 02 05") + b"id" + b"value" + b"12345678" + b"\1"
    assert datagram.build() == expected + bytes.fromhex("0000 dfff 7c94fffe") + BUBBLE


def test_authentication_value_covers_nonce_confirmation_origin_and_packet_rfc4380_5_2_2() -> None:
    origin = Origin(IPv4Address("131.107.0.1"), 8192)
    covered = b"12345678" + b"\0" + origin.build() + BUBBLE
    value = hmac.new(b"secret", covered, hashlib.sha1).digest()
    assert authentication_value(b"secret", b"12345678", 0, origin, BUBBLE) == value
    signed = TeredoDatagram(BUBBLE, origin, Authentication(b"12345678", 0, b"id", value))
    assert is_authentic(b"secret", TeredoDatagram.parse(signed.build()))
    assert not is_authentic(b"another", signed)
    assert not is_authentic(b"secret", TeredoDatagram(BUBBLE, None, signed.authentication))
    assert not is_authentic(b"secret", TeredoDatagram(BUBBLE, origin))


@pytest.mark.parametrize(
    ("given_trailers", "built"),
    [
        (Trailers(nonce=0x01020304), "01 04 01020304"),  # RFC 6081 section 4.2
        (
            Trailers(alternate_addresses=(Origin(IPv4Address("10.0.0.1"), 4096),)),
            "03 08 0000 0a000001 1000",  # section 4.3
        ),
        (Trailers(discovery=DiscoveryType.SOLICITATION), "04 04 00000000"),  # section 4.4
        (Trailers(discovery=DiscoveryType.ADVERTISEMENT), "04 04 01000000"),
        (Trailers(random_port=40000), "05 02 9c40"),  # section 4.5
    ],
)
def test_trailers_rfc6081_4(given_trailers: Trailers, built: str) -> None:
    data = BUBBLE + bytes.fromhex(built)
    assert TeredoDatagram(BUBBLE, trailers=given_trailers).build() == data
    assert TeredoDatagram.parse(data).trailers == given_trailers


def test_unknown_trailer_is_skipped_or_has_the_packet_discarded_rfc6081_4_1() -> None:
    nonce = bytes.fromhex("01 04 01020304")
    for skipped in ("22 01 ff", "80 00", "c1 02 0000"):
        assert TeredoDatagram.parse(BUBBLE + bytes.fromhex(skipped) + nonce).trailers == Trailers(
            0x01020304
        )
    with pytest.raises(WireError, match="discarded"):
        TeredoDatagram.parse(BUBBLE + nonce + bytes.fromhex("40 00"))


@pytest.mark.parametrize(
    "odd", ["01", "01 04 0102", "01 02 0102", "04 04 07000000", "03 03 000001"]
)
def test_trailer_that_makes_no_sense_is_as_if_not_there(odd: str) -> None:
    parsed = TeredoDatagram.parse(BUBBLE + bytes.fromhex(odd))
    assert (parsed.packet, parsed.trailers) == (BUBBLE, Trailers())


@given(datagrams)
def test_what_is_built_is_read_again(datagram: TeredoDatagram) -> None:
    assert TeredoDatagram.parse(datagram.build()) == datagram


@given(st.binary() | st.builds(lambda one, cut: one.build()[:cut], datagrams, st.integers(0, 200)))
def test_any_bytes_are_read_or_raise_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert len(TeredoDatagram.parse(data).packet) >= 40
    is_bubble(data)


@pytest.mark.parametrize(
    ("datagram", "field"),
    [
        (TeredoDatagram(BUBBLE, Origin(IPv4Address(1), 65536)), "origin_port"),
        (TeredoDatagram(BUBBLE, None, Authentication(b"short")), "nonce"),
        (
            TeredoDatagram(BUBBLE, None, Authentication(bytes(8), 0, bytes(256))),
            "client_identifier_length",
        ),
        (TeredoDatagram(BUBBLE, trailers=Trailers(nonce=1 << 32)), "nonce"),
        (TeredoDatagram(BUBBLE, trailers=Trailers(random_port=-1)), "random_port"),
        (
            TeredoDatagram(
                BUBBLE, trailers=Trailers(alternate_addresses=(Origin(IPv4Address(1), 1),) * 5)
            ),
            "alternate_addresses",
        ),
    ],
)
def test_value_that_does_not_fit_is_refused(datagram: TeredoDatagram, field: str) -> None:
    with pytest.raises(WireError, match=field):
        datagram.build()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Neighbor Discovery messages there and back, and as scapy reads and writes them."""

import contextlib
from ipaddress import IPv6Address, IPv6Network
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLReport,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptRouteInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrHopByHop,
    in6_chksum,
)
from scapy.packet import Packet
from v6ferry.wire.icmpv6 import icmpv6_packet
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    DnsSearchList,
    NeighborAdvertisement,
    NeighborDiscoveryMessage,
    NeighborSolicitation,
    PrefixInformation,
    RecursiveDnsServer,
    Redirect,
    RouteInformation,
    RouterAdvertisement,
    RouterPreference,
    RouterSolicitation,
    decode,
    encode,
    encode_advertisements,
    neighbor_discovery_type,
)
from v6ferry.wire.parser import WireError

Element = TypeVar("Element")

HOST = IPv6Address("fe80::5efe:192.168.47.99")
ROUTER = IPv6Address("fe80::5efe:10.0.0.1")
SERVER = IPv6Address("2001:db8:0:8::53")

ADVERTISEMENT = RouterAdvertisement(
    current_hop_limit=64,
    other_configuration=True,
    preference=RouterPreference.HIGH,
    router_lifetime=1800,
    reachable_time=30000,
    retransmit_timer=1000,
    prefixes=(
        PrefixInformation(IPv6Network("2001:db8:0:7::/64")),
        PrefixInformation(IPv6Network("fd00:7::/64"), False, False, INFINITE_LIFETIME, 0),
    ),
    routes=(
        RouteInformation(IPv6Network("2001:db8::/32"), RouterPreference.LOW, 600),
        RouteInformation(IPv6Network("2001:db8:0:8::1/128")),
    ),
    mtu=1400,
    dns_servers=(RecursiveDnsServer((SERVER, ROUTER), 900),),
    dns_search=(DnsSearchList(("corp.example.com", "example.com"), 900),),
)

unicast = st.ip_addresses(v=6).filter(
    lambda address: not (address.is_multicast or address.is_unspecified)
)
link_local = st.ip_addresses(v=6, network="fe80::/64")
lifetimes = st.integers(0, INFINITE_LIFETIME)
networks = st.builds(
    lambda address, length: IPv6Network((int(address), length), strict=False),
    st.ip_addresses(v=6),
    st.integers(0, 128),
)
usable_prefixes = networks.filter(
    lambda network: (
        network.network_address not in IPv6Network("fe80::/10")
        and not network.network_address.is_multicast
    )
)
labels = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=5).map(".".join)


@st.composite
def prefix_information(draw: st.DrawFn) -> PrefixInformation:
    preferred, valid = sorted((draw(lifetimes), draw(lifetimes)))
    return PrefixInformation(
        draw(usable_prefixes), draw(st.booleans()), draw(st.booleans()), valid, preferred
    )


def tuples(
    elements: st.SearchStrategy[Element], minimum: int = 0
) -> st.SearchStrategy[tuple[Element, ...]]:
    return st.lists(elements, min_size=minimum, max_size=4).map(tuple)


advertisements = st.builds(
    RouterAdvertisement,
    current_hop_limit=st.integers(0, 255),
    managed=st.booleans(),
    other_configuration=st.booleans(),
    preference=st.sampled_from(RouterPreference),
    # Without a lifetime the preference does not count, see the tests of RFC 4191.
    router_lifetime=st.integers(1, 0xFFFF),
    reachable_time=st.integers(0, 0xFFFFFFFF),
    retransmit_timer=st.integers(0, 0xFFFFFFFF),
    prefixes=tuples(prefix_information()),
    routes=tuples(
        st.builds(RouteInformation, networks, st.sampled_from(RouterPreference), lifetimes)
    ),
    mtu=st.none() | st.integers(1280, 0xFFFFFFFF),
    dns_servers=tuples(st.builds(RecursiveDnsServer, tuples(unicast, 1), lifetimes)),
    dns_search=tuples(st.builds(DnsSearchList, tuples(domains, 1), lifetimes)),
)
messages = st.one_of(
    st.just(RouterSolicitation()),
    advertisements,
    st.builds(NeighborSolicitation, unicast),
    st.builds(NeighborAdvertisement, unicast, st.booleans(), st.booleans(), st.booleans()),
    st.builds(Redirect, link_local, unicast),
)


@given(messages, link_local, link_local)
def test_what_was_encoded_is_decoded(
    message: NeighborDiscoveryMessage, source: IPv6Address, destination: IPv6Address
) -> None:
    packet = encode(message, source, destination)
    header, decoded = decode(packet)
    assert decoded == message
    assert (header.source, header.destination, header.hop_limit) == (source, destination, 255)
    assert decode(memoryview(packet)) == (header, decoded)
    assert neighbor_discovery_type(packet) == packet[40]


@given(messages, link_local, link_local)
def test_scapy_finds_our_checksums_right(
    message: NeighborDiscoveryMessage, source: IPv6Address, destination: IPv6Address
) -> None:
    decoded = IPv6(encode(message, source, destination))
    assert in6_chksum(58, decoded, bytes(decoded.payload)) == 0
    assert decoded.plen == len(decoded.payload)


def test_a_solicitation_is_as_short_as_the_kernels() -> None:
    """Eight bytes, no source link-layer address: what Linux' own ISATAP hosts send."""
    packet = encode(RouterSolicitation(), HOST, ROUTER)
    assert len(packet) == 48
    assert packet[40:42] + packet[44:] == bytes.fromhex("8500 00000000")


def test_scapy_decodes_our_advertisement() -> None:
    decoded = IPv6(encode(ADVERTISEMENT, ROUTER, HOST))
    advertisement = decoded[ICMPv6ND_RA]
    assert decoded.hlim == 255
    assert (advertisement.chlim, advertisement.M, advertisement.O) == (64, 0, 1)
    assert (advertisement.prf, advertisement.routerlifetime) == (1, 1800)
    assert (advertisement.reachabletime, advertisement.retranstimer) == (30000, 1000)
    assert decoded[ICMPv6NDOptMTU].mtu == 1400

    first, second = (decoded[ICMPv6NDOptPrefixInfo:number] for number in (1, 2))
    assert (first.prefix, first.prefixlen, first.L, first.A) == ("2001:db8:0:7::", 64, 1, 1)
    assert (first.validlifetime, first.preferredlifetime) == (2592000, 604800)
    assert (second.prefix, second.L, second.A) == ("fd00:7::", 0, 0)
    assert (second.validlifetime, second.preferredlifetime) == (0xFFFFFFFF, 0)

    short, long = (decoded[ICMPv6NDOptRouteInfo:number] for number in (1, 2))
    assert (short.prefix, short.plen, short.prf, short.rtlifetime) == ("2001:db8::", 32, 3, 600)
    assert (short.len, long.len) == (2, 3)
    assert (long.prefix, long.plen, long.prf) == ("2001:db8:0:8::1", 128, 0)

    servers = decoded[ICMPv6NDOptRDNSS]
    assert (servers.dns, servers.lifetime) == ([str(SERVER), "fe80::5efe:a00:1"], 900)
    search = decoded[ICMPv6NDOptDNSSL]
    assert [name.rstrip(".") for name in search.searchlist] == ["corp.example.com", "example.com"]


def test_scapy_decodes_our_neighbor_messages() -> None:
    solicitation = IPv6(encode(NeighborSolicitation(ROUTER), HOST, ROUTER))
    assert IPv6Address(solicitation[ICMPv6ND_NS].tgt) == ROUTER
    advertisement = IPv6(
        encode(NeighborAdvertisement(ROUTER, router=True, solicited=True), ROUTER, HOST)
    )[ICMPv6ND_NA]
    assert (advertisement.R, advertisement.S, advertisement.O) == (1, 1, 0)
    redirect = IPv6(encode(Redirect(HOST, SERVER), ROUTER, HOST))[ICMPv6ND_Redirect]
    assert (IPv6Address(redirect.tgt), IPv6Address(redirect.dst)) == (HOST, SERVER)


def scapy_packet(message: Packet, source: IPv6Address = ROUTER) -> bytes:
    return bytes(IPv6(src=str(source), dst=str(HOST), hlim=255) / message)


def test_we_decode_scapys_advertisement() -> None:
    options = (
        ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
        / ICMPv6NDOptMTU(mtu=1400)
        / ICMPv6NDOptPrefixInfo(
            prefix="2001:db8:0:7::", L=1, A=1, validlifetime=2592000, preferredlifetime=604800
        )
        / ICMPv6NDOptPrefixInfo(
            prefix="fd00:7::", L=0, A=0, validlifetime=0xFFFFFFFF, preferredlifetime=0
        )
        / ICMPv6NDOptRouteInfo(prefix="2001:db8::", plen=32, prf=3, rtlifetime=600)
        / ICMPv6NDOptRouteInfo(prefix="2001:db8:0:8::1", plen=128, rtlifetime=1800)
        / ICMPv6NDOptRDNSS(dns=[str(SERVER), str(ROUTER)], lifetime=900)
        / ICMPv6NDOptDNSSL(searchlist=["corp.example.com", "example.com"], lifetime=900)
    )
    advertisement = ICMPv6ND_RA(
        chlim=64, O=1, prf=1, routerlifetime=1800, reachabletime=30000, retranstimer=1000
    )
    assert decode(scapy_packet(advertisement / options))[1] == ADVERTISEMENT


@pytest.mark.parametrize(
    ("scapys", "ours"),
    [
        (ICMPv6ND_RS(), RouterSolicitation()),
        (ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(), RouterSolicitation()),
        (ICMPv6ND_NS(tgt=str(HOST)), NeighborSolicitation(HOST)),
        (ICMPv6ND_NA(tgt=str(HOST), R=0, S=1, O=1), NeighborAdvertisement(HOST, False, True, True)),
        (ICMPv6ND_Redirect(tgt=str(ROUTER), dst=str(SERVER)), Redirect(ROUTER, SERVER)),
    ],
)
def test_we_decode_scapys_messages(scapys: Packet, ours: NeighborDiscoveryMessage) -> None:
    assert decode(scapy_packet(scapys))[1] == ours


def test_only_plain_neighbor_discovery_has_a_type() -> None:
    assert neighbor_discovery_type(scapy_packet(ICMPv6ND_RA())) == 134
    assert neighbor_discovery_type(scapy_packet(ICMPv6EchoRequest())) is None
    assert neighbor_discovery_type(scapy_packet(ICMPv6MLReport())) is None
    assert neighbor_discovery_type(scapy_packet(IPv6ExtHdrHopByHop() / ICMPv6ND_RA())) is None
    assert neighbor_discovery_type(scapy_packet(ICMPv6ND_RA())[:40]) is None
    assert neighbor_discovery_type(b"") is None


def test_preferences_are_known_by_name_and_ordered() -> None:
    assert RouterPreference("low") < RouterPreference("medium") < RouterPreference("high")
    assert [str(preference) for preference in RouterPreference] == ["low", "medium", "high"]
    with pytest.raises(ValueError, match="middling"):
        RouterPreference("middling")


def test_many_options_go_in_several_packets_rfc4861_6_2_3() -> None:
    """RFC 4861 section 6.2.3: advertisements beyond the link's MTU are sent in parts."""
    prefixes = tuple(
        PrefixInformation(IPv6Network((0x20010DB8 << 96 | number << 64, 64)))
        for number in range(100)
    )
    message = RouterAdvertisement(router_lifetime=1800, mtu=1280, prefixes=prefixes)
    packets = encode_advertisements(message, ROUTER, HOST)
    assert len(packets) == 3
    assert max(map(len, packets)) <= 1280
    parts = [decode(packet)[1] for packet in packets]
    assert all(isinstance(part, RouterAdvertisement) for part in parts)
    assert sum((part.prefixes for part in parts), ()) == prefixes
    assert {part.router_lifetime for part in parts} == {1800}


@given(advertisements)
def test_an_advertisement_that_fits_stays_in_one_packet(message: RouterAdvertisement) -> None:
    whole = encode(message, ROUTER, HOST)
    assert encode_advertisements(message, ROUTER, HOST, len(whole)) == (whole,)


def test_an_option_that_fits_no_packet_is_refused() -> None:
    message = RouterAdvertisement(dns_servers=(RecursiveDnsServer((SERVER,) * 90),))
    with pytest.raises(WireError, match=r"recursive_dns_server: .* 1448 bytes"):
        encode_advertisements(message, ROUTER, HOST)


@given(st.binary(max_size=120))
def test_random_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    neighbor_discovery_type(data)
    with contextlib.suppress(WireError):
        decode(data)


@given(st.integers(133, 137), st.binary(min_size=3, max_size=200))
def test_random_messages_raise_nothing_but_wire_errors(message_type: int, body: bytes) -> None:
    """As above, with header and checksum right, so that the fuzzing reaches the options."""
    message = bytes((message_type, 0)) + b"\0" + body
    with contextlib.suppress(WireError):
        decode(icmpv6_packet(ROUTER, HOST, message, 255))


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 3, 5, 24, 25, 31, 99]), st.integers(1, 5), st.binary()),
        max_size=6,
    )
)
def test_random_options_never_cost_a_router(options: list[tuple[int, int, bytes]]) -> None:
    """Whatever stands in well delimited options, the advertisement counts."""
    body = b"".join(
        bytes((option_type, length)) + content.ljust(40, b"\0")[: length * 8 - 2]
        for option_type, length, content in options
    )
    header = bytes.fromhex("86000000 40000708 00000000 00000000")
    message = decode(icmpv6_packet(ROUTER, HOST, header + body, 255))[1]
    assert isinstance(message, RouterAdvertisement)
    assert message.router_lifetime == 1800


@given(messages, st.data())
def test_a_cut_or_changed_packet_raises_nothing_but_wire_errors(
    message: NeighborDiscoveryMessage, data: st.DataObject
) -> None:
    packet = bytearray(encode(message, ROUTER, HOST))
    packet[data.draw(st.integers(0, len(packet) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(packet)))
    with contextlib.suppress(WireError):
        decode(bytes(packet))
    with contextlib.suppress(WireError):
        decode(bytes(packet[:cut]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Neighbor Discovery message must be to count: RFC 4861, 4862, 4191, 8106."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptRouteInfo,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Packet, Raw
from v6ferry.wire.icmpv6 import icmpv6_packet
from v6ferry.wire.neighbor_discovery import (
    DnsSearchList,
    PrefixInformation,
    RecursiveDnsServer,
    RouteInformation,
    RouterAdvertisement,
    RouterPreference,
    decode,
    encode,
)
from v6ferry.wire.parser import WireError

HOST = IPv6Address("fe80::5efe:192.168.47.99")
ROUTER = IPv6Address("fe80::5efe:10.0.0.1")
PREFIX = IPv6Network("2001:db8:0:7::/64")
MESSAGES = [
    ICMPv6ND_RS(),
    ICMPv6ND_RA(),
    ICMPv6ND_NS(tgt=str(HOST)),
    ICMPv6ND_NA(tgt=str(HOST)),
    ICMPv6ND_Redirect(tgt=str(HOST), dst=str(HOST)),
]
every_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda layer: layer.name)


def packet(
    message: Packet,
    source: str = str(ROUTER),
    destination: str = str(HOST),
    hop_limit: int = 255,
) -> bytes:
    return bytes(IPv6(src=source, dst=destination, hlim=hop_limit) / message)


def refused_field(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode(data)
    return caught.value.field


def advertised(*options: Packet, **fields: Any) -> RouterAdvertisement:
    message = ICMPv6ND_RA(**fields)
    for option in options:
        message /= option
    advertisement = decode(packet(message))[1]
    assert isinstance(advertisement, RouterAdvertisement)
    return advertisement


@every_message
def test_hop_limit_must_be_255_rfc4861_6_1(message: Packet) -> None:
    """RFC 4861 sections 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1: else a router forwarded it."""
    assert refused_field(packet(message, hop_limit=254)) == "hop_limit"


@every_message
def test_checksum_must_be_right_rfc4861_6_1(message: Packet) -> None:
    """RFC 4861 sections 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1."""
    wrong = message.copy()
    wrong.cksum = 0x1234
    assert refused_field(packet(wrong)) == "checksum"


@every_message
def test_code_must_be_zero_rfc4861_6_1(message: Packet) -> None:
    """RFC 4861 sections 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1."""
    wrong = message.copy()
    wrong.code = 1
    assert refused_field(packet(wrong)) == "code"


@every_message
def test_options_have_a_length_rfc4861_6_1(message: Packet) -> None:
    """RFC 4861 sections 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1: all options are longer than zero."""
    assert refused_field(packet(message / Raw(bytes.fromhex("6300000000000000")))) == (
        "option_length"
    )


@every_message
def test_options_end_with_the_message_rfc4861_6_1(message: Packet) -> None:
    """RFC 4861 section 4.6: a length of 2 is 16 bytes, of which here 8 are there."""
    assert refused_field(packet(message / Raw(bytes.fromhex("6302000000000000")))) == "option"


@every_message
def test_unknown_options_are_skipped_rfc4861_6_1(message: Packet) -> None:
    """RFC 4861 section 6.1.1 and others: unrecognized options must be ignored."""
    unknown = ICMPv6NDOptUnknown(type=253, len=2, data=bytes(14))
    assert decode(packet(message / unknown)) is not None


@pytest.mark.parametrize(
    ("message", "minimum"), list(zip(MESSAGES, [8, 16, 24, 24, 40], strict=True))
)
def test_messages_have_a_least_length_rfc4861_6_1(message: Packet, minimum: int) -> None:
    """RFC 4861: 8 bytes (6.1.1), 16 (6.1.2), 24 (7.1.1, 7.1.2), 40 (8.1)."""
    whole = bytes(message)
    assert len(whole) == minimum
    assert decode(icmpv6_packet(ROUTER, HOST, whole, 255))
    refused_field(icmpv6_packet(ROUTER, HOST, whole[:-1], 255))


def test_a_router_speaks_from_its_link_local_address_rfc4861_6_1_2() -> None:
    """RFC 4861 section 6.1.2: the source of an advertisement must be link-local."""
    assert refused_field(packet(ICMPv6ND_RA(), source="2001:db8::1")) == "source"


def test_no_link_layer_address_of_nobody_rfc4861_6_1_1() -> None:
    """RFC 4861 sections 6.1.1, 7.1.1: not with the unspecified source."""
    message = ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr()
    assert refused_field(packet(message, source="::")) == "source_link_layer_address"
    assert decode(packet(ICMPv6ND_RS(), source="::"))


def test_targets_are_unicast_rfc4861_7_1() -> None:
    """RFC 4861 sections 7.1.1 and 7.1.2: the target must not be multicast."""
    assert refused_field(packet(ICMPv6ND_NS(tgt="ff02::1"))) == "target"
    assert refused_field(packet(ICMPv6ND_NA(tgt="ff02::1"))) == "target"


def test_address_detection_asks_the_solicited_node_address_rfc4861_7_1_1() -> None:
    """RFC 4861 section 7.1.1: from the unspecified address only to solicited-node multicast."""
    message = ICMPv6ND_NS(tgt=str(HOST))
    assert refused_field(packet(message, source="::")) == "destination"
    assert decode(packet(message, source="::", destination="ff02::1:ffa8:2f63"))


def test_a_multicast_advertisement_is_not_solicited_rfc4861_7_1_2() -> None:
    """RFC 4861 section 7.1.2: with a multicast destination the solicited flag is zero."""
    message = ICMPv6ND_NA(tgt=str(ROUTER), S=1)
    assert refused_field(packet(message, destination="ff02::1")) == "solicited"


def test_redirects_come_from_a_router_to_a_neighbour_rfc4861_8_1() -> None:
    """RFC 4861 section 8.1: link-local source, unicast destination, target of the link."""
    away = "2001:db8:0:8::1"
    assert refused_field(packet(ICMPv6ND_Redirect(tgt=away, dst=away), source=away)) == "source"
    assert refused_field(packet(ICMPv6ND_Redirect(tgt=str(HOST), dst="ff02::1"))) == "destination"
    other = "2001:db8:0:8::2"
    assert refused_field(packet(ICMPv6ND_Redirect(tgt=other, dst=away))) == "target"
    assert decode(packet(ICMPv6ND_Redirect(tgt=away, dst=away)))


def test_other_packets_are_named() -> None:
    assert refused_field(packet(ICMPv6EchoRequest())) == "type"
    assert refused_field(packet(IPv6ExtHdrHopByHop() / ICMPv6ND_RA())) == "next_header"
    assert refused_field(packet(ICMPv6ND_RA())[:-1]) == "payload_length"


@pytest.mark.parametrize("prefix", ["fe80::", "ff02::"])
def test_prefix_of_no_use_is_ignored_rfc4861_6_3_4(prefix: str) -> None:
    """RFC 4861 section 6.3.4, RFC 4862 section 5.5.3 (b): the link-local prefix is ignored."""
    assert advertised(ICMPv6NDOptPrefixInfo(prefix=prefix)).prefixes == ()


def test_preferred_beyond_valid_is_ignored_rfc4862_5_5_3() -> None:
    """RFC 4862 section 5.5.3 (c): such an option is ignored, others of the message count."""
    wrong = ICMPv6NDOptPrefixInfo(prefix="2001:db8::", validlifetime=9, preferredlifetime=10)
    right = ICMPv6NDOptPrefixInfo(
        prefix=str(PREFIX.network_address), validlifetime=10, preferredlifetime=10
    )
    assert advertised(wrong, right).prefixes == (PrefixInformation(PREFIX, True, True, 10, 10),)


def test_bits_after_the_prefix_do_not_count_rfc4861_4_6_2() -> None:
    """RFC 4861 section 4.6.2: bits after the prefix length are ignored by the receiver."""
    option = ICMPv6NDOptPrefixInfo(prefix="2001:db8:0:7::1", prefixlen=64)
    assert advertised(option).prefixes[0].prefix == PREFIX


@pytest.mark.parametrize(
    "option", ["0301 40c0 00000000", "0304 81c0" + "00" * 28, "0305 40c0" + "00" * 36]
)
def test_malformed_prefix_options_are_ignored(option: str) -> None:
    """Too short, or a prefix length above 128; what follows a long one does not matter."""
    prefixes = advertised(Raw(bytes.fromhex(option))).prefixes
    assert len(prefixes) == (1 if option.startswith("0305") else 0)


def test_mtu_below_the_minimum_is_ignored_rfc4861_6_3_4() -> None:
    """RFC 4861 section 6.3.4: only a value of 1280 at least is copied."""
    assert advertised(ICMPv6NDOptMTU(mtu=1279)).mtu is None
    assert advertised(ICMPv6NDOptMTU(mtu=1280)).mtu == 1280


@pytest.mark.parametrize(
    ("bits", "preference"), [(0, "medium"), (1, "high"), (2, "medium"), (3, "low")]
)
def test_reserved_router_preference_is_medium_rfc4191_2_2(bits: int, preference: str) -> None:
    """RFC 4191 section 2.2: the reserved value 10 is treated as medium."""
    assert advertised(prf=bits, routerlifetime=1800).preference is RouterPreference(preference)


def test_no_preference_without_a_lifetime_rfc4191_2_2() -> None:
    """RFC 4191 section 2.2: with a lifetime of zero it is sent as medium and not read."""
    assert advertised(prf=1, routerlifetime=0).preference is RouterPreference.MEDIUM
    message = RouterAdvertisement(preference=RouterPreference.HIGH, router_lifetime=0)
    assert encode(message, ROUTER, HOST)[45] == 0


def test_reserved_route_preference_is_ignored_rfc4191_2_3() -> None:
    """RFC 4191 section 2.3: an option with the reserved preference is ignored."""
    assert advertised(ICMPv6NDOptRouteInfo(prefix="2001:db8::", plen=32, prf=2)).routes == ()


@pytest.mark.parametrize(
    ("option", "prefix"),
    [
        ("1801 0000 0000000a", "::/0"),
        ("1802 2000 0000000a 20010db800000000", "2001:db8::/32"),
        ("1803 2000 0000000a 20010db8000000000000000000000000", "2001:db8::/32"),
        ("1802 4000 0000000a 20010db800000007", "2001:db8:0:7::/64"),
        ("1801 0100 0000000a", None),
        ("1802 4100 0000000a 20010db800000007", None),
        ("1803 8100 0000000a 20010db8000000000000000000000000", None),
        ("1804 2000 0000000a" + "00" * 24, None),
    ],
)
def test_a_route_carries_enough_of_its_prefix_rfc4191_2_3(option: str, prefix: str | None) -> None:
    """RFC 4191 section 2.3: a length of 1, 2 or 3 carries 0, 64 or 128 bits of the prefix."""
    expected = () if prefix is None else (RouteInformation(IPv6Network(prefix), lifetime=10),)
    assert advertised(Raw(bytes.fromhex(option))).routes == expected


@pytest.mark.parametrize(
    "option", ["1901 0000 0000000a", "1902 0000 0000000a 20010db800000000", "1904" + "00" * 30]
)
def test_a_dns_option_of_another_length_is_ignored_rfc8106_5_3_1(option: str) -> None:
    """RFC 8106 section 5.3.1: whole addresses, one at least."""
    assert advertised(Raw(bytes.fromhex(option))).dns_servers == ()


def test_dns_servers_are_unicast_rfc8106_5_3_1() -> None:
    """RFC 8106 section 5.3.1: addresses that are not unicast do not count."""
    option = ICMPv6NDOptRDNSS(dns=["ff02::fb", "2001:db8::53", "::"], lifetime=60)
    expected = RecursiveDnsServer((IPv6Address("2001:db8::53"),), 60)
    assert advertised(option).dns_servers == (expected,)


def search_option(names: bytes) -> Raw:
    body = (bytes(2) + (60).to_bytes(4, "big") + names).ljust(8 * 8 - 2, b"\0")
    return Raw(bytes((31, 8)) + body)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b"\x07example\x03com\x00", ("example.com",)),
        (b"\x01a\x00\x01b\x01c\x00", ("a", "b.c")),
        (b"", None),
        (b"\x08a\nnameser\x00", None),
        (b"\x03a b\x00", None),
        (b"\x02-a\x00", None),
        (b"\xc0\x0c", None),  # a compression pointer
        (b"\x07example\x3ftoo short", None),
    ],
)
def test_search_domains_are_host_names_rfc8106_5_2(
    names: bytes, expected: tuple[str, ...] | None
) -> None:
    """RFC 8106 section 5.2: uncompressed names; nothing else may reach resolv.conf."""
    search = advertised(search_option(names)).dns_search
    assert search == (() if expected is None else (DnsSearchList(expected, 60),))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"current_hop_limit": 256}, "current_hop_limit"),
        ({"router_lifetime": 65536}, "router_lifetime"),
        ({"reachable_time": 1 << 32}, "reachable_time"),
        ({"retransmit_timer": -1}, "retransmit_timer"),
        ({"mtu": 1279}, "mtu"),
        ({"mtu": 1 << 32}, "mtu"),
        ({"prefixes": (PrefixInformation(PREFIX, True, True, 1, 2),)}, "preferred_lifetime"),
        ({"prefixes": (PrefixInformation(PREFIX, True, True, 1 << 32),)}, "valid_lifetime"),
        ({"routes": (RouteInformation(PREFIX, lifetime=1 << 32),)}, "route_lifetime"),
        ({"dns_servers": (RecursiveDnsServer(()),)}, "recursive_dns_server"),
        ({"dns_servers": (RecursiveDnsServer((HOST,) * 128),)}, "recursive_dns_server"),
        ({"dns_search": (DnsSearchList(()),)}, "domain_name"),
        ({"dns_search": (DnsSearchList(("bücher.example",)),)}, "domain_name"),
        ({"dns_search": (DnsSearchList(("a..b",)),)}, "domain_name"),
        ({"dns_search": (DnsSearchList((".".join(["a" * 63] * 4),)),)}, "domain_name"),
        ({"dns_search": (DnsSearchList(("a" * 63,) * 40),)}, "dns_search_list"),
    ],
)
def test_what_does_not_fit_is_not_sent(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError) as caught:
        encode(RouterAdvertisement(**fields), ROUTER, HOST)
    assert caught.value.field == field

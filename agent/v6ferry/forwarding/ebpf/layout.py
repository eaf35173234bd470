# SPDX-License-Identifier: GPL-3.0-or-later
"""What the maps of the BPF programs hold: the structures of ``agent/bpf/tunnel.bpf.c`` in Python.

The sizes are compared with those of the object when it is loaded, names and order of the
enumerations with the source by a test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.table import Answer, Embedded, Endpoint

ACCEPTED_SELECTORS = 2
SOURCE_SELECTORS = 2
AUTOMATIC_SELECTORS = 8
CANDIDATES = 16
LARGEST_TABLE = 1 << 20
SOLICITATION_LENGTH = 48
ADVERTISEMENT_LENGTH = 96
"""Octets of the IPv6 packets of an answer; others are left to the agent."""

DROP_REASONS = (
    DropReason.OUTER_SOURCE,
    DropReason.OUTER_SOURCE_IS_OURS,
    DropReason.INNER_SOURCE,
    DropReason.INNER_DESTINATION,
    DropReason.SOURCE_MISMATCH,
    DropReason.ENDPOINT_REFUSED,
    DropReason.ECN,
    DropReason.SEND_REFUSED,
    DropReason.TUNNEL_DOWN,
    DropReason.LOOP_ENDPOINT,
    DropReason.LOOP_SOURCE,
    DropReason.LOOP_DESTINATION,
)
"""What the programs drop themselves; everything else they hand up."""
_SLOTS = 16


class HandUp(IntEnum):
    """Why a program leaves a packet to the userspace plane."""

    NOT_IPV6 = 0
    LENGTH = 1
    """The lengths in the headers and that of the packet differ."""
    FRAGMENT = 2
    OPTIONS = 3
    CHECKSUM = 4
    CONTROL = 5
    """Neighbor discovery, and bubbles (RFC 4380 section 2.8)."""
    MULTICAST = 6
    NO_ENDPOINT = 7
    """The sender is to be told."""
    NO_SOURCE = 8
    WATCHED = 9
    """An ICMPv4 error has come back from the endpoint (RFC 4213 section 3.4)."""
    NO_ROUTE = 10
    TOO_BIG = 11
    """To be fragmented, or answered with Packet Too Big."""
    OFFLOAD = 12
    """A super-packet of a kind that is not understood."""
    REFUSED = 13
    """No tunnel accepts it, but another program's might."""


class MemberSet(IntEnum):
    """Sets of addresses of a tunnel, or of an ingress rule."""

    LOCAL_ENDPOINT = 0
    HOST_ENDPOINT = 1
    HOST_ADDRESS = 2
    WATCHED_ENDPOINT = 3
    LISTED = 4


class Way(IntEnum):
    """How a forwarding rule finds the endpoint."""

    REFUSED = 0
    FIXED = 1
    EMBEDDED = 2
    PEER = 3


class Accept(IntFlag):
    """Whom an ingress rule accepts besides those that its selectors find."""

    LISTED = 1
    PEERS = 2
    ANYBODY = 4


class Near(IntEnum):
    """Which addresses a near rule lets pass."""

    REFUSED = 0
    ACCEPTED = 1
    EMBEDDED = 2


class SelectorFlag(IntFlag):
    """What else an address has, beside an IPv4 address."""

    HAS_PORT = 1
    INVERTED = 2


class TunnelFlag(IntFlag):
    """What applies to a tunnel interface."""

    COPIES_DSCP = 1
    FOLLOWS_PATH_MTU = 2
    WATCHES_ENDPOINTS = 4
    HANDS_UP_REFUSED = 8
    CARRIES_COMPATIBLE = 16


_INDEX = struct.Struct("=I")
_PORT_WORD = struct.Struct("=Q")
_SELECTOR = struct.Struct("=QQQQIIBBB5x")
_ENDPOINT = struct.Struct("=4s2s2s")
_TUNNEL = struct.Struct("=IBBBB4s2s2x")
_PREFIX_KEY = struct.Struct("=II16s")
_FORWARDING_RULE = struct.Struct(f"=II{_ENDPOINT.size}s")
_INGRESS_RULE = struct.Struct("=III4x")
_NEAR_RULE = struct.Struct("=I4x")
_ENDPOINT_KEY = struct.Struct("=II4s")
_PEER_KEY = struct.Struct("=I16s")
_MEMBER_KEY = struct.Struct("=II16s")
_CANDIDATES_KEY = struct.Struct("=4s4s2s2x")
_CANDIDATES = struct.Struct(f"={1 + CANDIDATES}I")
_SOLICITATION = struct.Struct(f"=4s{SOLICITATION_LENGTH}s")
_ANSWER = struct.Struct(f"=I4sIII{ADVERTISEMENT_LENGTH}s")
_BUDGET = struct.Struct("=2Q")
_COMMON = struct.Struct("=II")
TRAFFIC = struct.Struct("=4Q")
"""Packets and octets in, packets and octets out."""
COUNTERS = struct.Struct(f"={4 + 2 * _SLOTS}Q")
"""The same, drops, packets handed up."""
RULE_COUNTER = struct.Struct("=Q")
FIRST_DROP = 4
FIRST_HAND_UP = FIRST_DROP + _SLOTS

_WORD = (1 << 64) - 1
_NO_SELECTOR = bytes(_SELECTOR.size)
PRESENT = _INDEX.pack(1)
NO_PORTS = bytes(_PORT_WORD.size)
"""Value of ``ports`` where none of 64 is ours."""

MAPS = {
    "common": (_INDEX.size, _COMMON.size),
    "tunnels": (
        _INDEX.size,
        _TUNNEL.size + (SOURCE_SELECTORS + AUTOMATIC_SELECTORS) * _SELECTOR.size,
    ),
    "uplinks": (_INDEX.size, _INDEX.size),
    "few_uplinks": (_INDEX.size, _INDEX.size),
    "forwarding": (_PREFIX_KEY.size, _FORWARDING_RULE.size + _SELECTOR.size),
    "ingress": (_PREFIX_KEY.size, _INGRESS_RULE.size + ACCEPTED_SELECTORS * _SELECTOR.size),
    "near_sources": (_PREFIX_KEY.size, _NEAR_RULE.size + _SELECTOR.size),
    "near_destinations": (_PREFIX_KEY.size, _NEAR_RULE.size + _SELECTOR.size),
    "endpoints": (_ENDPOINT_KEY.size, _INDEX.size),
    "peers": (_PEER_KEY.size, _ENDPOINT.size),
    "members": (_MEMBER_KEY.size, _INDEX.size),
    "candidates": (_CANDIDATES_KEY.size, _CANDIDATES.size),
    "answers": (_SOLICITATION.size, _ANSWER.size),
    "budgets": (_INDEX.size, _BUDGET.size),
    "ports": (_INDEX.size, _PORT_WORD.size),
    "tunnel_counters": (_INDEX.size, COUNTERS.size),
    "rule_counters": (_INDEX.size, RULE_COUNTER.size),
    "few_traffic": (_INDEX.size, TRAFFIC.size),
    "few_rule_counters": (_INDEX.size, RULE_COUNTER.size),
}
"""Octets of a key and of a value, by map."""
PROGRAMS = ("encapsulate", "decapsulate", "inquire")


FEW = 1024
"""Interfaces and rules below that number are found without a search: in the maps few_*."""
UNCLAIMED = 0
"""Key of the counters of packets that were handed up before a tunnel was found for them."""


def index_key(index: int) -> bytes:
    """Key of ``tunnels``, ``uplinks``, both counters; value of maps with one number a key."""
    return _INDEX.pack(index)


def selector(embedded: Embedded) -> bytes:
    """Struct selector."""
    pattern = embedded.pattern
    value, mask = (0, 0) if pattern is None else (pattern.value, pattern.mask)
    flags = SelectorFlag(0)
    if embedded.port_offset is not None:
        flags |= SelectorFlag.HAS_PORT
    if embedded.inverted:
        flags |= SelectorFlag.INVERTED
    return _SELECTOR.pack(
        value >> 64,
        value & _WORD,
        mask >> 64,
        mask & _WORD,
        embedded.mask,
        embedded.common,
        embedded.shift,
        0 if embedded.port_offset is None else 112 - embedded.port_offset,
        flags,
    )


def endpoint(one: Endpoint) -> bytes:
    """Struct endpoint, value of ``peers``."""
    return _ENDPOINT.pack(one.address.packed, _port(one.port), _port(one.local_port))


def tunnel(
    flags: TunnelFlag,
    ttl: int,
    tos: int,
    default_source: IPv4Address | None,
    port: int,
    sources: tuple[Embedded, ...],
    automatic: tuple[Embedded, ...],
) -> bytes:
    """Struct tunnel."""
    packed = _TUNNEL.pack(
        flags,
        ttl,
        tos,
        len(sources),
        len(automatic),
        bytes(4) if default_source is None else default_source.packed,
        _port(port),
    )
    return (
        packed + _selectors(sources, SOURCE_SELECTORS) + _selectors(automatic, AUTOMATIC_SELECTORS)
    )


def common(generation: int, link_layer_length: int) -> bytes:
    """Struct common."""
    return _COMMON.pack(generation, link_layer_length)


def generation_of(value: bytes) -> int:
    """The first number of a struct common."""
    return int(_COMMON.unpack(value)[0])


def prefix_key(tunnel_index: int, prefix: IPv6Network) -> bytes:
    """Struct prefix_key."""
    return _PREFIX_KEY.pack(32 + prefix.prefixlen, tunnel_index, prefix.network_address.packed)


def forwarding_rule(
    identifier: int, way: Way, fixed: bytes | None = None, embedded: Embedded | None = None
) -> bytes:
    """Struct forwarding_rule; ``fixed`` is a struct endpoint."""
    packed = _FORWARDING_RULE.pack(identifier, way, fixed or bytes(_ENDPOINT.size))
    return packed + (_NO_SELECTOR if embedded is None else selector(embedded))


def ingress_rule(identifier: int, embedded: tuple[Embedded, ...], others: Accept) -> bytes:
    """Struct ingress_rule."""
    packed = _INGRESS_RULE.pack(identifier, len(embedded), others)
    return packed + _selectors(embedded, ACCEPTED_SELECTORS)


def near_rule(accept: Near, embedded: Embedded | None = None) -> bytes:
    """Struct near_rule."""
    return _NEAR_RULE.pack(accept) + (_NO_SELECTOR if embedded is None else selector(embedded))


def endpoint_key(tunnel_index: int, prefix: IPv4Network) -> bytes:
    """Struct endpoint_key."""
    return _ENDPOINT_KEY.pack(32 + prefix.prefixlen, tunnel_index, prefix.network_address.packed)


def peer_key(tunnel_index: int, address: IPv6Address) -> bytes:
    """Struct peer_key."""
    return _PEER_KEY.pack(tunnel_index, address.packed)


def solicitation(answer: Answer) -> bytes:
    """Struct solicitation."""
    return _SOLICITATION.pack(answer.destination.packed, answer.request)


def answer(one: Answer, tunnel_index: int, rate: int, salt: int, identifier: int) -> bytes:
    """Struct answer."""
    return _ANSWER.pack(tunnel_index, one.source.packed, rate, salt, identifier, one.reply)


def member_key(owner: int, member_set: MemberSet, address: bytes) -> bytes:
    """Struct member_key, of the 4 or 16 octets of an address."""
    return _MEMBER_KEY.pack(owner, member_set, address.rjust(16, b"\0"))


def candidates_key(destination: bytes, source: bytes, port: int) -> bytes:
    """Struct candidates_key."""
    return _CANDIDATES_KEY.pack(destination, source, _port(port))


def port_words(ports: Iterable[int]) -> dict[bytes, bytes]:
    """Entries of the array ``ports`` that are not zero."""
    words: dict[int, int] = {}
    for port in ports:
        words[port >> 6] = words.get(port >> 6, 0) | 1 << (port & 63)
    return {index_key(index): _PORT_WORD.pack(word) for index, word in words.items()}


def candidates(tunnels: list[int]) -> bytes:
    """Struct candidates."""
    shown = tunnels[:CANDIDATES]
    return _CANDIDATES.pack(
        len(tunnels), *shown, *(0 for _unused in range(CANDIDATES - len(shown)))
    )


def _port(port: int) -> bytes:
    """A UDP port in network byte order."""
    return port.to_bytes(2, "big")


def _selectors(embedded: tuple[Embedded, ...], room: int) -> bytes:
    packed = b"".join(map(selector, embedded))
    return packed + _NO_SELECTOR * (room - len(embedded))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets and drops of a tunnel interface, each under its name."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Any


class DropReason(str, Enum):
    """Why a packet went no further; the value is the counter's name."""

    # on the way in
    OUTER_DESTINATION = "outer_destination_not_ours"
    OUTER_SOURCE = "outer_source_not_unicast"
    OUTER_SOURCE_IS_OURS = "outer_source_is_ours"
    INNER_TRUNCATED = "inner_packet_truncated"
    INNER_NOT_IPV6 = "inner_packet_not_ipv6"
    INNER_SOURCE = "inner_source_forbidden"
    INNER_DESTINATION = "inner_destination_forbidden"
    SOURCE_MISMATCH = "inner_source_does_not_match_outer"
    ECN = "ecn_congestion_marked_not_ect"
    NO_TUNNEL = "no_tunnel_accepts"
    TUNNEL_DOWN = "tunnel_interface_refused"
    MALFORMED_CONTROL = "neighbor_discovery_malformed"
    # on the way out
    NO_RULE = "no_forwarding_rule"
    REFUSED_BY_RULE = "refused_by_rule"
    DESTINATION_NOT_EMBEDDED = "destination_embeds_no_endpoint"
    NO_PEER = "no_peer"
    ENDPOINT_NOT_UNICAST = "endpoint_not_unicast"
    MULTICAST = "multicast_not_carried"
    TOO_BIG = "packet_too_big"
    SEND_REFUSED = "underlay_refused"
    # both ways
    ENDPOINT_REFUSED = "endpoint_refused"
    # loops (RFC 6324)
    LOOP_ENDPOINT = "loop_endpoint_is_ours"
    LOOP_SOURCE = "loop_source_embeds_our_endpoint"
    LOOP_DESTINATION = "loop_destination_embeds_our_endpoint"


class Counters:
    """What one tunnel interface carried and dropped."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "drops",
        "handed_up",
        "icmp_errors_in",
        "icmp_errors_out",
        "packets_in",
        "packets_out",
        "rules",
    )

    def __init__(self) -> None:
        self.packets_in = 0
        self.packets_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.icmp_errors_in = 0
        self.icmp_errors_out = 0
        self.drops: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.handed_up: Counter[str] = Counter()
        """Packets that the kernel has left to the userspace plane, by reason."""

    def drop(self, reason: DropReason, packets: int = 1) -> None:
        """Count packets that go no further."""
        self.drops[reason.value] += packets

    def add(self, other: Counters) -> None:
        """Count what another has counted."""
        for name in (
            "packets_in",
            "packets_out",
            "bytes_in",
            "bytes_out",
            "icmp_errors_in",
            "icmp_errors_out",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.drops += other.drops
        self.rules += other.rules
        self.handed_up += other.handed_up

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, drops and rules sorted by name."""
        return {
            "packets_in": self.packets_in,
            "packets_out": self.packets_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "icmp_errors_in": self.icmp_errors_in,
            "icmp_errors_out": self.icmp_errors_out,
            "drops": dict(sorted(self.drops.items())),
            "rules": dict(sorted(self.rules.items())),
            "handed_up": dict(sorted(self.handed_up.items())),
        }

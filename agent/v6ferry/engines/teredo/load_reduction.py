# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding again, without its server, a peer that was silent (RFC 6081 section 5.6).

RFC 4380 trusts a peer for 30 s after it was heard, and then asks for it through its server. But
most NATs remember longer than that. So a peer that knows RFC 6081 is asked straight where it was
last, by a bubble with a neighbor discovery option trailer, which it answers with another; only if
none comes its server is troubled.
"""

from __future__ import annotations

from v6ferry.engines.teredo.peers import Peer

PATIENCE = 0.5
"""Seconds in which the answer comes that comes without the server."""
LONGEST_SILENCE = 120.0
"""Seconds for which NATs remember at least (RFC 4787 section 4.3, REQ-5); beyond, asking straight
would cost more time than it saves."""


def is_to_be_asked_straight(peer: Peer, now: float) -> bool:
    """Whether a peer would answer where it was, if its NAT has not forgotten us."""
    return (
        peer.solicited_at is None
        and peer.parts is not None
        and peer.trusted
        and peer.their_nonce is not None  # so it knows RFC 6081
        and now - peer.last_reception < LONGEST_SILENCE
    )


def has_not_answered(peer: Peer, now: float) -> bool:
    """Whether a peer that was asked straight, and nothing else since, has had time enough."""
    asked = peer.solicited_at
    if asked is None or peer.last_attempt != asked:
        return False
    return now - asked > PATIENCE * 0.99  # times are not exact

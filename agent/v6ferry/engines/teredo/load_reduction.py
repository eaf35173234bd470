# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding again, without its server, a peer that was silent (RFC 6081 section 5.6).

RFC 4380 trusts a peer for 30 s after it was heard, and then asks for it through its server. But
most NATs remember longer than that. So a peer that knows RFC 6081 is asked straight where it was
last, by a bubble with a neighbor discovery option trailer, which it answers with another; only if
none comes its server is troubled.
"""

from __future__ import annotations

from v6ferry.engines.teredo.node import TeredoNode
from v6ferry.engines.teredo.peers import Peer
from v6ferry.wire.teredo import DiscoveryType

PATIENCE = 0.5
"""Seconds in which the answer comes that comes without the server."""
LONGEST_SILENCE = 120.0
"""Seconds for which NATs remember at least (RFC 4787 section 4.3, REQ-5); beyond, asking straight
would cost more time than it saves."""


class FrugalNode(TeredoNode):
    """A node that spares its peers' servers."""

    def _attempt(self, peer: Peer, now: float) -> None:
        if peer.solicited_at is None and self._may_be_where_it_was(peer, now):
            assert peer.endpoint is not None
            peer.solicited_at = peer.last_attempt = now
            self._send_direct_bubble(peer, peer.endpoint, now, DiscoveryType.SOLICITATION)
            self._wake(peer, now + PATIENCE)
            return
        super()._attempt(peer, now)

    def _may_be_where_it_was(self, peer: Peer, now: float) -> bool:
        """Whether a peer would answer if its NAT has not forgotten us."""
        return (
            peer.parts is not None
            and peer.trusted
            and peer.endpoint is not None
            and peer.their_nonce is not None  # so it knows RFC 6081
            and now - peer.last_reception < LONGEST_SILENCE
        )

    def _peer_due(self, peer: Peer, now: float) -> None:
        asked = peer.solicited_at
        has_waited = asked is not None and now - asked > PATIENCE * 0.99  # times are not exact
        if has_waited and peer.waits and peer.last_attempt == asked:
            self._attempt(peer, now)
        else:
            super()._peer_due(peer, now)

# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a client's NAT remembers, and so how seldom its server has to be asked.

RFC 4380 section 5.2.7: from a secondary port the client asks its server for that port's mapped
address, is silent for as long as is to be tried, and then has a bubble come to that address, by
its server, from its service port. If the bubble comes, the NAT has remembered. The service port
is kept open all the while by the interval that is known to do.

The RFC knows no interval below its 30 s, where RFC 6081 section 5.1.1 sees the problem of NATs
that forget sooner. So here what does not do is halved, until something does.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from math import inf
from random import Random

from v6ferry.addresses.teredo import TeredoAddress, decode
from v6ferry.engines.teredo.outbox import addresses_of
from v6ferry.engines.teredo.qualification import (
    LINK_LOCAL,
    TIMEOUT,
    TRIES,
    Nat,
    Secret,
    Server,
    Solicitation,
    make_solicitation,
    refusal,
    unusable,
)
from v6ferry.engines.teredo.tables import MORE_PORTS
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.neighbor_discovery import neighbor_discovery_type
from v6ferry.wire.teredo import (
    NONCE_LENGTH,
    TEREDO_PORT,
    TeredoDatagram,
    Trailers,
    bubble,
    is_bubble,
)

SHORTEST = 5.0
"""Seconds; a NAT that forgets sooner is of no use for Teredo."""


class _Step(Enum):
    ASKING = "asking"
    SILENT = "silent"
    TESTING = "testing"


class RefreshInterval:
    """Tries intervals, one after another.

    Args:
        random: makes nonces, and chooses the secondary port.
        first: seconds; the interval that is used, and tried first.
        longest: seconds that are tried at most; None to try nothing.
        secret: shared with the server; None without.
    """

    def __init__(
        self, random: Random, *, first: float, longest: float | None, secret: Secret | None
    ) -> None:
        self._random = random
        self._first, self._longest = first, longest
        self._secret = secret
        self.interval = first
        """Seconds: what is to be used now."""
        self.is_learned = False
        """Whether a bubble has come after that time."""
        self.port: int | None = None
        """The secondary port while it is needed."""
        self._server: Server | None = None
        self._address = TeredoAddress(IPv4Address(0), IPv4Address(0), 0)
        self._mapped: Endpoint | None = None
        self._tried = first
        self._too_long = inf
        self._step: _Step | None = None
        self._due: float | None = None
        self._asked_at = 0.0
        self._attempts = 0
        self._nonce = b""
        self._datagrams: list[Solicitation] = []

    # What it is told

    def follow(
        self,
        server: Server | None,
        nat: Nat,
        address: IPv6Address | None,
        taken: Container[int],
        now: float,
    ) -> None:
        """The client has this address: find out anew if it is another one, behind a NAT.

        Args:
            server: ours; None while there is none.
            nat: what is before us.
            address: ours; None while there is none.
            taken: ports of ours that have another use.
            now: seconds.
        """
        parts = None if address is None else decode(address)
        if server is None or parts is None or self._longest is None or nat is Nat.NONE:
            self.end()
        elif (server, parts) != (self._server, self._address) and nat is not Nat.UNKNOWN:
            # A mapping that moves before that has been tried may be one that did not live as long.
            was_short = server == self._server and not self.is_learned and self.port is not None
            tried = max(self._tried / 2, SHORTEST) if was_short else self._first
            self.end()
            self._server, self._address = server, parts
            self._tried = tried
            self.interval = min(tried, self._first)
            self.port = self._random.choice([one for one in MORE_PORTS if one not in taken])
            self._ask(now)

    def end(self) -> None:
        """Try nothing any more, and use the interval that was set."""
        self._datagrams.clear()
        self._server, self._too_long = None, inf
        self.interval, self.is_learned = self._first, False
        self._stop()

    def receive(self, datagram: TeredoDatagram, source: Endpoint, now: float) -> str | None:
        """A datagram has come to the secondary port; return why it is discarded, if it is."""
        server = self._server
        if server is None or (source.address, source.port) != (server.primary, TEREDO_PORT):
            return "datagram to the secondary port from elsewhere than the server"
        if neighbor_discovery_type(datagram.packet) is not None:
            return self._answered(server, datagram)
        if self._step is not _Step.TESTING or not is_bubble(datagram.packet):
            return "datagram to the secondary port that was not asked for"
        nonce = datagram.trailers.nonce
        if nonce is None or nonce.to_bytes(4, "big") != self._nonce:
            return "bubble to the secondary port that is not ours"
        if decode(addresses_of(datagram.packet)[0]) != self._address:
            return "bubble to the secondary port that is not ours"
        self._remembered(now)
        return None

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._due is None or now < self._due:
            return
        if self._step is _Step.SILENT:
            self._attempts = 0
            self._nonce = self._random.randbytes(4)
            self._test(now)
        elif self._attempts < TRIES:
            self._solicit(now) if self._step is _Step.ASKING else self._test(now)
        elif self._step is _Step.TESTING:
            self._forgotten(now)
        else:
            self._stop()  # the service port will say whether the server is away

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` has something to do."""
        return self._due

    def datagrams(self) -> list[Solicitation]:
        """What to send now, from the port that the endpoint says; each is returned once."""
        taken, self._datagrams = self._datagrams, []
        return taken

    # Steps

    def _stop(self) -> None:
        self._step = self._due = self._mapped = self.port = None

    def _ask(self, now: float) -> None:
        self._step, self._attempts = _Step.ASKING, 0
        self._solicit(now)

    def _solicit(self, now: float) -> None:
        if self._server is None or self.port is None:
            return
        self._attempts += 1
        self._nonce = self._random.randbytes(NONCE_LENGTH)
        self._asked_at, self._due = now, now + TIMEOUT
        datagram = make_solicitation(self._nonce, LINK_LOCAL, self._secret)
        there = Endpoint(self._server.primary, TEREDO_PORT, self.port)
        self._datagrams.append(Solicitation(datagram, there))

    def _answered(self, server: Server, datagram: TeredoDatagram) -> str | None:
        authentication = datagram.authentication
        if self._step is not _Step.ASKING or authentication is None:
            return "advertisement that was not asked for"
        if authentication.nonce != self._nonce:
            return "advertisement with another nonce"
        why = refusal(datagram, self._secret) or unusable(
            datagram.packet, server.primary, (server,)
        )
        if why is not None or datagram.origin is None:
            return why or "advertisement without an origin indication"
        self._mapped = Endpoint(datagram.origin.address, datagram.origin.port)
        # The NAT counts from the last packet that went out.
        self._step, self._due = _Step.SILENT, self._asked_at + self._tried
        return None

    def _test(self, now: float) -> None:
        if self._mapped is None or self._server is None:
            return
        self._step, self._due = _Step.TESTING, now + TIMEOUT
        self._attempts += 1
        there = TeredoAddress(
            self._server.primary, self._mapped.address, self._mapped.port, self._address.flags
        )
        datagram = TeredoDatagram(
            bubble(self._address.encode(), there.encode()),
            trailers=Trailers(nonce=int.from_bytes(self._nonce, "big")),
        )
        self._datagrams.append(Solicitation(datagram, Endpoint(self._server.primary, TEREDO_PORT)))

    def _remembered(self, now: float) -> None:
        self.interval, self.is_learned = self._tried, True
        longer = min(self._tried * 2, self._longest or self._tried)
        if not self._tried < longer < self._too_long:
            self._stop()
            return
        self._tried = longer
        self._ask(now)

    def _forgotten(self, now: float) -> None:
        self._too_long, shorter = self._tried, max(self._tried / 2, SHORTEST)
        if self.is_learned or shorter >= self._tried:
            self._stop()
            return
        self._tried = self.interval = shorter
        self._ask(now)

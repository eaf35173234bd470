# SPDX-License-Identifier: GPL-3.0-or-later
"""Attempts to reach one of several addresses of a server (RFC 8305), on sockets.

``racing`` says which to begin and which to give up; this carries it out.
"""

from __future__ import annotations

import _socket
import errno
import heapq
import itertools
import socket
from collections.abc import Callable
from typing import Any

from v6ferry.portproxy.racing import Race
from v6ferry.portproxy.relay import BOTH, RACING, READS, End, Relay
from v6ferry.portproxy.rules import Target
from v6ferry.portproxy.servers import EXHAUSTED, NONBLOCKING_STREAM, UNDER_WAY, prepare

NEVER = float("inf")


class Attempt:
    """One of the sockets of a race."""

    __slots__ = ("entrant", "fd", "sock", "state", "target")

    def __init__(self, sock: Any, target: Target, entrant: Entrant) -> None:
        self.sock = sock
        self.fd: int = sock.fileno()
        self.target = target
        self.entrant = entrant
        self.state = RACING


class Entrant:
    """A client that waits for one of several addresses."""

    __slots__ = ("attempts", "client", "header", "last_error", "race", "source")

    def __init__(self, client: End, race: Race[Target], header: bytes, source: Any) -> None:
        self.client = client
        self.race = race
        self.header = header
        self.source = source
        self.attempts: dict[Target, Attempt] = {}
        self.last_error = errno.ETIMEDOUT


class Attempts:
    """Drives the races of all clients.

    Args:
        relay: carries the connections that come of them.
        note_exhausted: is told, with the time, of an errno that says what the system lacks.
    """

    def __init__(self, relay: Relay, note_exhausted: Callable[[int, float], None]) -> None:
        self._relay = relay
        self._note_exhausted = note_exhausted
        self._serial = itertools.count()
        self._deadlines: list[tuple[float, int, Entrant]] = []

    @property
    def deadline(self) -> float:
        """When ``handle_timer`` has something to do, at the earliest."""
        return self._deadlines[0][0] if self._deadlines else NEVER

    def enter(
        self, client: End, targets: Any, header: bytes, source: Any, now: float, watched: bool
    ) -> None:
        """Have addresses tried for a client; ``header`` goes before what it sends."""
        race: Race[Target] = Race(targets, now, client.rule.connect_timeout)
        entrant = Entrant(client, race, header, source)
        if watched:
            self._relay.epoll.modify(client.fd, 0)
        self._go_on(entrant, now)

    def _go_on(self, entrant: Entrant, now: float) -> None:
        """Begin and give up attempts that are due."""
        race, relay = entrant.race, self._relay
        for target in race.to_give_up(now):
            self._close(entrant.attempts.pop(target))
            entrant.last_error = errno.ETIMEDOUT
        while due := race.to_begin(now):
            for target in due:
                self._begin(entrant, target, now)
        if race.is_lost():
            entrant.client.rule.failed(entrant.last_error)
            relay.abort(entrant.client)
            return
        deadline = race.next_deadline()
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, next(self._serial), entrant))

    def _begin(self, entrant: Entrant, target: Target, now: float) -> None:
        family, address = target
        sock = None
        try:
            sock = _socket.socket(family, NONBLOCKING_STREAM, 0)
            prepare(entrant.client.rule, sock, family, entrant.source)
            number = sock.connect_ex(address)
        except OSError as error:
            number = error.errno or errno.EIO
        if number not in UNDER_WAY or sock is None:
            if sock is not None:
                sock.close()
            if number in EXHAUSTED:
                self._note_exhausted(number, now)
            entrant.last_error = number
            entrant.race.failed(target, now)
            return
        attempt = entrant.attempts[target] = Attempt(sock, target, entrant)
        self._relay.watch(attempt, BOTH)

    def ended(self, attempt: Attempt, now: float) -> None:
        """An attempt has come to its end, one way or the other."""
        entrant, relay = attempt.entrant, self._relay
        client = entrant.client
        number = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            del entrant.attempts[attempt.target]
            self._close(attempt)
            entrant.last_error = number
            entrant.race.failed(attempt.target, now)
            self._go_on(entrant, now)
            return
        rule = client.rule
        if rule.cut_at is not None and rule.cut_at <= now:
            # Nobody could cut it while it was between two states.
            entrant.race.connected(attempt.target)
            self._close(attempt)
            relay.abort(client)
            return
        for loser in entrant.race.connected(attempt.target):
            self._close(entrant.attempts[loser])
        entrant.attempts.clear()
        server = End(attempt.sock, attempt.fd, client.rule, False, now)
        server.peer, client.peer = client, server
        server.pending = entrant.header or None
        relay.ends[server.fd] = server
        if relay.ends[client.fd] is client:
            relay.epoll.modify(client.fd, READS)
        else:
            relay.watch(client, READS)
        if server.pending is not None:
            relay.flush(server)

    def _close(self, attempt: Attempt) -> None:
        self._relay.ends[attempt.fd] = None
        attempt.sock.close()

    def handle_timer(self, now: float) -> None:
        """Begin and give up what has had its time."""
        while self._deadlines and self._deadlines[0][0] <= now:
            entrant = heapq.heappop(self._deadlines)[2]
            if entrant.race.winner is None and not entrant.race.is_lost():
                self._go_on(entrant, now)

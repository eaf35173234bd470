# SPDX-License-Identifier: GPL-3.0-or-later
"""How a connection begins: accept it, look at where it comes from, connect to the server.

The common case takes as few system calls as there can be: what the client has sent is read at once,
and sent at once where the server's handshake ends within connect(2), as on one host it does.
"""

from __future__ import annotations

import _socket  # what socket.socket adds to it costs as much as a system call
import errno
import heapq
import itertools
import logging
import socket
from typing import Any

from v6ferry.portproxy.greeting import Greeting
from v6ferry.portproxy.racing import Race
from v6ferry.portproxy.relay import (
    BOTH,
    CONNECTING,
    GREETING,
    OPEN,
    RACING,
    READS,
    SMALL,
    End,
    Relay,
)
from v6ferry.portproxy.rules import Listener, Target, packed_address
from v6ferry.portproxy.servers import is_connected, prepare, proxy_header

BATCH = 64
"""Connections accepted before running ones have their turn."""
INSTANT_AGAIN = 256
"""Connections after which it is tried again whether servers are on this host."""
NEVER = float("inf")
PAUSE = 0.1
"""Seconds without accepting after the system has run out of something."""

_STREAM = socket.SOCK_STREAM
_NONBLOCKING_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_DONTWAIT = socket.MSG_DONTWAIT
_UNDER_WAY = {0, errno.EINPROGRESS}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = logging.getLogger(__name__)


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


class Opener:
    """Begins connections.

    Args:
        relay: carries them then.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._serial = itertools.count()
        self._deadlines: list[tuple[float, int, Entrant]] = []
        self._opening: dict[int, End | Greeting] = {}
        """Servers that have not answered, and clients that have not said who they are."""
        self.deadline = NEVER
        """When ``handle_timer`` has something to do, at the earliest."""
        self.paused_until: float | None = None
        """No connections are accepted before, for lack of something."""
        self.exhausted: str | None = None
        """What the system lacked last."""

    # Accepting

    def accept(self, listener: Listener, now: float) -> None:
        """Accept what waits at a listening socket."""
        rule, accept, family = listener.rule, listener.accept, listener.family
        targets, limit = listener.targets, rule.limit
        is_quick = rule.quick and len(targets) == 1
        # As many as there were last time: asking for one more that is not there costs as much as
        # being told once more that there is.
        for _turn in range(listener.batch):
            if limit is not None and rule.active >= limit:
                return
            try:
                fd, address = accept()
            except BlockingIOError:
                listener.batch = max(listener.batch >> 1, 1)
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self.note_exhausted(error.errno, now)
                    return
                continue  # the client has gone already: accept(2)
            # Not asked for its name, it need not be one: the kernel made it a socket just now.
            client = End(_socket.socket(family, _STREAM, 0, fd), fd, rule, True, now)
            rule.active += 1
            if is_quick:
                self._connect(client, targets[0], b"", None, now)
            else:
                self._look_at(client, address, listener, now)
        listener.batch = min(listener.batch << 1, BATCH)

    def note_exhausted(self, number: int, now: float) -> None:
        """Something has run out: leave new connections in the queue for a moment."""
        what = {
            errno.EMFILE: "file descriptors of a worker (raise LimitNOFILE= of v6ferry.service)",
            errno.ENFILE: "file descriptors of the system (raise the sysctl fs.file-max)",
        }.get(number, "memory for sockets (see the sysctl net.ipv4.tcp_mem)")
        if self.exhausted != what:
            _log.error("out of %s; running connections go on, new ones wait", what)
        self.exhausted = what
        self.paused_until = now + PAUSE
        self.deadline = min(self.deadline, self.paused_until)

    def _wake(self, deadline: float, one: Entrant) -> None:
        heapq.heappush(self._deadlines, (deadline, next(self._serial), one))
        self.deadline = min(self.deadline, deadline)

    def _look_at(self, client: End, address: Any, listener: Listener, now: float) -> None:
        rule = listener.rule
        if not rule.accept_proxy:
            # The listening socket's own name may be that of all addresses.
            local = client.sock.getsockname() if rule.send_proxy else address
            self._admit(client, address, local, listener, now)
            return
        # Who it is comes first in what it sends.
        greeting = self._opening[client.fd] = Greeting(client, listener)
        client.state = GREETING
        self._relay.watch(greeting, READS)

    def greeted(self, greeting: Greeting, now: float) -> None:
        """A client has sent something of its PROXY header."""
        client, listener = greeting.client, greeting.listener
        header = greeting.read()
        if header is None and not greeting.is_broken:
            return
        del self._opening[client.fd]
        if header is None:
            self._refuse(client)
            return
        client.state = OPEN
        self._relay.ends[client.fd] = client
        try:
            peer = header.source or client.sock.getpeername()
            local = header.destination or client.sock.getsockname()
        except OSError:
            self._relay.abort(client)  # it has gone already
            return
        self._admit(client, peer, local, listener, now, greeting.rest, watched=True)

    def _admit(
        self,
        client: End,
        source: Any,
        local: Any,
        listener: Listener,
        now: float,
        data: bytes = b"",
        watched: bool = False,
    ) -> None:
        rule = listener.rule
        if not rule.admits(packed_address(source[0])):
            self._refuse(client)
            return
        header = proxy_header(rule, source, local) + data
        if watched:
            client.ready = READS
        targets = listener.targets
        bound = (source[0], 0) if rule.transparent else None
        if len(targets) == 1:
            self._connect(client, targets[0], header, bound, now, watched)
        else:
            self._race(client, targets, header, bound, now, watched)

    def _refuse(self, client: End) -> None:
        client.rule.counters.refused += 1
        self._relay.abort(client)

    # Connecting

    def _connect(
        self,
        client: End,
        target: Target,
        first: bytes,
        source: Any,
        now: float,
        watched: bool = False,
    ) -> None:
        """Connect to the only address; ``first`` goes before what the client sends."""
        relay, rule = self._relay, client.rule
        family, address = target
        try:
            sock = _socket.socket(family, _NONBLOCKING_STREAM, 0)
            if not rule.quick:
                prepare(rule, sock, family, source)
            number = sock.connect_ex(address)
        except OSError as error:
            self._unreachable(client, error.errno or errno.EIO, now)
            return
        if number and number != errno.EINPROGRESS:
            sock.close()
            self._unreachable(client, number, now)
            return
        server = End(sock, sock.fileno(), rule, False, now)
        server.peer = client
        client.peer = server
        data = first
        if not watched:
            # By now the first of it has come in, mostly.
            try:
                received = client.sock.recv(SMALL, _DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                relay.abort(client)
                return
            else:
                client.carried = len(received)
                if rule.defers is None and received:
                    rule.client_spoke_first()
                data = first + received if first else received
        if not rule.instant:
            if data:
                rule.probe -= 1
                rule.instant = rule.probe <= 0
        elif not data:
            # The handshake has ended, and if not, sending will find out.
            self._opening[server.fd] = server
            relay.watch(server, READS)
            if not watched:
                relay.watch(client, READS)
            return
        else:
            try:
                sent = sock.send(data)
            except BlockingIOError:
                rule.instant, rule.probe = False, INSTANT_AGAIN
            except OSError as error:
                self._fail(server, error.errno or errno.EIO)
                return
            else:
                if sent == len(data):
                    relay.watch(server, READS)
                    if not watched:
                        relay.watch(client, READS)
                    elif client.ready:
                        relay.again.append(client)
                    return
                data = data[sent:]
        server.state = CONNECTING
        server.pending = data or None
        self._opening[server.fd] = server
        relay.watch(server, BOTH)
        if not watched:
            relay.watch(client, READS)

    def connected(self, server: End) -> None:
        """A server has answered, one way or the other."""
        relay = self._relay
        del self._opening[server.fd]
        number = server.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._fail(server, number)
            return
        server.state = OPEN
        if server.pending is not None:
            relay.flush(server)
        elif server.peer is not None and server.peer.ready:
            events, server.peer.ready = server.peer.ready, 0
            relay.pump(server.peer, events)

    def _fail(self, server: End, number: int) -> None:
        server.rule.failed(number)
        self._relay.abort(server)

    def _unreachable(self, client: End, number: int, now: float) -> None:
        if number in _EXHAUSTED:
            self.note_exhausted(number, now)
        client.rule.failed(number)
        self._relay.abort(client)

    # Several addresses (RFC 8305)

    def _race(
        self,
        client: End,
        targets: Any,
        header: bytes,
        source: Any,
        now: float,
        watched: bool,
    ) -> None:
        if not targets:
            # The name has no address: what getaddrinfo calls EAI_NONAME.
            self._unreachable(client, errno.EADDRNOTAVAIL, now)
            return
        race: Race[Target] = Race(targets, now, client.rule.connect_timeout)
        entrant = Entrant(client, race, header, source)
        if watched:
            self._relay.epoll.modify(client.fd, 0)
        self.go_on(entrant, now)

    def go_on(self, entrant: Entrant, now: float) -> None:
        """Begin and give up attempts that are due."""
        race, relay = entrant.race, self._relay
        for target in race.to_give_up(now):
            self._close(entrant.attempts.pop(target))
            entrant.last_error = errno.ETIMEDOUT
        while due := race.to_begin(now):
            for target in due:
                self._attempt(entrant, target, now)
        if race.is_lost():
            entrant.client.rule.failed(entrant.last_error)
            relay.abort(entrant.client)
            return
        deadline = race.next_deadline()
        if deadline is not None:
            self._wake(deadline, entrant)

    def _attempt(self, entrant: Entrant, target: Target, now: float) -> None:
        family, address = target
        sock = None
        try:
            sock = _socket.socket(family, _NONBLOCKING_STREAM, 0)
            prepare(entrant.client.rule, sock, family, entrant.source)
            number = sock.connect_ex(address)
        except OSError as error:
            number = error.errno or errno.EIO
        if number not in _UNDER_WAY or sock is None:
            if sock is not None:
                sock.close()
            if number in _EXHAUSTED:
                self.note_exhausted(number, now)
            entrant.last_error = number
            entrant.race.failed(target, now)
            return
        attempt = entrant.attempts[target] = Attempt(sock, target, entrant)
        self._relay.watch(attempt, BOTH)

    def raced(self, attempt: Attempt, now: float) -> None:
        """An attempt has come to its end."""
        entrant, relay = attempt.entrant, self._relay
        client = entrant.client
        number = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            del entrant.attempts[attempt.target]
            self._close(attempt)
            entrant.last_error = number
            entrant.race.failed(attempt.target, now)
            self.go_on(entrant, now)
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

    # Time

    def handle_timer(self, now: float) -> None:
        """Give up what has had its time."""
        if self.paused_until is not None and self.paused_until <= now:
            self.paused_until = None
        while self._deadlines and self._deadlines[0][0] <= now:
            entrant = heapq.heappop(self._deadlines)[2]
            if entrant.race.winner is None and not entrant.race.is_lost():
                self.go_on(entrant, now)
        first = self._deadlines[0][0] if self._deadlines else NEVER
        self.deadline = min(first, NEVER if self.paused_until is None else self.paused_until)

    def give_up(self, now: float) -> None:
        """Give up what has had its time; to be called every second."""
        for fd, one in list(self._opening.items()):
            end = one if isinstance(one, End) else one.client
            if end.peer is None and end is one:
                # The client has gone meanwhile.
                del self._opening[fd]
            elif end.state == OPEN and is_connected(end.sock):
                del self._opening[fd]
            elif end.started + end.rule.connect_timeout <= now:
                del self._opening[fd]
                if end is one:
                    self._fail(end, errno.ETIMEDOUT)
                else:
                    self._refuse(end)

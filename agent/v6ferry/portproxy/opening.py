# SPDX-License-Identifier: GPL-3.0-or-later
"""How a connection begins: accept it, look at where it comes from, connect to the server.

The common case takes as few system calls as there can be: what the client has sent is read at once,
and sent at once where the server's handshake ends within connect(2), as on one host it does.
"""

from __future__ import annotations

import _socket  # what socket.socket adds to it costs as much as a system call
import errno
import logging
import socket
from typing import Any

from v6ferry.portproxy.attempts import NEVER, Attempt, Attempts
from v6ferry.portproxy.greeting import Greeting
from v6ferry.portproxy.relay import BOTH, CONNECTING, GREETING, OPEN, READS, SMALL, End, Relay
from v6ferry.portproxy.rules import Listener, Target, packed_address
from v6ferry.portproxy.servers import (
    EXHAUSTED,
    NONBLOCKING_STREAM,
    UNDER_WAY,
    is_connected,
    prepare,
    proxy_header,
)

BATCH = 64
"""Connections accepted before running ones have their turn."""
INSTANT_AGAIN = 256
"""Connections after which it is tried again whether servers are on this host."""
PAUSE = 0.1
"""Seconds without accepting after the system has run out of something."""

_STREAM = socket.SOCK_STREAM
_DONTWAIT = socket.MSG_DONTWAIT
_TCP, _QUICKACK = socket.IPPROTO_TCP, socket.TCP_QUICKACK

_log = logging.getLogger(__name__)


class Opener:
    """Begins connections.

    Args:
        relay: carries them then.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._attempts = Attempts(relay, self.note_exhausted)
        self._begun: list[tuple[End, bytes, bool]] = []
        """Servers that are being connected to, with what they are told first."""
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
        """Accept what waits at a listening socket, and begin to serve it."""
        self._accept(listener, now)
        self._tell_servers()

    def _accept(self, listener: Listener, now: float) -> None:
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
                if error.errno in EXHAUSTED:
                    self.note_exhausted(error.errno, now)
                    return
                continue  # the client has gone already: accept(2)
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
        self._set_deadline()

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
        self._tell_servers()

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
        elif targets:
            self._attempts.enter(client, targets, header, bound, now, watched)
            self._set_deadline()
        else:
            # The name has no address: what getaddrinfo calls EAI_NONAME.
            self._unreachable(client, errno.EADDRNOTAVAIL, now)

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
        rule = client.rule
        family, address = target
        data = first
        # The kernel holds clients that defer back until they have said something.
        early = rule.defers and not watched
        if early:
            words = self._first_words(client)
            if words is None:
                return
            data += words
        try:
            sock = _socket.socket(family, NONBLOCKING_STREAM, 0)
            if not rule.quick:
                prepare(rule, sock, family, source)
            if data:
                # The acknowledgement that ends the handshake goes out with the data.
                sock.setsockopt(_TCP, _QUICKACK, 0)
            number = sock.connect_ex(address)
        except OSError as error:
            self._unreachable(client, error.errno or errno.EIO, now)
            return
        if number not in UNDER_WAY:
            sock.close()
            self._unreachable(client, number, now)
            return
        server = End(sock, sock.fileno(), rule, False, now)
        server.peer = client
        client.peer = server
        if not (watched or early):
            # By now the first of it has come in, mostly.
            words = self._first_words(client)
            if words is None:
                return
            data += words
        self._begun.append((server, data, watched))

    def _tell_servers(self) -> None:
        """Send what servers are told first, and have both ends watched.

        One after the other, for then a server on this host is woken once for many connections.
        """
        begun, self._begun = self._begun, []
        for server, data, watched in begun:
            try:
                self._tell(server, data, watched)
            except OSError as error:
                self._fail(server, error.errno or errno.EIO)

    def _tell(self, server: End, data: bytes, watched: bool) -> None:
        relay, rule = self._relay, server.rule
        is_instant, sent = rule.instant, 0
        if data and is_instant:
            try:
                sent = server.sock.send(data)
            except BlockingIOError:
                is_instant, rule.instant, rule.probe = False, False, INSTANT_AGAIN
        elif data:
            rule.probe -= 1
            rule.instant = rule.probe <= 0
        if is_instant and sent == len(data):
            relay.watch(server, READS)
            if not data:
                # The handshake has ended, and if not, sending will find out.
                self._opening[server.fd] = server
        else:
            server.state = CONNECTING
            server.pending = data[sent:] or None
            self._opening[server.fd] = server
            relay.watch(server, BOTH)
        client = server.peer
        assert client is not None
        if not watched:
            relay.watch(client, READS)
        elif client.ready and not server.state:
            relay.again.append(client)

    def _first_words(self, client: End) -> bytes | None:
        """What a client has said so far; None if it has gone."""
        try:
            words: bytes = client.sock.recv(SMALL, _DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            self._relay.abort(client)
            return None
        client.carried = len(words)
        rule = client.rule
        if rule.defers is None and words:
            rule.client_spoke_first()
        return words

    def raced(self, attempt: Attempt, now: float) -> None:
        """An attempt to reach one of several addresses has come to its end."""
        self._attempts.ended(attempt, now)
        self._set_deadline()

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
        if number in EXHAUSTED:
            self.note_exhausted(number, now)
        client.rule.failed(number)
        self._relay.abort(client)

    # Time

    def handle_timer(self, now: float) -> None:
        """Accept again after a pause, and go on with attempts to connect."""
        if self.paused_until is not None and self.paused_until <= now:
            self.paused_until = None
        self._attempts.handle_timer(now)
        self._set_deadline()

    def _set_deadline(self) -> None:
        paused = NEVER if self.paused_until is None else self.paused_until
        self.deadline = min(self._attempts.deadline, paused)

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

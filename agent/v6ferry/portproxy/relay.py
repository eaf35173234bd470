# SPDX-License-Identifier: GPL-3.0-or-later
"""How bytes, ends of streams, urgent data and resets pass from one socket to the other.

Little data is read and sent; once a read fills its buffer, splice(2) moves what follows without
showing it to this process. Sockets are watched edge-triggered, so what could not be read for lack
of room beyond is remembered (``End.ready``) and read when there is room again.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
from typing import Any

from v6ferry.portproxy import pipes
from v6ferry.portproxy.pipes import Pipe, PipePool
from v6ferry.portproxy.rules import Listener, Rule, bucket_of

SMALL = 32768
"""Bytes read at once; what fills this is bulk."""
TURNS = 16
"""Pipes filled for one socket before others have their turn."""

OPEN, CONNECTING, GREETING, RACING, LISTENING = range(5)
"""What a watched socket is in the middle of; connections at work are OPEN."""

EPOLLIN, EPOLLOUT, EPOLLPRI = select.EPOLLIN, select.EPOLLOUT, select.EPOLLPRI
EPOLLERR, EPOLLRDHUP = select.EPOLLERR, select.EPOLLRDHUP
READS = EPOLLIN | EPOLLPRI | EPOLLRDHUP | select.EPOLLET
"""What sockets are watched for; EPOLLOUT comes in when one is full, as it would wake us in vain."""
BOTH = READS | EPOLLOUT

_SHUT_WR, _TCP, _NODELAY = socket.SHUT_WR, socket.IPPROTO_TCP, socket.TCP_NODELAY
_DONTWAIT, _MORE, _OOB = socket.MSG_DONTWAIT, socket.MSG_MORE, socket.MSG_OOB
_SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close sends a reset, as RFC 9293 section 3.10.5 has it for an aborted connection."""
_UNREACHABLE = {
    errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM,
}  # fmt: skip
"""What a server's socket says if it has never been connected."""
_SIOCATMARK = 0x8905  # <asm-generic/sockios.h>


class End:
    """One of the two sockets of a connection."""

    __slots__ = (
        "active", "bulk", "carried", "eof", "fd", "is_client", "is_prompt", "peer", "pending",
        "pipe", "piped", "ready", "rule", "sock", "started", "state",
    )  # fmt: skip

    def __init__(self, sock: Any, fd: int, rule: Rule, is_client: bool, now: float) -> None:
        self.sock = sock
        self.fd = fd
        self.rule = rule
        self.is_client = is_client
        self.state = OPEN
        self.peer: End | None = None
        self.eof = False
        """Whether its end of stream has been read, and told to the peer."""
        self.ready = 0
        """Events whose data waits for room at the peer."""
        self.bulk = False
        """Whether what comes from it goes through a pipe."""
        self.pending: bytes | None = None
        """What is still to be sent to it."""
        self.pipe: Pipe | None = None
        """Holds ``piped`` bytes that are still to be sent to it."""
        self.piped = 0
        self.is_prompt = is_client
        """Whether small data goes out at once (TCP_NODELAY); clients' sockets inherit that."""
        self.carried = 0
        """Bytes read from it; the rule counts them when the connection has ended."""
        self.started = self.active = now


class Relay:
    """Moves bytes between the ends of connections.

    Attributes:
        ends: what is watched, by descriptor.
        again: ends that have had their turn and have more.
    """

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.ends: list[End | Listener | Any] = [None] * 1024
        self.again: list[End] = []
        self.pipes = PipePool()
        self.register = self.epoll.register

    def watch(self, end: Any, mask: int) -> None:
        """Have an end's events come in."""
        fd = end.fd
        if fd >= len(self.ends):
            self.ends.extend([None] * fd)
        self.ends[fd] = end
        self.register(fd, mask)

    def pump(self, end: End, events: int) -> None:
        """Carry what can be read from ``end`` to its peer, until there is no more or no room."""
        peer = end.peer
        if peer is None:
            return
        if end.eof:
            if events & EPOLLERR:
                self.abort(end)
            return
        if peer.pending is not None or peer.piped or peer.state:
            if events & EPOLLERR:
                self.abort(end)
            else:
                end.ready |= events
            return
        if events & EPOLLPRI and self._carry_urgent(end, peer):
            return
        if end.bulk:
            self._splice(end, peer, events)
            return
        try:
            data = end.sock.recv(SMALL, _DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _UNREACHABLE and not end.is_client:
                end.rule.failed(error.errno)
            self.abort(end)
            return
        size = len(data)
        if not size:
            if peer.eof:
                self.finish(end, peer)
            else:
                self._ended(end, peer)
            return
        if not peer.carried:
            if not end.is_client:
                end.rule.server_spoke_first()
            elif end.carried:
                end.rule.client_spoke_again()
            elif end.rule.defers is None:
                end.rule.client_spoke_first()
        end.carried += size
        if not peer.is_prompt:
            # What goes first goes at once anyway, so short connections never come here.
            peer.is_prompt = True
            peer.sock.setsockopt(_TCP, _NODELAY, 1)
        # After a short read the stream has nothing more; so what was told to end has ended.
        ends = size < SMALL and events & (EPOLLRDHUP | EPOLLPRI) == EPOLLRDHUP
        try:
            # The FIN goes out with the data.
            sent = peer.sock.send(data, _DONTWAIT | _MORE if ends else _DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort(peer)
            return
        if sent < size:
            peer.pending = data[sent:]
            end.ready = events | EPOLLIN
            self.epoll.modify(peer.fd, BOTH)
        elif ends:
            self._ended(end, peer)
        elif size == SMALL:
            end.bulk = True
            os.set_blocking(end.fd, False)
            os.set_blocking(peer.fd, False)
            self._splice(end, peer, events)

    def _splice(self, end: End, peer: End, events: int) -> None:
        pipe = peer.pipe
        if pipe is None:
            pipe = peer.pipe = self.pipes.take()
            if pipe is None:
                self._copy(end, peer, events)
                return
        source, sink, splice, moved = end.fd, peer.fd, os.splice, 0
        for _turn in range(TURNS):
            try:
                size = splice(source, pipe[1], pipes.CAPACITY, flags=_SPLICE)
            except BlockingIOError:
                self._give_pipe_back(peer)
                # A stream of little at a time is of requests and answers, which splice is slow at.
                # Where there was nothing at all, others had their turn before.
                end.bulk = not 0 < moved < SMALL
                if events & EPOLLPRI and self._is_at_mark(end):
                    # It stops at an urgent byte, and more may be behind that.
                    end.ready = events
                    self.again.append(end)
                return
            except OSError:
                self.abort(end)
                return
            if not size:
                self._give_pipe_back(peer)
                self._ended(end, peer)
                return
            moved += size
            end.carried += size
            peer.piped = size
            if not self._drain(peer, pipe[0], sink):
                end.ready = events | EPOLLIN
                return
        end.ready = events
        self.again.append(end)

    def _drain(self, peer: End, source: int, sink: int) -> bool:
        """Empty a pipe into a socket; returns whether it is empty now."""
        while peer.piped:
            try:
                peer.piped -= os.splice(source, sink, peer.piped, flags=_SPLICE)
            except BlockingIOError:
                self.epoll.modify(sink, BOTH)
                return False
            except OSError:
                self.abort(peer)
                return False
        return True

    def _copy(self, end: End, peer: End, events: int) -> None:
        """Carry a piece of bulk where the system has no pipes left."""
        end.bulk = False
        end.ready = events
        self.again.append(end)

    def _give_pipe_back(self, end: End) -> None:
        if end.pipe is not None:
            self.pipes.give(end.pipe)
            end.pipe = None

    def flush(self, end: End) -> None:
        """There may be room for what waits to be sent to ``end``; then read from its peer again."""
        if end.pending is not None:
            try:
                sent = end.sock.send(end.pending, _DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                self.abort(end)
                return
            if sent < len(end.pending):
                end.pending = end.pending[sent:]
                return
            end.pending = None
        elif end.piped:
            pipe = end.pipe
            assert pipe is not None
            if not self._drain(end, pipe[0], end.fd):
                return
        peer = end.peer
        if peer is not None and peer.ready:
            events, peer.ready = peer.ready, 0
            self.pump(peer, events)

    def take_turns(self) -> None:
        """Let those go on that had more to carry than their turn allowed."""
        again, self.again = self.again, []
        for end in again:
            events, end.ready = end.ready, 0
            self.pump(end, events | EPOLLIN)

    # Urgent data (RFC 9293 section 3.8.5)

    def _is_at_mark(self, end: End) -> bool:
        answer = array.array("i", [0])
        fcntl.ioctl(end.fd, _SIOCATMARK, answer)
        return bool(answer[0])

    def _carry_urgent(self, end: End, peer: End) -> bool:
        """Carry what comes before the urgent byte, and the byte as such, to the same place.

        Returns:
            Whether the end has been dealt with: it was aborted, or waits for room.
        """
        try:
            while not self._is_at_mark(end):
                # A read stops at the mark by itself.
                data = end.sock.recv(SMALL, _DONTWAIT)
                if not data:
                    self._ended(end, peer)
                    return True
                end.carried += len(data)
                if not self._send_all(peer, data, 0):
                    end.ready = EPOLLPRI | EPOLLIN
                    return True
            urgent = end.sock.recv(1, _OOB | _DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False  # there is no urgent byte any more
            self.abort(end)
            return True
        if urgent:
            end.carried += 1
            if not self._send_all(peer, urgent, _OOB):
                end.ready = EPOLLIN
                return True
        return False

    def _send_all(self, peer: End, data: bytes, flags: int) -> bool:
        """Send, or keep what there is no room for; returns whether all has been sent."""
        try:
            sent = peer.sock.send(data, _DONTWAIT | flags)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort(peer)
            return False
        if sent < len(data):
            peer.pending = data[sent:]
            self.epoll.modify(peer.fd, BOTH)
            return False
        return True

    # How connections end

    def _ended(self, end: End, peer: End) -> None:
        """The stream from ``end`` is over, and all of it has been carried."""
        end.eof = True
        if peer.eof:
            self.finish(end, peer)
            return
        try:
            peer.sock.shutdown(_SHUT_WR)
        except OSError:
            self.abort(peer)

    def abort(self, end: End) -> None:
        """One socket has failed: let the other side see a reset, never a clean end."""
        peer = end.peer
        ends = (end,) if peer is None else (end, peer)
        for one in ends:
            with contextlib.suppress(OSError):
                one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.finish(end, peer)

    def finish(self, end: End, peer: End | None) -> None:
        """Close both sockets and count the connection."""
        ends, counters = self.ends, end.rule.counters
        client, server = (end, peer) if end.is_client else (peer, end)
        if server is not None:
            counters.bytes_out += server.carried
            server.peer = None
            ends[server.fd] = None
            server.sock.close()
            if server.pipe is not None:
                self._drop_pipe(server)
        if client is not None:
            counters.bytes_in += client.carried
            client.peer = None
            ends[client.fd] = None
            client.sock.close()
            if client.pipe is not None:
                self._drop_pipe(client)
            rule = end.rule
            rule.active -= 1
            seconds = end.active - client.started
            counters.seconds += seconds
            milliseconds = int(seconds * 1000)
            counters.durations[bucket_of(milliseconds) if milliseconds else 0] += 1

    def _drop_pipe(self, end: End) -> None:
        """Let go of the pipe of an end that is no more; what is in it is for nobody."""
        assert end.pipe is not None
        if end.piped:
            pipes.close(end.pipe)
        else:
            self.pipes.give(end.pipe)
        end.pipe = None
        end.piped = 0

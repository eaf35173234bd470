# SPDX-License-Identifier: GPL-3.0-or-later
"""One process that carries connections: its loop, its clock, and what the agent asks of it."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from v6ferry import __version__
from v6ferry.portproxy import messages
from v6ferry.portproxy.opening import Opener
from v6ferry.portproxy.relay import (
    CONNECTING,
    EPOLLERR,
    EPOLLOUT,
    GREETING,
    LISTENING,
    RACING,
    End,
    Relay,
)
from v6ferry.portproxy.rules import Listener, Rule

EVENTS = 512
"""Events taken at once."""
TICK = 1.0
"""Seconds between looks at idle connections."""
ROUND = 10.0
"""Seconds in which each connection is looked at once: how exact idle timeouts are."""
CONTROL = 9
"""The state of a control socket."""

_MODULES = (
    *(
        f"v6ferry.portproxy.{name}"
        for name in (
            "attempts",
            "greeting",
            "messages",
            "opening",
            "pipes",
            "racing",
            "relay",
            "rules",
            "servers",
            "worker",
        )
    ),
    "v6ferry.wire.proxy_protocol",
)
"""What a worker runs."""

_log = logging.getLogger(__name__)


class _Control:
    """The socket where agents connect, or one of their connections."""

    __slots__ = ("fd", "listens", "sock", "state")

    def __init__(self, sock: socket.socket, listens: bool) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.listens = listens
        self.state = CONTROL


class Worker:
    """Carries the connections of all rules that it is told.

    Args:
        control: a listening Unix socket of the type SOCK_SEQPACKET.
    """

    def __init__(self, control: socket.socket) -> None:
        self._relay = Relay()
        self._opener = Opener(self._relay)
        self._rules: dict[str, Rule] = {}
        self._leaving: list[Rule] = []
        """Removed rules whose connections go on."""
        self._paused = False
        self._has_limits = False
        self._retired = False
        self._running = True
        self._swept = 0
        """Descriptors of this round that have been looked at."""
        self._next_tick = time.monotonic() + TICK
        control.setblocking(False)
        self._control_path = control.getsockname()
        self._relay.watch(_Control(control, listens=True), select.EPOLLIN)

    def run(self) -> None:
        """Work until the agent says that it is enough."""
        relay, opener = self._relay, self._opener
        poll, ends = relay.epoll.poll, relay.ends
        end: Any
        monotonic, pump, flush, accept = time.monotonic, relay.pump, relay.flush, opener.accept
        now = monotonic()
        while self._running:
            due: list[Any] = []
            wake = min(self._next_tick, opener.deadline)
            events = poll(0 if relay.again else max(wake - now, 0), EVENTS)
            now = monotonic()
            for fd, event in events:
                end = ends[fd]
                if end is None:
                    continue
                if end.state:
                    # New descriptors are opened only when all events of the old ones are seen.
                    due.append((end, event))
                    continue
                end.active = now
                try:
                    if event & EPOLLOUT and (end.pending is not None or end.piped):
                        flush(end)
                    if event & ~EPOLLOUT:
                        pump(end, event)
                except Exception:
                    self._mishap(end)
            for end, event in due:
                try:
                    if end.state == LISTENING:
                        if not end.rule.is_removed and opener.paused_until is None:
                            accept(end, now)
                    elif ends[end.fd] is end:
                        self._special(end, event, now)
                except Exception:
                    self._mishap(end)
            if relay.again:
                relay.take_turns()
            if now >= wake or self._has_limits:
                self._handle_timers(now)

    def _mishap(self, end: Any) -> None:
        """A fault of the program must not cost other connections more than this one."""
        _log.exception("an internal error")
        if isinstance(end, End):
            self._relay.abort(end)

    def _special(self, end: Any, event: int, now: float) -> None:
        """An event of something that is not a connection at work."""
        if end.state == CONNECTING:
            end.active = now
            if event & (EPOLLOUT | EPOLLERR):
                self._opener.connected(end)
        elif end.state == RACING:
            self._opener.raced(end, now)
        elif end.state == GREETING:
            self._opener.greeted(end, now)
        elif end.state == CONTROL:
            self._controlled(end)
        elif end.state == 0:
            # It was connecting when the events came in.
            self._relay.pump(end, event)

    # Time

    def _handle_timers(self, now: float) -> None:
        if self._opener.deadline <= now:
            self._opener.handle_timer(now)
        paused = self._opener.paused_until is not None
        if paused != self._paused or self._has_limits:
            self._paused = paused
            self._watch_listeners()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK
        self._watch_listeners()
        self._opener.give_up(now)
        self._sweep(now)
        for rule in list(self._leaving):
            if rule.cut_at is not None and rule.cut_at <= now:
                self._cut(rule)
            if not rule.active:
                self._leaving.remove(rule)
        if self._retired and not self._leaving and not self._active():
            self._running = False

    def _active(self) -> int:
        return sum(rule.active for rule in (*self._rules.values(), *self._leaving))

    def _sweep(self, now: float) -> None:
        """Look at a part of all connections: cut idle ones, have the others probed."""
        relay = self._relay
        share = int(len(relay.ends) * TICK / ROUND) + 1
        last = min(self._swept + share, len(relay.ends))
        for end in relay.ends[self._swept : last]:
            if not isinstance(end, End) or end.peer is None or end.state:
                continue
            idle = end.rule.idle_timeout
            if idle and now - max(end.active, end.peer.active) > idle:
                end.rule.counters.timed_out += 1
                relay.abort(end)
            elif end.rule.keepalive and now - end.started > ROUND:
                self._probe(end, end.rule.keepalive)
        self._swept = 0 if last == len(relay.ends) else last

    @staticmethod
    def _probe(end: End, keepalive: Any) -> None:
        """Let the kernel find out when the other side dies; short connections never need it."""
        if end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            return
        set_keepalive(end.sock, keepalive)

    def _cut(self, rule: Rule) -> None:
        for end in list(self._relay.ends):
            if isinstance(end, End) and end.rule is rule and end.is_client:
                self._relay.abort(end)

    def _watch_listeners(self) -> None:
        """Watch those of rules that may have more connections, and only those."""
        for rule in self._rules.values():
            wanted = not (rule.is_full() or self._retired or self._paused)
            for listener in rule.listeners.values():
                if wanted and not listener.is_watched:
                    # One worker is woken for a connection, not all.
                    self._relay.watch(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
                elif not wanted and listener.is_watched:
                    self._relay.epoll.unregister(listener.fd)
                listener.is_watched = wanted

    # What the agent asks

    def _controlled(self, control: _Control) -> None:
        if control.listens:
            try:
                accepted, _address = control.sock.accept()
            except OSError:
                return
            messages.enlarge(accepted)
            self._relay.watch(_Control(accepted, listens=False), select.EPOLLIN)
            return
        try:
            received = messages.receive(control.sock)
            if received is None:
                self._hang_up(control)
                return
            message, descriptors = received
            lent: list[int] = []
            try:
                answer, lent = self._answer(message, descriptors)
            except (ValueError, KeyError, TypeError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            messages.send(control.sock, answer, lent)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(control)

    def _hang_up(self, control: _Control) -> None:
        self._relay.ends[control.fd] = None
        control.sock.close()

    def _answer(
        self, message: Mapping[str, Any], descriptors: list[int]
    ) -> tuple[Mapping[str, Any], list[int]]:
        asked = message["do"]
        if asked == "lend":
            rule = self._rules[message["name"]]
            wanted = list(map(tuple, message["where"]))
            return {}, [rule.listeners[where].fd for where in wanted]
        methods: dict[str, Callable[[], Mapping[str, Any]]] = {
            "hello": self._hello,
            "set": lambda: self._set(message, descriptors),
            "aim": lambda: self._aim(message),
            "remove": lambda: self._remove(message),
            "statistics": self._statistics,
            "retire": self._retire,
            "stop": self._stop,
        }
        return methods[asked](), []

    def _hello(self) -> Mapping[str, Any]:
        rules = {
            rule.name: [list(where) for where in rule.listeners] for rule in self._rules.values()
        }
        return {
            "version": __version__,
            "code": code_digest(),
            "process_id": os.getpid(),
            "retired": self._retired,
            "rules": rules,
        }

    def _set(self, message: Mapping[str, Any], descriptors: list[int]) -> Mapping[str, Any]:
        told = message["rule"]
        rule = self._rules.get(told["name"])
        if rule is None:
            rule = self._rules[told["name"]] = Rule(told["name"])
        for where, descriptor in zip(message["added"], descriptors, strict=True):
            listening = socket.socket(fileno=descriptor)
            listening.setblocking(False)
            key = (where[0], where[1])
            self._forget(rule, key)
            rule.listeners[key] = Listener(listening, key, LISTENING)
        wanted = {(one["host"], one["port"]) for one in told["listeners"]}
        for key in set(rule.listeners) - wanted:
            self._forget(rule, key)
        rule.configure(told)
        self._has_limits = any(one.limit is not None for one in self._rules.values())
        self._watch_listeners()
        return {}

    def _aim(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        self._rules[message["name"]].aim(message["listeners"])
        return {}

    def _remove(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        rule = self._rules.pop(message["name"])
        rule.is_removed = True
        for key in list(rule.listeners):
            self._forget(rule, key)
        cut_after = message["cut_after"]
        if cut_after is not None:
            rule.cut_at = time.monotonic() + cut_after
            if not cut_after:
                self._cut(rule)
        if rule.active:
            self._leaving.append(rule)
        return {"active": rule.active}

    def _forget(self, rule: Rule, where: tuple[str, int]) -> None:
        listener = rule.listeners.pop(where, None)
        if listener is None:
            return
        if listener.is_watched:
            # Closing is not enough: other processes have the socket, too (epoll(7)).
            self._relay.epoll.unregister(listener.fd)
        self._relay.ends[listener.fd] = None
        listener.sock.close()

    def _statistics(self) -> Mapping[str, Any]:
        rules = {rule.name: rule.as_dict() for rule in self._rules.values()}
        for end in self._relay.ends:
            if isinstance(end, End) and self._rules.get(end.rule.name) is end.rule:
                rules[end.rule.name]["bytes_in" if end.is_client else "bytes_out"] += end.carried
        return {
            "rules": rules,
            "leaving": [rule.as_dict() for rule in self._leaving],
            "exhausted": self._opener.exhausted,
            "retired": self._retired,
            "process_id": os.getpid(),
        }

    def _retire(self) -> Mapping[str, Any]:
        self._retired = True
        self._watch_listeners()
        for name in list(self._rules):
            self._remove({"name": name, "cut_after": None})
        return {}

    def _stop(self) -> Mapping[str, Any]:
        self._running = False
        return {}


def set_keepalive(sock: Any, keepalive: Any) -> None:
    """Have a connection probed after so many idle seconds, so often, so many times."""
    idle, interval, probes = keepalive
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)


def code_digest() -> str:
    """What tells workers of different code apart: a digest of this package as it was loaded."""
    return _CODE


def _digest() -> str:
    digest = hashlib.sha256(__version__.encode())
    for name in _MODULES:
        get_source = getattr(sys.modules[name].__loader__, "get_source", lambda _name: "")
        digest.update((get_source(name) or "").encode())
    return digest.hexdigest()[:16]


def main() -> None:
    """Be a worker; descriptor 0 is the control socket."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A service whose system calls are filtered has its limit from LimitNOFILE= already.
    with contextlib.suppress(OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    worker = Worker(control)
    # Ends refer to each other until they are closed, which breaks the cycle: nothing to collect.
    gc.disable()
    gc.freeze()
    try:
        worker.run()
    finally:
        Path(control.getsockname()).unlink(missing_ok=True)


_CODE = _digest()

if __name__ == "__main__":
    main()

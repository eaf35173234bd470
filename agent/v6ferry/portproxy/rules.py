# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as a worker has them: where they listen, where they lead, and what they count."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DEFER_AFTER = 100
"""Connections whose clients spoke first, before all are expected to."""
HISTOGRAM_BUCKETS = 32
"""The last takes all that lasts longer than 2 to the power of 30 milliseconds (12 days)."""

Target = tuple[int, tuple[Any, ...]]
"""An address family and an address as ``socket.connect`` takes it."""


class Prefixes:
    """Tells fast whether an address lies in one of some prefixes.

    Args:
        prefixes: such as ``10.0.0.0/8`` and ``2001:db8::/32``.
    """

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._networks: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for prefix in prefixes:
            host, _slash, length = prefix.partition("/")
            packed = packed_address(host)
            shift = len(packed) * 8 - int(length)
            self._networks[len(packed)].append((shift, int.from_bytes(packed, "big") >> shift))

    def __bool__(self) -> bool:
        return any(self._networks.values())

    def __contains__(self, address: bytes) -> bool:
        number = int.from_bytes(address, "big")
        return any(number >> shift == start for shift, start in self._networks[len(address)])


class Counters:
    """What a rule has seen since its worker began; ``as_dict`` names each."""

    __slots__ = ("bytes_in", "bytes_out", "durations", "failed", "refused", "seconds", "timed_out")

    def __init__(self) -> None:
        self.refused = 0
        """Connections whose source is not allowed, or whose PROXY header is none."""
        self.timed_out = 0
        """Connections cut because nothing moved for the idle timeout."""
        self.bytes_in = 0
        """Bytes from clients to servers."""
        self.bytes_out = 0
        """Bytes from servers to clients."""
        self.failed: dict[int, int] = {}
        """Clients for whom no server was reached, by errno."""
        self.durations = [0] * HISTOGRAM_BUCKETS
        """Ended connections: item n counts those of less than 2**n milliseconds."""
        self.seconds = 0.0
        """How long ended connections have taken together."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "refused": self.refused,
            "timed_out": self.timed_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "failed": {errno.errorcode.get(n, str(n)): m for n, m in sorted(self.failed.items())},
            "durations": list(self.durations),
            "seconds": round(self.seconds, 3),
        }


class Listener:
    """A listening socket of a rule."""

    __slots__ = (
        "accept", "batch", "family", "fd", "is_watched", "rule", "sock", "state", "targets",
        "where",
    )  # fmt: skip

    def __init__(self, sock: Any, where: tuple[str, int], state: int) -> None:
        self.sock = sock
        self.fd: int = sock.fileno()
        self.accept, self.family = sock._accept, int(sock.family)
        self.batch = 1
        """Connections to accept at once."""
        self.where = where
        """Address and port as the rule has them."""
        self.state = state
        self.rule: Rule
        self.targets: Sequence[Target] = ()
        self.is_watched = False


class Rule:
    """One rule: what the agent said of it, and how it fares in this worker.

    Args:
        name: of the resource.
    """

    __slots__ = (
        "accept_proxy", "active", "allowed", "connect_timeout", "counters", "cut_at", "defers",
        "delays", "fast_open", "first_words",
        "idle_timeout", "instant", "is_removed", "keepalive", "limit", "listeners", "name",
        "probe", "quick", "refused", "send_proxy", "transparent",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.listeners: dict[tuple[str, int], Listener] = {}
        self.counters = Counters()
        self.active = 0
        self.is_removed = False
        self.cut_at: float | None = None
        """When the connections of a removed rule are cut."""
        self.instant = True
        """Whether the servers' handshakes end within connect(2): they run on this host."""
        self.probe = 0
        """Connections until that is tried again."""
        self.first_words = 0
        """Connections in whose beginning the client spoke first."""
        self.defers: bool | None = None
        """Whether the kernel hands connections over only with their first data; None: not yet."""
        self.delays: bool | None = None
        """Whether first data is acknowledged with the answer to it; None: not yet."""
        self.configure({"listeners": []})

    def configure(self, told: Mapping[str, Any]) -> None:
        """Go on with what the agent says; running connections stay as they began."""
        self.allowed = Prefixes(told.get("allowed_sources", ()))
        self.refused = Prefixes(told.get("refused_sources", ()))
        self.limit: int | None = told.get("limit")
        self.connect_timeout: float = told.get("connect_timeout", 10.0)
        self.idle_timeout: float = told.get("idle_timeout", 0.0)
        self.keepalive: Sequence[int] | None = told.get("keepalive")
        """Seconds idle, seconds between probes, number of probes; None for no keepalive."""
        self.send_proxy: int = told.get("send_proxy", 0)
        self.accept_proxy: bool = told.get("accept_proxy", False)
        self.fast_open: bool = told.get("fast_open", False)
        self.transparent: bool = told.get("transparent", False)
        # Nothing to look at before a connection may begin.
        self.quick = not (
            self.allowed or self.refused or self.send_proxy or self.accept_proxy
            or self.transparent or self.fast_open
        )  # fmt: skip
        self.aim(told["listeners"])

    def aim(self, listeners: Iterable[Mapping[str, Any]]) -> None:
        """Lead each listener where the agent says now."""
        for one in listeners:
            listener = self.listeners.get((one["host"], one["port"]))
            if listener is not None:
                listener.rule = self
                listener.targets = [target(host, port) for host, port in one["targets"]]

    def is_full(self) -> bool:
        """Whether the rule may not have another connection now."""
        return self.limit is not None and self.active >= self.limit

    def admits(self, address: bytes) -> bool:
        """Whether a client may come from an address in network order."""
        if self.allowed and address not in self.allowed:
            return False
        return address not in self.refused

    def client_spoke_first(self) -> None:
        """Where clients always speak first, the kernel need not wake us before they do.

        So what the client says is there with the connection; and the answer acknowledges it. Two
        packets less are sent.
        """
        self.first_words += 1
        if self.first_words >= DEFER_AFTER and self.defers is None:
            self._defer(True)
            if self.delays is None:
                self._delay(True)

    def server_spoke_first(self) -> None:
        """Never let clients of such a protocol wait again."""
        if self.defers is not False:
            self._defer(False)

    def client_spoke_again(self) -> None:
        """A client said more before the server has answered.

        Such clients may wait for the acknowledgement of the first (Nagle's algorithm, RFC 9293
        section 3.7.4), so it has to go out at once.
        """
        if self.delays is not False:
            self._delay(False)

    def _defer(self, defers: bool) -> None:
        self.defers = defers
        # Seconds after which a silent client is handed over all the same.
        self._set_on_listeners(socket.TCP_DEFER_ACCEPT, int(defers))

    def _delay(self, delays: bool) -> None:
        self.delays = delays
        self._set_on_listeners(socket.TCP_QUICKACK, int(not delays))

    def _set_on_listeners(self, option: int, value: int) -> None:
        """Set a TCP option that accepted connections inherit."""
        for listener in self.listeners.values():
            listener.sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def failed(self, number: int) -> None:
        """No server could be reached for a client; ``number`` is the last one's errno."""
        self.counters.failed[number] = self.counters.failed.get(number, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.counters.as_dict(),
            # Each has ended, and been counted then, or runs.
            "accepted": sum(self.counters.durations) + self.active,
            "active": self.active,
            "removed": self.is_removed,
        }


def bucket_of(milliseconds: int) -> int:
    """The item of ``Counters.durations`` that counts a connection of so many milliseconds."""
    return min(milliseconds.bit_length(), HISTOGRAM_BUCKETS - 1)


def packed_address(host: str) -> bytes:
    """An address in network order, 4 or 16 bytes; one of IPv4 inside IPv6 counts as IPv4."""
    host = host.partition("%")[0]
    if ":" not in host:
        return socket.inet_pton(socket.AF_INET, host)
    packed = socket.inet_pton(socket.AF_INET6, host)
    return packed[12:] if packed.startswith(bytes(10) + b"\xff\xff") else packed


def target(host: str, port: int) -> Target:
    """An address to connect to; an interface may follow that of a link (fe80::1%eth0)."""
    if ":" not in host:
        return socket.AF_INET, (host, port)
    plain, _percent, zone = host.partition("%")
    if not zone:
        return socket.AF_INET6, (plain, port)
    scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return socket.AF_INET6, (plain, port, 0, scope)

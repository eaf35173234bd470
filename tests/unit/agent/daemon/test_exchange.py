# SPDX-License-Identifier: GPL-3.0-or-later
"""When engine and plane hear of each other."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from types import SimpleNamespace
from typing import Any

from v6ferry.daemon.exchange import Exchange
from v6ferry.engines.interface import OutgoingDatagram
from v6ferry.engines.teredo.outbox import TeredoEngine
from v6ferry.forwarding.table import Endpoint
from v6ferry.forwarding.tunnel import PeerChanges, ReceivedControl

HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
PEER = IPv6Address("2001:0:c000:201::1")


class Engine(TeredoEngine):
    """Sends each datagram back, and delivers it; its sender is a peer from then on."""

    def __init__(self) -> None:
        super().__init__(globally_unique=False)
        self.changes: dict[IPv6Address, Endpoint | None] = {}

    def peer_changes(self) -> PeerChanges:
        taken, self.changes = self.changes, {}
        return taken

    def receive_datagram(self, payload: bytes, source: Endpoint, *_rest: Any) -> None:
        self._datagrams.append(OutgoingDatagram(payload, source))
        self._deliveries.append(payload)
        self.changes[PEER] = source

    def update_spec(self, spec: Any, now: float) -> None: ...

    def update_facts(self, facts: Any, now: float) -> None: ...

    def status(self, now: float) -> dict[str, Any]:
        return {}


def done_after(*wakeups: tuple[bytes, ...]) -> list[str]:
    """What is done with the plane, each wakeup bringing some datagrams."""
    done: list[str] = []
    plane = SimpleNamespace(
        tunnel=lambda _interface: SimpleNamespace(
            send=lambda payload, *_rest: done.append(f"send {payload.decode()}"),
            deliver=lambda packet: done.append(f"deliver {packet.decode()}"),
        ),
        change_peers=lambda _interface, _changes: done.append("peers"),
    )

    async def run() -> None:
        host: Any = SimpleNamespace(plane=plane)
        engine: Any = Engine()
        exchange: Exchange = Exchange(
            engine, host, "teredo0", lambda: (done.append("heard"), exchange.carry_out())
        )
        for payloads in wakeups:
            for payload in payloads:
                exchange.hear(ReceivedControl(payload, THERE, HERE, 3544))
            await asyncio.sleep(0)

    asyncio.run(run())
    return done


def test_what_waits_goes_before_its_peer_is_known_and_the_kernel_hears_after_that() -> None:
    assert done_after((b"1",)) == ["heard", "send 1", "peers", "deliver 1"]


def test_first_of_a_wakeup_is_carried_out_at_once_and_the_rest_together() -> None:
    done = done_after((b"1", b"2", b"3"), (b"4",))
    assert done == [
        *("heard", "send 1", "peers", "deliver 1"),
        *("heard", "send 2", "send 3", "peers", "deliver 2", "deliver 3"),
        *("heard", "send 4", "peers", "deliver 4"),
    ]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines have in common that exchange no packets of their own."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from v6ferry.engines.interface import OutgoingPacket
from v6ferry.system.state import HostFacts


class QuietEngine:
    """Sends and expects no packets of its own, waits for no time, and remembers but the host.

    One that asks for names, too, or counts what comes unasked, overrides what is about that.
    """

    def __init__(self) -> None:
        self._facts = HostFacts()

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``."""

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``."""

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``."""

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        return None

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        return []

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``: nobody has to be told."""

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return True

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: there is nothing that a successor does not know."""
        return {}

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""All private interfaces of a router; an engine has one of these and tells it what it wants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from v6ferry.engines.interface import LinkPacket
from v6ferry.engines.lan.advertised import AdvertisedLink
from v6ferry.engines.lan.link import Link
from v6ferry.system.state import HostFacts, LinkState


class LanRouter:
    """Advertises prefixes on private interfaces (RFC 4861 section 6.2).

    Its owner hands it facts and packets, calls ``handle_timer`` at ``next_deadline``, and says
    with ``want`` what each interface gets. It must not say so before it knows the host's facts: a
    prefix that is not wanted any more is deprecated at once.

    Args:
        random: for the intervals between advertisements.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._links: dict[str, Link] = {}
        self._facts = HostFacts()

    def want(self, wishes: Iterable[AdvertisedLink], now: float) -> None:
        """Serve these interfaces, each once, in this way; take leave of all others."""
        wanted = {wish.interface: wish for wish in wishes}
        for name, wish in wanted.items():
            self._link(name, now).want(wish, now)
        for name, link in self._links.items():
            if name not in wanted:
                link.leave(now)
        self._drop_left()

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """The host is like this now."""
        self._facts = facts
        for name, link in self._links.items():
            link.update_facts(facts.links.get(name), now)

    def receive(self, interface: str, packet: bytes, now: float) -> None:
        """A packet came in on an interface."""
        link = self._links.get(interface)
        if link is not None:
            link.receive(packet, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""
        for link in self._links.values():
            link.handle_timer(now)

    def next_deadline(self) -> float:
        """When ``handle_timer`` is to be called; infinity for never."""
        return min((link.next_deadline() for link in self._links.values()), default=math.inf)

    def packets_to_send(self) -> list[LinkPacket]:
        """Packets to send now; each is returned once."""
        packets = [packet for link in self._links.values() for packet in link.packets_to_send()]
        self._drop_left()
        return packets

    def states(self) -> tuple[LinkState, ...]:
        """What each interface should have."""
        return tuple(link.state() for link in self._links.values() if not link.has_left)

    def begin_withdrawal(self, now: float) -> None:
        """Take leave of all hosts."""
        for link in self._links.values():
            link.leave(now)

    def withdrawn(self) -> bool:
        """Whether the leave-taking is over."""
        return all(link.has_left for link in self._links.values())

    def problems(self) -> list[str]:
        """Why nothing can be advertised on some of the interfaces, a line each."""
        found = [link.problem() for link in self._links.values()]
        return [problem for problem in found if problem is not None]

    def status(self, now: float) -> dict[str, Any]:
        """What a user wants to know of each interface, JSON-ready."""
        return {name: link.status(now) for name, link in sorted(self._links.items())}

    def snapshot(self) -> dict[str, Any]:
        """What hosts have been told, JSON-ready."""
        return {name: link.snapshot() for name, link in self._links.items()}

    def restore(self, snapshot: Any, now: float) -> None:
        """Take over what a predecessor has told hosts.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: this is no snapshot.
        """
        if not isinstance(snapshot, Mapping):
            raise TypeError("expected a mapping of interfaces")
        for name, one in snapshot.items():
            self._link(str(name), now).restore(one, now)

    def _link(self, name: str, now: float) -> Link:
        link = self._links.get(name)
        if link is None:
            link = self._links[name] = Link(name, self._random)
            link.update_facts(self._facts.links.get(name), now)
        return link

    def _drop_left(self) -> None:
        self._links = {name: link for name, link in self._links.items() if not link.has_left}

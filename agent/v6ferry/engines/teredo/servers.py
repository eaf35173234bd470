# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that a client was told of, by address or by name."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from v6ferry.engines.teredo.qualification import Server
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.engines.tunnel import configured_address


class Servers:
    """Knows the addresses of names as they were last; a name that is gone keeps its own."""

    def __init__(self) -> None:
        self._resolved: dict[str, tuple[IPv4Address, ...]] = {}

    def resolved(self, name: str, addresses: tuple[IPv4Address, ...]) -> None:
        """A name has these addresses now."""
        self._resolved[name] = addresses

    def of(self, spec: TeredoClientSpec) -> tuple[Server, ...]:
        """Return those whose address is known, the most preferred first."""
        found: list[Server] = []
        for position, name in enumerate(spec.servers):
            configured = configured_address(name)
            addresses = self._resolved.get(name, ()) if configured is None else (configured,)
            for primary in addresses[:1]:
                secondary = primary + 1
                if position == 0 and spec.secondary_server is not None:
                    secondary = spec.secondary_server
                found.append(Server(primary, secondary))
        return tuple(found)

    def unresolved(self, spec: TeredoClientSpec) -> list[str]:
        """Return the names that have had no address so far."""
        return [one for one in names_of(spec) if one not in self._resolved]

    def snapshot(self) -> dict[str, list[str]]:
        """For ``restore``, JSON-ready."""
        return {name: [str(one) for one in every] for name, every in self._resolved.items()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Know what a predecessor knew.

        Raises:
            ValueError: there is something else than addresses.
            TypeError: this is none of those.
            AttributeError: this is none of those.
        """
        self._resolved = {
            str(name): tuple(map(IPv4Address, addresses)) for name, addresses in snapshot.items()
        }


def names_of(spec: TeredoClientSpec) -> list[str]:
    """Return the names of servers, in order."""
    return [one for one in spec.servers if configured_address(one) is None]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tunnels of a host have to know of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from v6ferry.forwarding.table import Embedded, NearRule, TunnelTable


@dataclass(frozen=True, slots=True)
class Shared:
    """What counts for every tunnel of a host."""

    automatic: tuple[Embedded, ...]
    site_prefixes: tuple[IPv6Network, ...] = ()


def shared_by(tables: Iterable[TunnelTable | Shared]) -> Shared:
    """Return what the tables of a host's tunnels say together, each thing once."""
    tables = tuple(tables)
    return Shared(
        tuple(dict.fromkeys(one for table in tables for one in table.automatic)),
        tuple(dict.fromkeys(one for table in tables for one in table.site_prefixes)),
    )


class Parts:
    """What each tunnel has to say of it, kept so that one more among many costs nothing."""

    def __init__(self) -> None:
        self._parts: Counter[Shared] = Counter()
        self.shared = Shared(())
        """As of the last ``settle``."""

    def add(self, part: Shared) -> None:
        """A tunnel says this."""
        self._parts[part] += 1

    def discard(self, part: Shared) -> None:
        """A tunnel says it no more."""
        self._parts -= Counter((part,))

    def settle(self) -> bool:
        """Put together what all say; return whether it is something else now."""
        before, self.shared = self.shared, shared_by(self._parts)
        return self.shared != before


def in_force(asked: TunnelTable, shared: Shared) -> TunnelTable:
    """Return a table as it is executed beside the others of its host.

    Its tunnel refuses what any of them would bring back (RFC 6324 section 3.3), and that is no
    address of the host's own site, for the host routes those by itself.
    """
    return replace(
        asked,
        automatic=shared.automatic,
        source_rules=_with_site(asked.source_rules, shared.site_prefixes),
        destination_rules=_with_site(asked.destination_rules, shared.site_prefixes),
    )


def _with_site(
    rules: tuple[NearRule, ...], prefixes: tuple[IPv6Network, ...]
) -> tuple[NearRule, ...]:
    """Add rules for prefixes that accept what is accepted there already, which makes it no loop."""
    known = {rule.prefix for rule in rules}
    added: list[NearRule] = []
    for prefix in prefixes:
        if prefix in known:
            continue
        around = [rule for rule in rules if prefix.subnet_of(rule.prefix)]
        longest = max(around, key=lambda rule: rule.prefix.prefixlen, default=None)
        added.append(NearRule(prefix, True if longest is None else longest.accept))
    return (*rules, *added)

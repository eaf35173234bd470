# SPDX-License-Identifier: GPL-3.0-or-later
"""What every source of names has in common."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to a name."""

    addresses: tuple[IPv4Address, ...]
    """At least one; in the order of the source, or sorted if it has none."""
    source: str
    """Who said so, and to which full name, for people."""
    ttl: float | None = None
    """Seconds for which the answer holds; None where the source does not say."""


class SourceFailure(Exception):  # noqa: N818 - not an error of the program: the source could not tell
    """A source could not find out whether it has the name; the message says why."""


class NameSource(Protocol):
    """One way of resolving a name."""

    def describe(self, name: str) -> str:
        """Return what a lookup of ``name`` asks, for the message when nobody knows the name."""

    async def lookup(self, name: str) -> Resolution | None:
        """Return the addresses of a name; None if the source does not know it.

        Args:
            name: With or without a domain; a trailing dot means that none is to be added.

        Raises:
            SourceFailure: The source cannot be asked, or does not answer.
        """

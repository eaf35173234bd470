# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the sources of names in turn."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from v6ferry.naming.source import NameSource, Resolution, SourceFailure


class NameNotFound(Exception):  # noqa: N818 - an answer, not an error: no source knows the name
    """No source has an IPv4 address for a name.

    Attributes:
        name: The name.
        tried: One line for each source: what was asked, and what came of it.
    """

    def __init__(self, name: str, tried: tuple[str, ...]) -> None:
        super().__init__(
            f"no IPv4 address found for {name!r}; tried {'; '.join(tried) or 'no source'}"
        )
        self.name = name
        self.tried = tried


class Resolver:
    """Resolves a name through several sources; the first that knows it answers.

    Args:
        sources: In the order to be asked.
    """

    def __init__(self, sources: Sequence[NameSource]) -> None:
        self._sources = tuple(sources)

    async def resolve(self, name: str) -> Resolution:
        """Return the IPv4 addresses of a name, or of an IPv4 address itself.

        Raises:
            NameNotFound: No source knows it; the message says what was tried.
        """
        try:
            return Resolution((IPv4Address(name),), "the address itself")
        except ValueError:
            pass
        tried: list[str] = []
        for source in self._sources:
            try:
                resolution = await source.lookup(name)
            except SourceFailure as failure:
                tried.append(f"{source.describe(name)} ({failure})")
                continue
            if resolution is not None:
                return resolution
            tried.append(f"{source.describe(name)} (unknown)")
        raise NameNotFound(name, tuple(tried))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from the hosts file (hosts(5))."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from v6ferry.naming.settings import ResolverSettings, WatchedFile
from v6ferry.naming.source import Resolution

HOSTS = Path("/etc/hosts")


class HostsFile:
    """A source that reads the hosts file, and reads it again when it changes.

    Args:
        path: The file.
        settings: Gives the search domains, so that "isatap" finds a line for
            "isatap.example.com" too; without, only the name itself is looked for.
    """

    def __init__(self, path: Path = HOSTS, *, settings: ResolverSettings | None = None) -> None:
        self._settings = settings
        self._file = WatchedFile(path, parse_hosts)

    def describe(self, name: str) -> str:
        """Return what a lookup looks for."""
        return f"{self._file.path}: {', '.join(self._names(name))}"

    async def lookup(self, name: str) -> Resolution | None:
        """Return all IPv4 addresses of the first spelling of the name that the file has."""
        entries = self._file.content()
        for candidate in self._names(name):
            addresses = entries.get(candidate.lower())
            if addresses:
                return Resolution(addresses, f"{self._file.path}: {candidate}")
        return None

    def _names(self, name: str) -> tuple[str, ...]:
        qualified = self._settings.full_names(name) if self._settings is not None else ()
        return tuple(dict.fromkeys((name.rstrip("."), *qualified)))


def parse_hosts(text: str) -> dict[str, tuple[IPv4Address, ...]]:
    """Return the IPv4 addresses of each name, in lower case; other lines are passed over."""
    entries: dict[str, tuple[IPv4Address, ...]] = {}
    for line in text.splitlines():
        first, *names = line.partition("#")[0].split() or [""]
        try:
            address = IPv4Address(first)
        except ValueError:
            continue
        for name in names:
            key = name.rstrip(".").lower()
            if address not in entries.get(key, ()):
                entries[key] = (*entries.get(key, ()), address)
    return entries

# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's resolver settings, as resolv.conf(5) has them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from v6ferry.system.resolv_conf import RESOLV_CONF, ResolvConf, parse_resolv_conf

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """A file's parsed content, read again whenever the file has changed.

    Args:
        path: The file; one that is missing or unreadable counts as empty.
        parse: Turns the text into the content.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self._parse = parse
        self._seen: tuple[int, ...] | None = ()
        self._content: T

    def content(self) -> T:
        """Return the content as it is now."""
        seen = self._fingerprint()
        if seen != self._seen:
            self._content = self._parse(self._text() if seen else "")
            self._seen = seen
        return self._content

    def _fingerprint(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _text(self) -> str:
        try:
            return self.path.read_text("utf-8", errors="replace")
        except OSError:
            return ""


class ResolverSettings:
    """Reads resolv.conf, and reads it again when it changes.

    Args:
        path: The file.
        hostname: The host's name, whose domain is searched where the file says nothing, as the C
            library does.
    """

    def __init__(
        self, path: Path = RESOLV_CONF, *, hostname: Callable[[], str] = socket.gethostname
    ) -> None:
        self.path = path
        self._hostname = hostname
        self._file = WatchedFile(path, parse_resolv_conf)

    def current(self) -> ResolvConf:
        """Return the settings as they are now; empty if there is no such file."""
        settings = self._file.content()
        if settings.search:
            return settings
        domain = self._hostname().partition(".")[2].strip(".")
        return ResolvConf(settings.nameservers, (domain,) if domain else ())

    def full_names(self, name: str) -> tuple[str, ...]:
        """Return the fully qualified names that a name may stand for, in the order to be tried.

        ``isatap`` may be ``isatap.example.com``; a name with a dot is first of all itself; one
        that ends in a dot is nothing else.
        """
        plain = name.rstrip(".")
        if name.endswith("."):
            return (plain,)
        searched = tuple(f"{plain}.{domain}" for domain in self.current().search)
        return (plain, *searched) if "." in plain else searched

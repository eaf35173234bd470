# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's log: lines on standard error, for people or as JSON, or the journal."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import sys
from datetime import datetime, timezone

_JOURNAL = "/run/systemd/journal/socket"
_STANDARD_ERROR = 2
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def set_up_logging(*, verbose: bool, as_json: bool) -> None:
    """Log to standard error.

    Args:
        verbose: log debugging messages, too.
        as_json: one JSON object a line.
    """
    handler: logging.Handler = logging.StreamHandler()
    if as_json:
        handler.setFormatter(_JsonFormatter())
    elif _is_journal(_STANDARD_ERROR):
        handler = _JournalHandler()
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    # pyroute2 and asyncio tell of every message when asked for more; nobody wants that here.
    for chatty in ("pyroute2", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _is_journal(descriptor: int) -> bool:
    """Whether a descriptor leads to the journal (JOURNAL_STREAM, systemd.exec(5))."""
    status = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _JournalHandler(logging.Handler):
    """Writes entries with fields, for ``journalctl V6FERRY_RESOURCE=isatap_host/default``.

    The protocol is systemd's native one (JOURNAL_NATIVE_PROTOCOL.md). What the journal does not
    take goes to standard error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
            fields = {
                "MESSAGE": message,
                "PRIORITY": str(_PRIORITIES.get(record.levelname, 6)),
                "SYSLOG_IDENTIFIER": "v6ferry",
                "CODE_FILE": record.pathname,
                "CODE_LINE": str(record.lineno),
                "CODE_FUNC": record.funcName or "",
            }
            if (resource := getattr(record, "resource", None)) is not None:
                fields["V6FERRY_RESOURCE"] = resource
            try:
                self._socket.sendto(b"".join(map(_field, fields, fields.values())), _JOURNAL)
            except OSError:
                print(message, file=sys.stderr)
        except Exception:
            self.handleError(record)


def _field(name: str, value: str) -> bytes:
    """A field with its length, for values may have several lines."""
    encoded = value.encode(errors="replace")
    return name.encode() + b"\n" + struct.pack("<Q", len(encoded)) + encoded + b"\n"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if (resource := getattr(record, "resource", None)) is not None:
            entry["resource"] = resource
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)

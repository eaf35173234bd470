# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's log: lines on standard error, for people or as JSON."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone

_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def set_up_logging(*, verbose: bool, as_json: bool) -> None:
    """Log to standard error.

    Args:
        verbose: log debugging messages, too.
        as_json: one JSON object a line.
    """
    handler = logging.StreamHandler()
    if as_json:
        handler.setFormatter(_JsonFormatter())
    elif "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    # pyroute2 and asyncio tell of every message when asked for more; nobody wants that here.
    for chatty in ("pyroute2", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _JournalFormatter(logging.Formatter):
    """The journal has a time of its own and takes the priority from a prefix (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelname, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)

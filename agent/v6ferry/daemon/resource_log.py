# SPDX-License-Identifier: GPL-3.0-or-later
"""Log messages that say which resource they are about, to people and to programs."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

_log = logging.getLogger("v6ferry.daemon")


def resource_log(label: str) -> logging.LoggerAdapter[logging.Logger]:
    """Return the log of the resource ``label``, which begins its messages and is in their field."""
    return _ResourceLog(_log, {"resource": label})


class _ResourceLog(logging.LoggerAdapter):  # type: ignore[type-arg] # not before Python 3.11
    def process(
        self, msg: str, kwargs: MutableMapping[str, Any]
    ) -> tuple[str, MutableMapping[str, Any]]:
        assert self.extra is not None
        # A label has no "%": kinds are ours, names are checked.
        return f"{self.extra['resource']}: {msg}", {**kwargs, "extra": self.extra}

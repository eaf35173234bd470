# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines leave to their successors: files under /run, which a reboot empties."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v6ferry.system.files import replace_file

_log = logging.getLogger(__name__)


class Snapshots:
    """Keeps one snapshot a resource; losing one costs a moment of relearning and no more.

    Args:
        directory: such as /run/v6ferry/snapshots; made when needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, label: str) -> Mapping[str, Any] | None:
        """Return the last snapshot of a resource; None where there is none of use."""
        try:
            snapshot = json.loads(self._path(label).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("%s: ignored: %s", self._path(label), error)
            return None
        return snapshot if isinstance(snapshot, dict) else None

    def save(self, label: str, snapshot: Mapping[str, Any]) -> None:
        """Replace the snapshot of a resource."""
        path = self._path(label)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(snapshot).encode(), mode=0o600)
        except OSError as error:
            _log.warning("%s: not written: %s", path, error)

    def remove(self, label: str) -> None:
        """Forget the snapshot of a resource."""
        self._path(label).unlink(missing_ok=True)

    def _path(self, label: str) -> Path:
        return self._directory / f"{label}.json"

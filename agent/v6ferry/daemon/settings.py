# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the agent keeps what; light to import, for the command line's help texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

STATE_DIRECTORY = Path("/var/lib/v6ferry")
RUNTIME_DIRECTORY = Path("/run/v6ferry")
SOCKET_NAME = "control.sock"
DEFAULT_GROUP = "v6ferry"

PlaneChoice = Literal["auto", "ebpf", "userspace"]
PLANES: tuple[PlaneChoice, ...] = get_args(PlaneChoice)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the agent keeps what, and who may talk to it."""

    state_directory: Path = STATE_DIRECTORY
    """Desired state; survives reboots."""
    runtime_directory: Path = RUNTIME_DIRECTORY
    """The control socket and what a reboot should forget."""
    group: str | None = None
    """The group that may use the control socket; None takes ``v6ferry`` if there is one."""
    portproxy_workers: int | None = None
    """Processes that carry proxied connections; None is one a core."""
    plane: PlaneChoice = "auto"
    """What carries packets; "auto" is eBPF where the kernel can."""

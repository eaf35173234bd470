# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the agent's BPF programs are on a host's interfaces, as the kernel tells."""

from __future__ import annotations

import json
import re
import sys

from tests.lab.host import LabHost

RECORD = "/run/v6ferry/programs.json"

_LOOK = """
import json, socket, sys
from v6ferry.system import tcx
from v6ferry.system.traffic_control import Direction
try:
    index = socket.if_nametoindex(sys.argv[1])
    print(json.dumps(tcx.attached(index, Direction[sys.argv[2].upper()]).identifiers))
except (OSError, tcx.SystemFault):
    print("[]")
"""


def tcx_programs(host: LabHost, interface: str, direction: str) -> list[int]:
    """Return the numbers of all programs by TCX, in the order in which they run."""
    found: list[int] = json.loads(
        host.run([sys.executable, "-c", _LOOK, interface, direction]).stdout
    )
    return found


def programs(host: LabHost, interface: str, direction: str) -> list[str]:
    """Return the agent's programs on packets of an interface, such as ``TCX 12`` or ``clsact 12``.

    Args:
        host: the host.
        interface: one of its own; it may be missing.
        direction: ``ingress`` or ``egress``.
    """
    record = host.path(RECORD)
    ours = json.loads(record.read_text())["programs"] if record.exists() else []
    by_tcx = tcx_programs(host, interface, direction)
    shown = host.run(["tc", "filter", "show", "dev", interface, direction], check=False).stdout
    filters = re.findall(r" v6ferry \w+ .* id (\d+) ", shown)
    return [f"TCX {one}" for one in by_tcx if one in ours] + [f"clsact {one}" for one in filters]


_REMOVE = """
import socket, sys
from pathlib import Path
from v6ferry.system.tcx import Tcx
from v6ferry.system.traffic_control import Direction
ours = Tcx(Path(sys.argv[1]))
for name in sys.argv[2:]:
    for direction in Direction:
        ours.detach(socket.if_nametoindex(name), direction)
"""


def remove_programs(host: LabHost, *interfaces: str) -> None:
    """Take the agent's programs by TCX off, as a reboot does."""
    host.run([sys.executable, "-c", _REMOVE, RECORD, *interfaces])

# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent of another version: what an upgrade leads to, and a downgrade comes from."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.lab.errors import LabError

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.1.0+another"

CONSTANTS = {"ACCEPTED_SELECTORS": 3, "SOURCE_SELECTORS": 3, "CANDIDATES": 24}
"""Lengths of arrays inside the structures: the map values of the two versions differ in size."""


def make_another_agent(directory: Path) -> Path:
    """Write an agent whose BPF object and map layouts differ from this checkout's.

    Args:
        directory: where to; its package lies in there.

    Raises:
        LabError: it cannot be made.
    """
    package = directory / "v6ferry"
    shutil.copytree(
        ROOT / "agent" / "v6ferry", package, ignore=shutil.ignore_patterns("__pycache__")
    )
    _replace(package / "__init__.py", r'(__version__ = )".*"', rf'\g<1>"{VERSION}"')
    source = Path(shutil.copy(ROOT / "agent" / "bpf" / "tunnel.bpf.c", directory))
    forwarding = package / "forwarding" / "ebpf"
    for name, value in CONSTANTS.items():
        _replace(source, rf"(#define {name}\s+)\d+", rf"\g<1>{value}")
        _replace(forwarding / "layout.py", rf"({name} = )\d+", rf"\g<1>{value}")
    build = [ROOT / "tools" / "build-bpf.sh", source, forwarding / "tunnel.bpf.o"]
    done = subprocess.run(build, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"cannot compile another BPF object: {done.stderr.strip()}")
    return directory


def _replace(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(f"^{pattern}$", replacement, path.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise LabError(f"{path}: {count} lines, not one, are {pattern}")
    path.write_text(text)

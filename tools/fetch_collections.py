# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack collections from the Python package "ansible".

The package holds all the well-known ones, so nobody needs Galaxy. Does nothing if they are there.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

VERSION = "12.3.0"
COLLECTIONS = ("containers.podman",)

site = Path(sysconfig.get_path("purelib"))
paths = [f"ansible_collections/{name.replace('.', '/')}/" for name in COLLECTIONS]
if all((site / path).is_dir() for path in paths):
    sys.exit()
pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
with tempfile.TemporaryDirectory() as directory:
    subprocess.run([*pip, "--no-deps", "--dest", directory, f"ansible=={VERSION}"], check=True)
    (wheel,) = Path(directory).glob("ansible-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name.startswith(tuple(paths))]
        archive.extractall(site, wanted)

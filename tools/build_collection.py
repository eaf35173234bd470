# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's tarball, the bundle inside: dist/v6ops-transition-VERSION.tar.gz.

ansible-galaxy decides what belongs in; afterwards the tarball is written anew without times and
owners, so that the same sources give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from build_bundle import build as build_bundle

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "roles" / "agent" / "files" / "v6ferry.pyz"
EPOCH = 315532800  # 1980-01-01, as in the bundle


def build(dist: Path) -> Path:
    """Build the tarball in the directory ``dist`` and return its path."""
    build_bundle(BUNDLE)
    dist.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        galaxy = Path(sys.executable).with_name("ansible-galaxy")
        done = subprocess.run(
            [galaxy, "collection", "build", "--output-path", directory, str(ROOT)],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"build_collection: ansible-galaxy failed:\n{done.stderr or done.stdout}")
        (built,) = Path(directory).iterdir()
        target = dist / built.name
        part = target.with_name(target.name + ".part")
        part.write_bytes(_without_circumstances(built))
    part.replace(target)
    return target


def _without_circumstances(tarball: Path) -> bytes:
    """The same members in the order of their names, without times and owners."""
    content = io.BytesIO()
    with (
        tarfile.open(tarball) as before,
        tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        lists = _sorted_lists(before)
        for member in sorted(before.getmembers(), key=lambda member: member.name):
            member.mtime, member.pax_headers = EPOCH, {}
            member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
            if member.name in lists:
                member.size = len(lists[member.name])
                after.addfile(member, io.BytesIO(lists[member.name]))
            else:
                after.addfile(member, before.extractfile(member) if member.isfile() else None)
    return gzip.compress(content.getvalue(), compresslevel=9, mtime=0)


def _sorted_lists(tarball: tarfile.TarFile) -> dict[str, bytes]:
    """FILES.json in the order of names, which is that of the disk, and MANIFEST.json to match."""
    files = json.load(_member(tarball, "FILES.json"))
    files["files"].sort(key=lambda entry: entry["name"])
    files_json = json.dumps(files, indent=True).encode()
    manifest = json.load(_member(tarball, "MANIFEST.json"))
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(files_json).hexdigest()
    return {"FILES.json": files_json, "MANIFEST.json": json.dumps(manifest, indent=True).encode()}


def _member(tarball: tarfile.TarFile, name: str) -> IO[bytes]:
    content = tarball.extractfile(name)
    assert content is not None, name
    return content


if __name__ == "__main__":
    print(build(ROOT / "dist"))

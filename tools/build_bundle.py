# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the bundle: the agent and the libraries that it needs in one file that Python runs.

    build_bundle.py FILE

The same sources give the same bytes: the libraries are pinned by their digests, files lie in the
order of their names, and no time, owner or mode of this machine gets in.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGENT = ROOT / "agent"
SHEBANG = b"#!/usr/bin/env python3\n"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell
LEFT_OUT = {"__pycache__", "bin", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def build(target: Path) -> None:
    """Write the bundle to ``target``, which is replaced in one step."""
    with tempfile.TemporaryDirectory() as directory:
        _install_libraries(Path(directory))
        files = dict(_files(Path(directory)))
    files |= {f"v6ferry/{name}": content for name, content in _files(AGENT / "v6ferry")}
    files["__main__.py"] = (AGENT / "bundle_main.py").read_bytes()
    files["COPYING"] = (ROOT / "COPYING").read_bytes()
    archive = io.BytesIO()
    archive.write(SHEBANG)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is built
            entry.external_attr = 0o100644 << 16
            bundle.writestr(entry, files[name])
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_bytes(archive.getvalue())
    part.chmod(0o755)
    part.replace(target)


def _install_libraries(directory: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    requirements = AGENT / "bundle-requirements.txt"
    done = subprocess.run(
        [
            *pip,
            "--no-deps",
            "--no-compile",
            "--only-binary=:all:",
            "--require-hashes",
            "--target",
            str(directory),
            "--requirement",
            str(requirements),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"build_bundle: pip cannot install {requirements}:\n{done.stderr}")


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in directory.rglob("*"):
        name = path.relative_to(directory)
        if path.is_file() and not LEFT_OUT & set(name.parts):
            yield name.as_posix(), path.read_bytes()


def main() -> None:
    """Carry out the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: build_bundle.py FILE")
    build(Path(sys.argv[1]))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle: one file, the same bytes every time, for any Python that will do."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from v6ferry import __version__

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.package


def build(target):
    command = [sys.executable, ROOT / "tools" / "build_bundle.py", target]
    subprocess.run(command, check=True, timeout=120)
    return target


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return build(tmp_path_factory.mktemp("bundle") / "v6ferry.pyz")


def test_same_sources_give_the_same_bytes(bundle, tmp_path):
    umask = os.umask(0o077)
    try:
        again = build(tmp_path / "again.pyz")
    finally:
        os.umask(umask)
    assert again.read_bytes() == bundle.read_bytes()


def test_it_carries_nothing_that_has_to_be_compiled(bundle):
    names = zipfile.ZipFile(bundle).namelist()
    assert {"__main__.py", "v6ferry/__init__.py", "dns/resolver.py", "pyroute2/__init__.py"} <= set(
        names
    )
    compiled = [name for name in names if not name.endswith((".py", ".typed", ".md", ".txt"))
                and ".dist-info/" not in name and name != "COPYING"]  # fmt: skip
    # The fast path, which every processor's kernel takes alike.
    assert compiled == ["v6ferry/forwarding/ebpf/tunnel.bpf.o"]


def pythons():
    """The Pythons of this machine, by version."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {".".join(map(str, sys.version_info[:2])): sys.executable}
    for directory in sorted(versions.glob("[23].*")):
        found.setdefault(".".join(directory.name.split(".")[:2]), str(directory / "bin" / "python"))
    return [pytest.param(version, path, id=version) for version, path in sorted(found.items())]


@pytest.mark.parametrize(("version", "python"), pythons())
def test_every_python_runs_it_or_is_told_why_not(bundle, tmp_path, version, python):
    done = subprocess.run(
        [python, bundle, "--version"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    if tuple(map(int, version.split("."))) >= (3, 10):
        assert (done.returncode, done.stdout) == (0, f"v6ferry {__version__}\n")
    else:
        assert done.returncode == 1
        assert f"needs Python 3.10 or later, and {python} is {version}" in done.stderr
        assert "Traceback" not in done.stderr


def test_it_needs_nothing_of_the_machine(bundle, tmp_path):
    """No package of the machine is used, and none but the standard library is there."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import v6ferry.daemon.main, dns, pyroute2\n"
        "print({m.__file__.startswith(sys.argv[1]) for m in (v6ferry, dns, pyroute2)})"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, bundle],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout == "{True}\n"

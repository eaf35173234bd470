# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers point down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import v6ferry

ROOT = Path(v6ferry.__file__).parent
LAYERS = [
    "cli",
    "daemon",
    "engines",
    "portproxy",
    "forwarding",
    "naming",
    "system",
    "wire",
    "addresses",
]
"""From top to bottom; a layer may import from those after it."""

FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
PURE = {"engines", "wire", "addresses"}
"""What is handed to them is all they know: no sockets, no clock, no randomness, no files."""
IMPURE_MODULES = {"asyncio", "fcntl", "os", "pathlib", "random", "secrets", "socket", "time"}


def imports(path):
    """Modules that a file imports, absolute."""
    package = ["v6ferry", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *(node.module or "").split(".")]).strip(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layer_imports_only_from_those_below_it(path):
    layer = path.relative_to(ROOT).parts[0]
    allowed = LAYERS[LAYERS.index(layer) :]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "v6ferry" and len(parts) > 1:
            assert parts[1] in allowed, f"{layer} imports {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.relative_to(ROOT).parts[0] in PURE],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_engines_wire_and_addresses_do_no_input_or_output(path):
    found = {name.split(".")[0] for name in imports(path)} & IMPURE_MODULES
    if found == {"random"}:
        # The type of the randomness that is handed in, never the module's own functions.
        assert "from random import Random\n" in path.read_text()
        assert "random." not in path.read_text().replace("self._random.", "")
        return
    assert not found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_system_knows_pyroute2(path):
    if path.relative_to(ROOT).parts[0] != "system":
        assert not any(name.split(".")[0] == "pyroute2" for name in imports(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_can_be_seen_whole(path):
    assert len(path.read_text().splitlines()) <= 450


def test_control_client_imports_nothing_but_the_standard_library():
    """It is also a module_utils file of the collection, for every Python that Ansible uses."""
    client = ROOT / "cli" / "control_client.py"
    assert {name.split(".")[0] for name in imports(client)} <= {
        "__future__", "grp", "json", "os", "socket", "time", "typing",
    }  # fmt: skip

# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as its users get it: a tarball, installed into an empty directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLUGINS = {"module": "plugins/modules/*.py", "filter": "plugins/filter/*.yml",
           "connection": "plugins/connection/*.py"}  # fmt: skip
LARGEST = 5_000_000  # octets

pytestmark = pytest.mark.package


def build():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "build_collection.py"],
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
    )
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def tarball():
    return build()


@pytest.fixture(scope="module")
def ansible(tarball, tmp_path_factory):
    """Runs Ansible's programs where only the installed collection is to be found."""
    home = tmp_path_factory.mktemp("home")
    # The virtual environment's site-packages has this checkout; a copy of ansible-core has not.
    core = subprocess.run(
        [sys.executable, "-c", "import ansible; print(ansible.__path__[0])"],
        check=True,
        capture_output=True,
        text=True,
        cwd=home,
    ).stdout.strip()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE")},
        "HOME": str(home),
        "ANSIBLE_HOME": str(home / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(home / "collections"),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
        "ANSIBLE_NOCOLOR": "true",
        "PYTHONPATH": str(Path(core).parent),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }

    def run(*command, check=True):
        return subprocess.run(
            list(map(str, command)),
            check=check,
            capture_output=True,
            text=True,
            env=environment,
            cwd=home,
            timeout=120,
        )

    run("ansible-galaxy", "collection", "install", "--offline", "-p", home / "collections", tarball)
    return run


def test_same_sources_give_the_same_bytes(tarball):
    before = tarball.read_bytes()
    (ROOT / "README.md").touch()
    assert build().read_bytes() == before


def test_it_is_small(tarball):
    assert tarball.stat().st_size < LARGEST


def test_it_carries_the_agent_and_nothing_of_the_workshop(tarball):
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert "roles/agent/files/v6ferry.pyz" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {
        "COPYING", "FILES.json", "MANIFEST.json", "README.md", "agent", "changelogs", "docs",
        "meta", "playbooks", "plugins", "roles",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name]


def test_it_is_found_where_it_was_installed(ansible):
    found = json.loads(ansible("ansible-galaxy", "collection", "list", "--format", "json").stdout)
    places = [place for place, held in found.items() if "v6ops.transition" in held]
    assert len(places) == 1
    assert places[0].endswith("/collections/ansible_collections")


@pytest.mark.parametrize("kind", PLUGINS)
def test_every_plugin_is_documented_to_the_last_option(ansible, kind):
    names = {path.stem for path in ROOT.glob(PLUGINS[kind])} - {"transition_addresses"}
    assert names
    wanted = [f"v6ops.transition.{name}" for name in sorted(names)]
    found = json.loads(ansible("ansible-doc", "--type", kind, "--json", *wanted).stdout)
    assert set(found) == set(wanted)
    for name, plugin in found.items():
        assert plugin["doc"]["short_description"], name
        assert plugin["examples"], name
        for option, described in plugin["doc"].get("options", {}).items():
            assert described["description"], f"{name}: {option}"
            assert described["type"], f"{name}: {option}"
            if kind == "module":
                assert f"{option}:" in plugin["examples"], f"{name}: {option} is in no example"


@pytest.mark.parametrize("role", sorted(path.name for path in (ROOT / "roles").iterdir()))
def test_every_role_is_documented(ansible, role):
    name = f"v6ops.transition.{role}"
    found = json.loads(ansible("ansible-doc", "--type", "role", "--json", name).stdout)
    options = found[name]["entry_points"]["main"]["options"]
    assert options
    for option, described in options.items():
        assert option.startswith(f"{role}_")
        assert described["description"], option
        assert described["type"], option


def test_filters_and_playbooks_run_from_there(ansible):
    """The filters load the agent's code out of the collection."""
    said = ansible(
        "ansible", "localhost", "-m", "ansible.builtin.debug", "-a",
        "msg={{ '192.168.47.99' | v6ops.transition.isatap_address('2001:db8:0:7::/64') }}",
    ).stdout  # fmt: skip
    assert "2001:db8:0:7:0:5efe:c0a8:2f63" in said
    for playbook in sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")):
        ansible("ansible-playbook", "--syntax-check", "-i", "h,", f"v6ops.transition.{playbook}")


def test_check_mode_on_a_host_that_is_unfit_says_why_and_brings_no_bundle(ansible):
    """Whatever this machine lacks, or has: nothing is changed, and nothing crashes."""
    done = ansible("ansible", "localhost", "--check", "-m", "v6ops.transition.agent", check=False)
    assert "Traceback" not in done.stdout + done.stderr
    assert ("install release 0" in done.stdout) or ("nothing was changed" in done.stdout)

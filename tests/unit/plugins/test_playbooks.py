# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks know of each other: no technology without its agent, nothing that stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
REMOVAL = "_remove"
WITHOUT_AGENT = {"name_servers"}
"""Groups whose hosts have no tunnel."""


def plays(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    return loaded


def groups(name: str) -> list[str]:
    """The groups that a playbook names, in its order."""
    found: list[str] = []
    for play in plays(name):
        hosts = play["hosts"]
        found += hosts if isinstance(hosts, list) else [hosts]
    return found


TECHNOLOGIES = sorted(
    path.stem
    for path in PLAYBOOKS.glob("*.yml")
    if not path.stem.endswith(REMOVAL) and path.stem not in ("agent", "site")
)


def test_site_has_the_agent_first_and_then_every_technology():
    first, *others = (play["import_playbook"].removesuffix(".yml") for play in plays("site"))
    assert first == "agent"
    assert sorted(others) == TECHNOLOGIES


def test_agent_goes_to_every_host_with_a_tunnel_and_from_there():
    wanted = {group for name in TECHNOLOGIES for group in groups(name)} - WITHOUT_AGENT
    assert set(groups("agent")) == wanted
    assert groups(f"agent{REMOVAL}") == list(reversed(groups("agent")))


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda path: path.stem)
def test_head_names_the_groups(path):
    head = path.read_text().partition("\n- name:")[0]
    if path.stem != "site" and not path.stem.endswith(REMOVAL):
        assert not [group for group in groups(path.stem) if group not in head]


@pytest.mark.parametrize(
    "path", sorted(PLAYBOOKS.glob(f"*{REMOVAL}.yml")), ids=lambda path: path.stem
)
def test_removal_has_the_groups_of_what_it_takes_back(path):
    name = path.stem.removesuffix(REMOVAL)
    assert set(groups(path.stem)) == set(groups(name))
    assert f"Take back:  {path.name}" in (PLAYBOOKS / f"{name}.yml").read_text()

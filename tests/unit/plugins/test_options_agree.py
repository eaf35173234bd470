# SPDX-License-Identifier: GPL-3.0-or-later
"""Agent, module, documentation and role have the same options with the same defaults."""

from __future__ import annotations

import importlib

import pytest
import yaml
from v6ferry.daemon.resources import KINDS, check
from v6ferry.engines.specification import Options, SpecificationError

from tests.demo.playbook import ROOT
from tools.write_role import LISTS, additions, role_files

REQUIRED = {
    "configured_tunnel": {"remote": "192.0.2.1"},
    "portproxy": {"listen_port": "80", "connect_address": "www.example.com"},
    "sixrd_br": {"prefix": "2001:db8::/32"},
    "sixrd_ce": {"prefix": "2001:db8::/32", "border_relays": ["10.0.0.1"]},
    "teredo_client": {"servers": ["206.73.118.1"]},
    "teredo_server": {"server_address": "206.73.118.1"},
}
"""What a kind cannot do without; the agent says so."""
NOT_OF_THE_SPECIFICATION = {"name", "state", "wait", "socket"}
MODULES = {
    kind: importlib.import_module(f"ansible_collections.v6ops.transition.plugins.modules.{kind}")
    for kind in KINDS
}


def agent_options(kind):
    """The options that the agent knows: it lists them when it meets an unknown one."""
    with pytest.raises(SpecificationError) as raised:
        check(kind, "default", {**REQUIRED.get(kind, {}), "~": 1})
    return set(str(raised.value).partition("known: ")[2].split(", "))


def documented(kind):
    """The module's documentation and the fragments it extends, as one mapping of options."""
    return options_in(MODULES[kind].DOCUMENTATION)


def options_in(documentation):
    content = yaml.safe_load(documentation)
    options = dict(content.get("options") or {})
    extended = content.get("extends_documentation_fragment") or []
    for fragment in [extended] if isinstance(extended, str) else extended:
        name = fragment.removeprefix("v6ops.transition.").partition(".")[0]
        path = f"ansible_collections.v6ops.transition.plugins.doc_fragments.{name}"
        options |= options_in(importlib.import_module(path).ModuleDocFragment.DOCUMENTATION)
    return options


def role(kind):
    path = ROOT / "roles" / kind / "meta" / "argument_specs.yml"
    return yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]


def role_defaults(kind):
    return yaml.safe_load((ROOT / "roles" / kind / "defaults" / "main.yml").read_text())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_module_has_the_agent_s_options(kind):
    assert set(MODULES[kind].SPEC) == agent_options(kind)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_documentation_has_the_module_s_options(kind):
    documentation, specified = documented(kind), MODULES[kind].ARGUMENT_SPEC
    assert set(documentation) == set(specified)
    for name, option in specified.items():
        for key in ("type", "default", "choices", "elements"):
            assert documentation[name].get(key) == option.get(key), f"{name}: {key}"
        assert documentation[name]["description"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_role_has_the_module_s_options_and_defaults(kind):
    options, specified = role(kind), MODULES[kind].ARGUMENT_SPEC
    for name in additions(kind)["options"]:
        del options[f"{kind}_{name}"]
    assert set(options) == {f"{kind}_{name}" for name in specified if name != "socket"}
    defaults = role_defaults(kind)
    for name, option in specified.items():
        if name == "socket":
            continue
        described = options[f"{kind}_{name}"]
        for key in ("type", "choices", "elements"):
            assert described.get(key) == option.get(key), f"{name}: {key}"
        assert described.get("default") == option.get("default"), name
        assert defaults.get(f"{kind}_{name}") == option.get("default"), name


@pytest.mark.parametrize("kind", sorted([*KINDS, *LISTS]))
def test_role_is_what_the_documentation_gives(kind):
    for name, text in role_files(kind).items():
        said = f"run tools/write_role.py {kind}"
        assert (ROOT / "roles" / kind / name).read_text() == text, said


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_module_s_defaults_are_the_agent_s(kind):
    """A module leaves defaults out, so they must mean the same to the agent."""
    defaults = {
        name: option["default"]
        for name, option in MODULES[kind].SPEC.items()
        if option.get("default") is not None
    }
    required = REQUIRED.get(kind, {})
    explicit = check(kind, "default", {**defaults, **required})
    assert explicit.parsed == check(kind, "default", required).parsed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_choices_are_all_taken_by_the_agent(kind):
    for name, option in MODULES[kind].SPEC.items():
        for choice in option.get("choices", ()):
            check(kind, "default", {**REQUIRED.get(kind, {}), name: choice})


def test_unknown_option_lists_the_known_ones():
    options = Options({"a": 1}, "here")
    with pytest.raises(SpecificationError, match="unknown option a"):
        options.finish()

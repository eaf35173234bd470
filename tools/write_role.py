# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the role of a resource module anew from the module's documentation.

    .venv/bin/python tools/write_role.py KIND...

A role has the module's options with the role's name before each, and calls the module once; so its
defaults, its argument specification and its task follow from the documentation. A role of ``LISTS``
has one variable, a list of resources, and calls the module for each. What a role has besides is in
``tools/role_additions/KIND.yml``, and in ``announcement`` beside it for those that have a routing
daemon announce a prefix. Run this after a change of the options; a test compares the two.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ADDITIONS = ROOT / "tools" / "role_additions"
COLLECTION = "ansible_collections.v6ops.transition.plugins"
NOT_OF_THE_ROLE = {"socket"}
FIRST = ("name", "state")
LISTS = {"configured_tunnels": "configured_tunnel"}
"""Roles for many resources of one kind."""
LONGEST_LINE = 100
META = """---
galaxy_info:
  author: v6ops
  description: {description}
  license: GPL-3.0-or-later
  min_ansible_version: "2.17"
  platforms:
    - name: Debian
      versions:
        - bookworm
dependencies: []
"""


class Dumper(yaml.SafeDumper):
    """Indents lists as yamllint wants it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their keys, too."""
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything where it is."""
        return True


def options_of(documentation: str) -> dict[str, Any]:
    """The options of a module, those of its fragments included."""
    content = yaml.safe_load(documentation)
    options: dict[str, Any] = {}
    for fragment in content.get("extends_documentation_fragment") or []:
        name = fragment.removeprefix("v6ops.transition.").partition(".")[0]
        module = importlib.import_module(f"{COLLECTION}.doc_fragments.{name}")
        options |= options_of(module.ModuleDocFragment.DOCUMENTATION)
    return options | (content.get("options") or {})


def described(kind: str, option: dict[str, Any]) -> dict[str, Any]:
    """An option of the module as the role's argument specification has it."""
    written = {key: option[key] for key in ("description", "type", "elements") if key in option}
    description = option["description"]
    lines = [description] if isinstance(description, str) else description
    written["description"] = [role_markup(kind, line) for line in lines]
    written |= {key: option[key] for key in ("choices", "required", "default") if key in option}
    if "suboptions" in option:
        written["options"] = {
            name: described(kind, one) for name, one in sorted(option["suboptions"].items())
        }
    return written


def role_markup(kind: str, line: str) -> str:
    """A line of documentation with the markup that argument specifications have."""
    line = re.sub(r"\bO\(([^)]*)\)", rf"C({kind}_\1)", line)
    return re.sub(r"\b(?:V|RV)\(([^)]*)\)", r"C(\1)", line)


def argument_specs(kind: str, content: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The role's meta/argument_specs.yml."""
    first = role_markup(kind, content["description"][0]).rstrip(".")
    main = {
        "short_description": content["short_description"],
        "version_added": content["version_added"],
        "author": ["v6ops"],
        "description": [
            f"{first.partition(', which')[0]}.",
            "The agent must be running (role C(v6ops.transition.agent)).",
            f"The options are those of the module C(v6ops.transition.{kind}).",
        ],
        "options": {
            f"{kind}_{name}": described(kind, option) for name, option in sorted(options.items())
        },
    }
    return {"argument_specs": {"main": main}}


def task(kind: str, content: dict[str, Any], options: dict[str, Any]) -> list[dict[str, Any]]:
    """The role's tasks/main.yml."""
    names = [*FIRST, *sorted(set(options) - set(FIRST))]
    values = {
        name: f"{{{{ {kind}_{name}{'' if 'default' in options[name] else ' | default(omit)'} }}}}"
        for name in names
    }
    what = content["short_description"]
    return [{"name": what, f"v6ops.transition.{kind}": values}]


def list_role_files(role: str, kind: str) -> dict[str, str]:
    """The files of a role for many resources of a kind, by path in its directory."""
    module = importlib.import_module(f"{COLLECTION}.modules.{kind}")
    content = yaml.safe_load(module.DOCUMENTATION)
    options = {
        name: option
        for name, option in sorted(options_of(module.DOCUMENTATION).items())
        if name not in NOT_OF_THE_ROLE
    }
    what = f"{content['short_description']}, for each of a list"
    variable = f"{role}_list"
    # Names of options are those of the items here, so references have no role's name before them.
    items = {name: described("", option) for name, option in options.items()}
    text = yaml.safe_dump(items).replace("C(_", "C(")
    items = yaml.safe_load(text)
    items["name"] = {key: one for key, one in items["name"].items() if key != "default"}
    items["name"]["required"] = True
    specification = {
        "short_description": what,
        "version_added": content["version_added"],
        "author": ["v6ops"],
        "description": [
            f"{what}.",
            "The agent must be running (role C(v6ops.transition.agent)).",
            f"The options of an item are those of the module C(v6ops.transition.{kind}).",
        ],
        "options": {
            variable: {
                "description": ["The resources, each with a name of its own."],
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": items,
            }
        },
    }
    names = [*FIRST, *sorted(set(options) - set(FIRST))]
    values = {
        name: f"{{{{ item.{name}{'' if name == 'name' else ' | default(omit)'} }}}}"
        for name in names
    }
    tasks = [
        {
            "name": content["short_description"],
            f"v6ops.transition.{kind}": values,
            "loop": f"{{{{ {variable} }}}}",
            "loop_control": {"label": "{{ item.name }}"},
        }
    ]
    head = "# What an item can have: meta/argument_specs.yml, or ansible-doc.\n"
    return {
        "defaults/main.yml": f"---\n{head}{dumped({variable: []})}",
        "meta/argument_specs.yml": f"---\n{dumped({'argument_specs': {'main': specification}})}",
        "meta/main.yml": META.format(description=what),
        "tasks/main.yml": f"---\n{dumped(tasks, quotes=True)}",
    }


def additions(kind: str) -> dict[str, Any]:
    """What a role has beside the module's call: ``options``, tasks ``before`` and ``after``.

    One that ``announces`` a prefix has those of every announcement, and its ``files``.
    """
    path = ADDITIONS / f"{kind}.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
    announced = found.pop("announces", None)
    if announced is not None:
        common = announcement({"kind": kind, **announced})
        found |= {**common, "before": [*found.get("before", ()), *common["before"]]}
    return {"options": {}, "before": [], "after": [], "files": {}, **found}


def announcement(values: dict[str, str]) -> dict[str, Any]:
    """What a role has that has a routing daemon announce a prefix.

    Args:
        values: ``kind`` of the role, ``prefix``, ``name`` of the file and the route, ``routes``
            that FRR takes the prefix for, ``source`` that allows no longer prefix.
    """

    def filled(path: Path) -> str:
        return re.sub("@([a-z]+)@", lambda found: values[found[1]], path.read_text())

    directory = ADDITIONS / "announcement"
    found: dict[str, Any] = yaml.safe_load(filled(directory / "additions.yml.in"))
    found["files"] = {f"tasks/{one.stem}": filled(one) for one in directory.glob("tasks/*.yml.in")}
    for one in directory.glob("templates/*.j2"):
        name = one.name.replace("announcement", f"v6ferry-{values['name']}")
        found["files"][f"templates/{name}"] = filled(one)
    return found


def role_files(kind: str) -> dict[str, str]:
    """The files of a role that are written, by path in its directory."""
    if kind in LISTS:
        return list_role_files(kind, LISTS[kind])
    module = importlib.import_module(f"{COLLECTION}.modules.{kind}")
    content = yaml.safe_load(module.DOCUMENTATION)
    options = {
        name: option
        for name, option in options_of(module.DOCUMENTATION).items()
        if name not in NOT_OF_THE_ROLE
    }
    added = additions(kind)
    tasks = [*added["before"], *task(kind, content, options), *added["after"]]
    options |= added["options"]
    defaults = {
        f"{kind}_{name}": option["default"]
        for name, option in sorted(options.items())
        if "default" in option
    }
    head = "# What each is for: meta/argument_specs.yml, or ansible-doc.\n"
    return {
        "defaults/main.yml": f"---\n{head}{dumped(defaults)}",
        "meta/argument_specs.yml": f"---\n{dumped(argument_specs(kind, content, options))}",
        "meta/main.yml": META.format(description=content["short_description"]),
        "tasks/main.yml": f"---\n{dumped(tasks, quotes=True)}",
        **added["files"],
    }


def dumped(value: Any, *, quotes: bool = False) -> str:
    """YAML; with ``quotes``, templates in double quotes on one line."""
    text = yaml.dump(
        value, Dumper=Dumper, sort_keys=False, width=4096 if quotes else 85, allow_unicode=True
    )
    if quotes:
        return re.sub(r"'(\{\{.*?\}\})'", r'"\1"', text)
    return "".join(f"{line}\n" for long in text.splitlines() for line in broken(long))


def broken(line: str) -> Iterator[str]:
    """A line of a folded text in lines that are not too long: yaml lets the last word stand out."""
    while len(line) > LONGEST_LINE:
        end = line.rindex(" ", 0, LONGEST_LINE)
        yield line[:end]
        text = line.lstrip(" -")
        line = " " * (len(line) - len(text)) + line[end + 1 :]
    yield line


def main() -> int:
    """Write the roles that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", metavar="KIND", nargs="+", help="such as isatap_host")
    for kind in parser.parse_args().kinds:
        for name, text in role_files(kind).items():
            path = ROOT / "roles" / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource as text for a diff: YAML as it stands in a playbook, one change a line.

A target has no YAML library, but needs none to write the few shapes that options take.
"""

from __future__ import annotations

import json
import re
import typing as t

# Words and addresses that YAML reads back as the same string; all else is quoted.
_PLAIN = re.compile(
    r"[A-Za-z_/][\w./-]*"  # words, names of hosts and interfaces, paths
    r"|\d+\.\d+\.\d+\.\d+(/\d+)?"  # IPv4 addresses and prefixes
    r"|[\dA-Fa-f][\dA-Fa-f:]*/\d+",  # IPv6 prefixes
    re.ASCII,
)
_WORDS_WITH_A_MEANING = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])


def as_yaml(resource: dict[str, t.Any] | None) -> str:
    """Write a resource as YAML, its options sorted.

    Args:
        resource: Options and their values: strings, integers, booleans, lists of them, and lists
            of mappings; or None for a resource that is not there.

    Returns:
        Lines that end with a line feed; nothing at all for None.
    """
    if resource is None:
        return ""
    return "".join(f"{line}\n" for line in _mapping(resource)) or "{}\n"


def _mapping(mapping: dict[str, t.Any]) -> t.Iterator[str]:
    for key, value in sorted(mapping.items()):
        if isinstance(value, list) and value:
            yield f"{_scalar(key)}:"
            for item in value:
                yield from _item(item)
        else:
            yield f"{_scalar(key)}: {_scalar(value)}"


def _item(item: t.Any) -> t.Iterator[str]:
    lines = _mapping(item) if isinstance(item, dict) and item else [_scalar(item)]
    for number, line in enumerate(lines):
        yield f"  {'  ' if number else '- '}{line}"


def _scalar(value: t.Any) -> str:
    if (
        isinstance(value, str)
        and _PLAIN.fullmatch(value)
        and value.lower() not in _WORDS_WITH_A_MEANING
    ):
        return value
    # Letters of every language as they are; what no screen shows, escaped.
    return json.dumps(value, ensure_ascii=not (isinstance(value, str) and value.isprintable()))

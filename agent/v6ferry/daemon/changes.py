# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody asks to be changed, one resource after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from v6ferry.daemon.resources import KINDS, Resource, check, check_identity, label
from v6ferry.engines.specification import SpecificationError


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants of one resource."""

    kind: str
    name: str
    resource: Resource | None
    """None for absent."""

    @property
    def label(self) -> str:
        """How messages call the resource."""
        return label(self.kind, self.name)


def read_changes(requests: Any) -> list[Change]:
    """Read a list of ``{"kind", "name", "state", "spec"}``.

    Raises:
        SpecificationError: one of them cannot be used.
    """
    if not isinstance(requests, list) or not all(isinstance(one, Mapping) for one in requests):
        raise SpecificationError(
            'resources: expected a list of {"kind", "name", "state", "spec"} objects'
        )
    changes: list[Change] = []
    for request in requests:
        unknown = set(request) - {"kind", "name", "state", "spec"}
        if unknown:
            raise SpecificationError(
                f"resources: unknown key {min(map(repr, unknown))}; known: kind, name, state, spec"
            )
        kind, name = check_identity(request.get("kind"), request.get("name", "default"))
        state = request.get("state", "present")
        if state not in ("present", "absent"):
            raise SpecificationError(
                f"{label(kind, name)}: state: {state!r} is not one of present, absent"
            )
        spec = request.get("spec") or {}
        resource = check(kind, name, spec) if state == "present" else None
        change = Change(kind, name, resource)
        if any(change.label == one.label for one in changes):
            raise SpecificationError(f"{change.label}: is there twice; give each resource once")
        changes.append(change)
    return changes


def purged(kind: str | None, changes: Iterable[Change], existing: Collection[str]) -> list[Change]:
    """Make the removal of all resources of a kind that no change names.

    Args:
        kind: of resource; None purges nothing.
        changes: what is wanted.
        existing: the labels of all resources that are there.

    Raises:
        SpecificationError: there is no such kind.
    """
    if kind is None:
        return []
    if kind not in KINDS:
        raise SpecificationError(f"purge: {kind!r} is not one of {', '.join(sorted(KINDS))}")
    named = {change.label for change in changes}
    return [
        Change(kind, one.partition("/")[2], None)
        for one in sorted(existing)
        if one.startswith(f"{kind}/") and one not in named
    ]

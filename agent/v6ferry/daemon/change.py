# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody wants of resources, as it comes through the control API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v6ferry.daemon.resources import Resource, check, check_identity, label
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

# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels of a lab: made, looked at, and taken away again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.lab import LabHost

KIND = "configured_tunnel"


def apply(host: LabHost, *resources: dict[str, Any], wait: float = 10) -> list[dict[str, Any]]:
    """Apply resources and return what the agent says of each."""
    done = host.v6ferry(
        "apply", "-", "--json", "--wait", str(wait), input=json.dumps(resources), timeout=120
    )
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)["resources"]
    return outcomes


def present(name: str, kind: str = KIND, **spec: Any) -> dict[str, Any]:
    """A tunnel that is wanted."""
    return {"kind": kind, "name": name, "state": "present", "spec": spec}


def absent(name: str, kind: str = KIND) -> dict[str, Any]:
    """A tunnel that is not."""
    return {"kind": kind, "name": name, "state": "absent"}


@contextmanager
def tunnels(*wanted: tuple[LabHost, dict[str, Any]], wait: float = 10) -> Iterator[None]:
    """Have tunnels for the length of a ``with`` block."""
    with ExitStack() as stack:
        for host, resource in wanted:
            apply(host, resource, wait=wait)
            stack.callback(apply, host, absent(resource["name"], resource["kind"]))
        yield


def status(host: LabHost, name: str, kind: str = KIND) -> dict[str, Any]:
    """How a tunnel fares."""
    shown = host.show()["resources"]
    (found,) = (one for one in shown if (one["kind"], one["name"]) == (kind, name))
    result: dict[str, Any] = found["status"]
    return result


def unclaimed(host: LabHost) -> dict[str, int]:
    """Packets that no tunnel has accepted, by reason."""
    shown = host.show()
    drops: dict[str, int] = shown["agent"]["unclaimed_drops"]
    return drops


def way_to(host: LabHost, destination: str) -> str | None:
    """The interface through which the kernel would send; None for none."""
    done = host.run(["ip", "-j", "-6", "route", "get", destination], check=False)
    if done.returncode != 0:
        return None
    interface: str | None = json.loads(done.stdout)[0].get("dev")
    return interface

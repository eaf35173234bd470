# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of the control API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from v6ferry import __version__
from v6ferry.daemon.control import Method, RequestError
from v6ferry.daemon.doctor import Doctor
from v6ferry.daemon.explain import explain
from v6ferry.daemon.host import Host
from v6ferry.daemon.supervisor import Supervisor

LONGEST_WAIT = 3600.0
"""Seconds that a caller may wait for resources to be ready."""


class Api:
    """What the agent does on request.

    Args:
        supervisor: has the resources.
        host: where they run.
    """

    def __init__(self, supervisor: Supervisor, host: Host) -> None:
        self._supervisor = supervisor
        self._host = host
        self._started = datetime.now(timezone.utc)

    def methods(self) -> dict[str, Method]:
        """All methods by name."""
        return {
            "apply": self.apply,
            "show": self.show,
            "explain": self.explain,
            "doctor": self.doctor,
        }

    async def apply(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Bring resources to what ``params["resources"]`` says; see ``Supervisor.apply``."""
        _only(params, "resources", "dry_run", "wait", "purge")
        dry_run, wait = params.get("dry_run", False), params.get("wait", 0)
        if not isinstance(dry_run, bool):
            raise RequestError(f"dry_run: {dry_run!r} is neither true nor false")
        if isinstance(wait, bool) or not isinstance(wait, (int, float)):
            raise RequestError(f"wait: {wait!r} is not a number of seconds")
        if not 0 <= wait <= LONGEST_WAIT:
            raise RequestError(f"wait: {wait} is not between 0 and {LONGEST_WAIT:g} seconds")
        return await self._supervisor.apply(
            params.get("resources"),
            dry_run=dry_run,
            wait=float(wait),
            purge=_text(params, "purge"),
        )

    async def show(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say what runs, all of it or what has a kind or a name."""
        _only(params, "kind", "name")
        kind, name = _text(params, "kind"), _text(params, "name")
        resources = await self._supervisor.show(kind, name)
        unclaimed = self._host.plane.all_unclaimed().as_dict()
        return {
            "agent": {
                "version": __version__,
                "process_id": os.getpid(),
                "plane": self._host.plane.name,
                "plane_reason": self._host.plane.why or None,
                "hooks": dict(sorted(self._host.plane.hooks.items())),
                "started": self._started.isoformat(timespec="seconds"),
                "unclaimed_drops": unclaimed["drops"],
                "unclaimed_handed_up": unclaimed["handed_up"],
                "portproxy": self._host.proxies.summary(),
            },
            "resources": resources,
        }

    async def explain(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say how the host would send to an IPv6 address; see ``explain.explain``."""
        _only(params, "destination", "source")
        destination = _text(params, "destination")
        if destination is None:
            raise RequestError("destination: is missing; give an IPv6 address")
        return await explain(self._supervisor, self._host, destination, _text(params, "source"))

    async def doctor(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Look for what is wrong with the agent and its host."""
        _only(params)
        checks = await Doctor(self._supervisor, self._host).examine()
        return {"checks": [check.as_dict() for check in checks]}


def _only(params: Mapping[str, Any], *known: str) -> None:
    for name in params:
        if name not in known:
            has = f"known: {', '.join(known)}" if known else "there are none"
            raise RequestError(f"params: unknown parameter {name!r}; {has}")


def _text(params: Mapping[str, Any], name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{name}: {value!r} is not a text")
    return value

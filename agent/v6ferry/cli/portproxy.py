# SPDX-License-Identifier: GPL-3.0-or-later
"""``v6ferry portproxy``: rules in the words of ``netsh interface portproxy``.

netsh knows a rule by its direction, address and port; here these make the name of the resource.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from v6ferry.cli.control_client import DEFAULT_TIMEOUT, ControlClient, ControlError

DIRECTIONS = ("v4tov4", "v4tov6", "v6tov4", "v6tov6")
ACTIONS = ("add", "set", "delete", "reset", "show")
OPTIONS = {
    "listenport": "listen_port",
    "connectaddress": "connect_address",
    "connectport": "connect_port",
    "listenaddress": "listen_address",
    "protocol": "protocol",
}
"""netsh's words in the order in which it takes values without them, and the options here."""
WHERE = ("listenport", "listenaddress", "protocol")
"""Those that say which rule is meant."""
NAME_WAIT = 5.0
"""Seconds that a name has to be resolved before it is said that it is not."""
EXAMPLE = """\
examples:
  v6ferry portproxy add v4tov6 listenport=80 connectaddress=2001:db8:0:6::6
  v6ferry portproxy add v6tov4 8000-8010 10.0.0.4 listenaddress=2001:db8:0:6::1
  v6ferry portproxy set v4tov6 listenport=80 connectaddress=www.corp.example connectport=8080
  v6ferry portproxy delete v4tov6 listenport=80
  v6ferry portproxy show [DIRECTION]   all rules, or those of a direction
  v6ferry portproxy reset              have no rule at all

What set does not name stays as it is. Options that netsh does not know are set with
`v6ferry apply`, or the module portproxy.
"""


class WordError(ValueError):
    """A command line that cannot be used; the message is one line."""


def request(action: str, direction: str | None, words: Sequence[str]) -> dict[str, Any]:
    """Return the resource of a command line.

    Args:
        action: add, set or delete.
        direction: one of ``DIRECTIONS``.
        words: ``listenport=80`` and the like, or values in netsh's order.

    Raises:
        WordError: they cannot be used.
    """
    if direction is None:
        raise WordError(f"{action}: a direction is required, one of {', '.join(DIRECTIONS)}")
    _check_direction(action, direction)
    spec = _read(words)
    if spec.pop("protocol", "tcp") != "tcp":
        raise WordError("protocol: only tcp is proxied")
    if "listen_port" not in spec:
        raise WordError("listenport: is required, as in listenport=80")
    where = str(spec.get("listen_address", "*"))
    if where == "*":
        spec.pop("listen_address", None)
    plain = where.replace("*", "any").replace(":", "_").replace("%", "-")
    port = str(spec["listen_port"]).replace(",", "_")
    resource: dict[str, Any] = {"kind": "portproxy", "name": f"{direction}-{plain}-{port}"}
    if action == "delete":
        for name, option in OPTIONS.items():
            if option in spec and name not in WHERE:
                raise WordError(f"{name}: delete takes only {', '.join(WHERE)}")
        return {**resource, "state": "absent"}
    if action == "add" and "connect_address" not in spec:
        # As netsh has it: the machine itself.
        spec["connect_address"] = "127.0.0.1" if direction.endswith("v4") else "::1"
    return {**resource, "state": "present", "spec": {"direction": direction, **spec}}


def _check_direction(action: str, direction: str) -> None:
    if direction not in DIRECTIONS:
        raise WordError(f"{action}: {direction} is not one of {', '.join(DIRECTIONS)}")


def _read(words: Sequence[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    unnamed = list(OPTIONS)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            if not unnamed:
                raise WordError(f"{word}: is one value too many")
            name, value = unnamed[0], word
        if name not in OPTIONS:
            raise WordError(f"{name}: is not one of {', '.join(OPTIONS)}")
        if name not in unnamed:
            raise WordError(f"{name}: is there twice")
        unnamed.remove(name)
        spec[OPTIONS[name]] = value
    return spec


def run(options: argparse.Namespace) -> str:
    """Carry a command line out and return what to print.

    Raises:
        WordError: it cannot be used.
        ControlError: the agent refuses, or there is none.
    """
    client = ControlClient(options.socket, DEFAULT_TIMEOUT + NAME_WAIT)
    action, direction, words = options.action, options.direction, options.words
    if action in ("show", "reset") and (words or (action == "reset" and direction)):
        raise WordError(f"{(words or [direction])[0]}: is one word too many for {action}")
    if action == "show":
        return shown(_rules(client, direction))
    if action == "reset":
        params: dict[str, Any] = {"resources": [], "purge": "portproxy"}
    else:
        resource = request(action, direction, words)
        found = client.call("show", {"kind": "portproxy", "name": resource["name"]})["resources"]
        existing = found[0] if found else None
        if existing is None and action in ("set", "delete"):
            raise ControlError(f"there is no rule {resource['name']}; see v6ferry portproxy show")
        if existing is not None and action == "add":
            raise ControlError(f"the rule {resource['name']} is there already; use set")
        if existing is not None and action == "set":
            # What netsh has no words for stays as it is.
            resource["spec"] = {**existing["spec"], **resource["spec"]}
        params = {"resources": [resource], "wait": NAME_WAIT}
    return changed(client.call("apply", params)["resources"])


def _rules(client: ControlClient, direction: str | None) -> list[Mapping[str, Any]]:
    """All rules, or those of a direction; netsh calls all of them "all"."""
    if direction not in (None, "all"):
        _check_direction("show", direction)
    found = client.call("show", {"kind": "portproxy"})["resources"]
    return [one for one in found if direction in (None, "all", one["spec"].get("direction"))]


def changed(resources: Sequence[Mapping[str, Any]]) -> str:
    """What has been done, and what a user should know of the outcome."""
    lines: list[str] = []
    for one in resources:
        lines += one["actions"] or [f"{one['kind']} {one['name']}: as it should be"]
        status = one["status"]
        if status is None:
            continue
        if not status["ready"]:
            lines.append(f"  not ready: {status['summary']}")
        lines += [f"  note: {problem}" for problem in status["problems"]]
    return "\n".join(lines) or "there is no rule"


def shown(resources: Sequence[Mapping[str, Any]]) -> str:
    """All rules as a table in netsh's manner."""
    if not resources:
        return "there is no rule"
    rows = [("Listen on", "Port", "Connect to", "Port", "Connections")]
    for one in resources:
        status = one["status"]
        if "listen_address" not in status:
            rows.append((one["name"], "", status["summary"], "", ""))
            continue
        rows.append(
            (
                f"{status['listen_address']} ({one['spec'].get('direction', 'any family')})",
                status["listen_port"],
                one["spec"]["connect_address"],
                status["connect_port"],
                str(status["counters"].get("active", 0)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    rule = ["-" * width for width in widths]
    rows.insert(1, (rule[0], rule[1], rule[2], rule[3], rule[4]))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )

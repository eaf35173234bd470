# SPDX-License-Identifier: GPL-3.0-or-later
"""The white paper's intranet with agents on it: what the tests of ISATAP start from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.lab import Lab, LabHost

A, B = "2001:db8:0:7:0:5efe:c0a8:2f63", "2001:db8:0:7:200:5efe:836b:47d1"
LINK_LOCAL_A, LINK_LOCAL_B = "fe80::5efe:c0a8:2f63", "fe80::200:5efe:836b:47d1"
C = "2001:db8:0:c::c"
PREFIX = {"prefix": "2001:db8:0:7::/64"}


def apply(host: LabHost, kind: str, *, wait: float = 15, **spec: Any) -> dict[str, Any]:
    """Make a resource called "default" present and wait until it is ready."""
    resource = {"kind": kind, "name": "default", "state": "present", "spec": spec}
    done = host.v6ferry(
        "apply", "-", "--json", "--wait", str(wait), input=json.dumps([resource]), timeout=60
    )
    outcome: dict[str, Any] = json.loads(done.stdout)["resources"][0]
    return outcome


def remove(host: LabHost, kind: str) -> dict[str, Any]:
    """Make a resource called "default" absent."""
    resource = {"kind": kind, "name": "default", "state": "absent"}
    done = host.v6ferry("apply", "-", "--json", input=json.dumps([resource]))
    outcome: dict[str, Any] = json.loads(done.stdout)["resources"][0]
    return outcome


def refusal(host: LabHost, kind: str, **spec: Any) -> str:
    """What the agent says to a specification that it refuses."""
    done = host.v6ferry("apply", "-", input=json.dumps({"kind": kind, "spec": spec}), check=False)
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("v6ferry: ").rstrip()


def set_up(
    lab: Lab, *, routers: tuple[str, ...] = ("router",), plane: str = "auto", **host_spec: Any
) -> None:
    """Start the agents and make routers and hosts."""
    for name in (*routers, "a", "b"):
        lab[name].start_agent("--plane", plane)
    for name in routers:
        apply(lab[name], "isatap_router", prefixes=[PREFIX])
    addresses = [str(lab[name].ipv4) for name in routers]
    for name in ("a", "b"):
        apply(lab[name], "isatap_host", **{"routers": addresses, **host_spec})


def status(host: LabHost) -> dict[str, Any]:
    """The status of the host's one resource."""
    (one,) = host.show()["resources"]
    found: dict[str, Any] = one["status"]
    return found


def drops(host: LabHost) -> dict[str, int]:
    """Packets that the host's tunnel has dropped, by reason."""
    found: dict[str, int] = status(host)["counters"]["drops"]
    return found


def pings(host: LabHost, target: str, *options: str, wait: float = 2) -> bool:
    """Whether one echo request is answered."""
    command = ["ping", "-n", "-c", "1", "-W", str(wait), *options, target]
    return host.run(command, check=False).returncode == 0


def addresses(host: LabHost, interface: str = "isatap0") -> set[str]:
    """The IPv6 addresses of an interface; none if there is no such interface."""
    done = host.run(["ip", "-j", "-6", "addr", "show", "dev", interface], check=False)
    if done.returncode != 0:
        return set()
    return {one["local"] for link in json.loads(done.stdout) for one in link.get("addr_info", ())}


def eventually(condition: Callable[[], bool], timeout: float = 5.0) -> float:
    """Wait for a condition and return how many seconds it took; fail when it takes longer."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, f"not within {timeout:g} s"
        time.sleep(0.02)
    return time.monotonic() - began

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of a lab: made, looked at, and taken away again; and servers to lead to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab import Lab, LabHost, Service

V4, V6 = "10.0.0.4", "2001:db8:0:6::6"
PROXY4, PROXY6 = "10.0.0.1", "2001:db8:0:6::1"
STREAMS = Path(__file__).with_name("streams.py")

Rule = dict[str, Any]


def present(name: str, **spec: Any) -> Rule:
    """A rule that is wanted."""
    return {"kind": "portproxy", "name": name, "state": "present", "spec": spec}


def absent(name: str) -> Rule:
    """A rule that is not."""
    return {"kind": "portproxy", "name": name, "state": "absent"}


def apply(host: LabHost, *rules: Rule, wait: float = 10) -> list[dict[str, Any]]:
    """Apply rules and return what the agent says of each."""
    done = host.v6ferry("apply", "-", "--json", "--wait", str(wait), input=json.dumps(rules))
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)["resources"]
    return outcomes


def refusal(host: LabHost, *rules: Rule) -> str:
    """What the agent says to rules that it refuses; all is as before then."""
    before = shown(host)
    done = host.v6ferry("apply", "-", input=json.dumps(rules), check=False)
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert [one["spec"] for one in shown(host)] == [one["spec"] for one in before]
    return done.stderr.removeprefix("v6ferry: ").rstrip()


@contextmanager
def rules(host: LabHost, *wanted: Rule, wait: float = 10) -> Iterator[None]:
    """Have rules for the length of a ``with`` block."""
    apply(host, *wanted, wait=wait)
    try:
        yield
    finally:
        apply(host, *(absent(one["name"]) for one in wanted))


def shown(host: LabHost) -> list[dict[str, Any]]:
    """All rules as the agent shows them."""
    found: list[dict[str, Any]] = host.show()["resources"]
    return found


def status(host: LabHost, name: str) -> dict[str, Any]:
    """How a rule fares."""
    (found,) = (one for one in shown(host) if one["name"] == name)
    result: dict[str, Any] = found["status"]
    return result


def counters(host: LabHost, name: str) -> dict[str, Any]:
    """What a rule has counted."""
    found: dict[str, Any] = status(host, name)["counters"]
    return found


def agent_shown(host: LabHost) -> dict[str, Any]:
    """How the workers are."""
    found: dict[str, Any] = host.show()["agent"]["portproxy"]
    return found


def kill_workers(host: LabHost) -> None:
    """End what an agent that was killed has left at work."""
    for process_id in agent_shown(host)["process_ids"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def web_server(host: LabHost, address: str, port: int = 80, text: str = "hello") -> Service:
    """Python's own web server, with one page: ``text``."""
    directory = f"/run/www-{port}"
    host.path(directory).mkdir(exist_ok=True)
    host.write(f"{directory}/index.html", text)
    listens = f"sport = :{port}"
    return host.start_service(
        f"web-{port}",
        [sys.executable, "-m", "http.server", str(port), "-b", address, "-d", directory],
        ready=lambda _: str(port) in host.run(["ss", "-Hltn", listens]).stdout,
    )


def fetch(host: LabHost, url: str, *options: str, check: bool = True) -> str:
    """What curl gets."""
    return host.run(["curl", "-sS", "-m", "10", "-g", *options, url], check=check).stdout


def streams_server(lab: Lab, name: str, address: str, port: int) -> Service:
    """The server of ``streams.py``."""
    return lab[name].start_service(
        "streams",
        [sys.executable, STREAMS, "serve", address, str(port)],
        ready=lambda service: service.log_contains("listening"),
    )

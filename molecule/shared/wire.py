# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a veth pair between two containers: wire.py NODE:INTERFACE:ADDRESS NODE:INTERFACE:ADDRESS."""

from __future__ import annotations

import subprocess
import sys


def run(*command: str) -> str:
    """Run a program and return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


ends = [end.split(":", 2) for end in sys.argv[1:]]
processes = [
    run("podman", "inspect", "--format", "{{.State.Pid}}", node)
    for node, _interface, _address in ends
]
pair = [
    ["name", interface, "netns", process]
    for (_node, interface, _address), process in zip(ends, processes, strict=True)
]
run("ip", "link", "add", *pair[0], "type", "veth", "peer", *pair[1])
for (_node, interface, address), process in zip(ends, processes, strict=True):
    inside = ["nsenter", "--target", process, "--net", "ip"]
    run(*inside, "address", "add", address, "dev", interface)
    run(*inside, "link", "set", "dev", interface, "up")

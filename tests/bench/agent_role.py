# SPDX-License-Identifier: GPL-3.0-or-later
"""The role agent on a host where nothing changes: seconds that the module takes there.

A budget, not a peer: a second a host. The host is a container with systemd.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.comparison import BenchError, Comparison
from tests.lab.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
NODE = "v6ops-bench"
IMAGE = "localhost/v6ops-node:bookworm"
TIMES = "/run/bench-times"
INTERPRETER = "/usr/local/sbin/timed-python"
# Notes how long the module runs, its start by the interpreter included.
TIMED_PYTHON = f"""#!/bin/sh
began=$(date +%s%N)
/usr/bin/python3 "$@"
status=$?
echo $(($(date +%s%N) - began)) >> {TIMES}
exit $status
"""
PLAY = """
- hosts: all
  gather_facts: false
  roles:
    - v6ops.transition.agent
"""
GOAL = 1.0


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison]]:
    """Yield the comparison; the container is up as long."""
    _run("sh", "-c", "tools/node-image.sh && tools/dev-setup.sh", cwd=ROOT)
    _python("tools/fetch_collections.py")
    _python("tools/build_bundle.py", "roles/agent/files/v6ferry.pyz")
    _run("podman", "rm", "--force", "--time", "1", "--ignore", NODE)
    start = "mount --make-rshared / && exec /sbin/init"
    options = ["--privileged", "--systemd=always", "--network=none"]
    _run("podman", "run", "--detach", "--name", NODE, *options, IMAGE, "sh", "-c", start)
    try:
        if not wait_until(_runs, 30):
            raise BenchError(f"systemd in the container {NODE} is not up after 30 s")
        _inside("chmod", "0666", "/dev/net/tun")
        _inside("sh", "-c", f"cat > {INTERPRETER}; chmod 0755 {INTERPRETER}", text=TIMED_PYTHON)
        _play()
        yield [
            Comparison(
                "role agent without changes, against one host a second",
                "hosts/s",
                GOAL,
                ours=_hosts_a_second,
                peer=lambda: 1.0,
            )
        ]
    finally:
        _run("podman", "rm", "--force", "--time", "1", "--ignore", NODE)


def _runs() -> bool:
    try:
        return _inside("systemctl", "is-system-running", "--wait").strip() == "running"
    except BenchError:
        return False


def _hosts_a_second() -> float:
    _inside("rm", "-f", TIMES)
    _play("changed=0")
    nanoseconds = sum(map(int, _inside("cat", TIMES).split()))
    return 1e9 / nanoseconds


def _play(expected: str = "failed=0") -> None:
    play = ROOT / "build" / "bench-agent.yml"
    play.parent.mkdir(exist_ok=True)
    play.write_text(PLAY)
    environment = {
        "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "molecule" / "plugins" / "connection"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "true",
    }
    variables = f"ansible_connection=podman_pipe ansible_python_interpreter={INTERPRETER}"
    playbook = Path(sys.executable).with_name("ansible-playbook")
    said = _run(
        str(playbook), "-i", f"{NODE},", "-e", variables, str(play), environment=environment
    )
    if expected not in said:
        raise BenchError(f"the role agent did not end with {expected}:\n{said}")


def _python(*command: str) -> str:
    return _run(sys.executable, *command, cwd=ROOT)


def _inside(*command: str, text: str = "") -> str:
    return _run("podman", "exec", "--interactive", NODE, *command, text=text)


def _run(
    *command: str,
    text: str = "",
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    variables = {**os.environ, **(environment or {})}
    if not Path("/run/systemd/system").is_dir():
        configuration = str(ROOT / "tools" / "podman" / "containers.conf")
        variables.setdefault("CONTAINERS_CONF", configuration)
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            input=text,
            cwd=cwd,
            env=variables,
            timeout=300,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} took more than {error.timeout:g} s") from error
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout

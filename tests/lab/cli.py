# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.lab``: labs by hand."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tests.lab.errors import LabError
from tests.lab.inventory import inventory_yaml
from tests.lab.lab import Lab, describe, take_down
from tests.lab.topologies import TOPOLOGIES
from tests.lab.topology import TopologyError

_EXAMPLES = """\
examples:
  python -m tests.lab up isatap --name demo
  python -m tests.lab enter demo a ping -c 1 10.0.0.1
  python -m tests.lab enter demo router
  python -m tests.lab inventory demo > hosts.yml && ansible -i hosts.yml all -m ping
  python -m tests.lab down demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` and return the exit status: 0, or 1 after an error."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.action(options))
    except (LabError, TopologyError) as error:
        print(f"tests.lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab",
        description="Intranets out of network namespaces. A lab stays up until it is taken down.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="build a lab")
    up.add_argument("topology", choices=sorted(TOPOLOGIES), help="what to build")
    up.add_argument("--name", help="of the lab; the topology's and a random suffix by default")
    up.set_defaults(action=_up)

    down = commands.add_parser("down", help="take labs down")
    which = down.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", help="of the lab")
    which.add_argument("--all", action="store_true", help="every lab of this machine")
    which.add_argument("--stale", action="store_true", help="those that a crash has left behind")
    down.set_defaults(action=_down)

    show = commands.add_parser("list", help="list the labs of this machine")
    show.set_defaults(action=_list)

    enter = commands.add_parser("enter", help="run a command, or a shell, in a host")
    enter.add_argument("name", help="of the lab")
    enter.add_argument("host", help="of the lab's topology")
    enter.add_argument("command", nargs=argparse.REMAINDER, help="your shell by default")
    enter.set_defaults(action=_enter)

    inventory = commands.add_parser("inventory", help="print a lab's Ansible inventory (YAML)")
    inventory.add_argument("name", help="of the lab")
    inventory.set_defaults(action=_inventory)
    return parser


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    lab = Lab(TOPOLOGIES[options.topology], options.name, keep=True).up()
    print(f"lab {lab.name} is up after {time.monotonic() - began:.1f} s")
    for host in lab.hosts:
        addresses = ", ".join(str(address) for address in host.host.addresses)
        print(f"  {host.name:<8} {addresses}")
    print(f"enter a host: python -m tests.lab enter {lab.name} {lab.hosts[0].name}")
    print(f"take it down: python -m tests.lab down {lab.name}")
    return 0


def _down(options: argparse.Namespace) -> int:
    if options.stale:
        names = Lab.down_all_stale()
    else:
        names = Lab.names() if options.all else [options.name]
        if options.name and options.name not in Lab.names():
            Lab.attach(options.name)  # raises, and says which labs there are
        for name in names:
            take_down(name)
    for name in names:
        print(f"lab {name} is down")
    return 0


def _list(options: argparse.Namespace) -> int:
    for name in Lab.names():
        print(f"{name}: {describe(name)}")
    return 0


def _enter(options: argparse.Namespace) -> NoReturn:
    host = Lab.attach(options.name)[options.host]
    # nsenter leaves its caller's directory for the root, and a shell should find v6ferry at once.
    shell = options.command or [os.environ.get("SHELL", "/bin/sh")]
    command = host.command(["env", f"--chdir={Path.cwd()}", *shell])
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"}
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)


def _inventory(options: argparse.Namespace) -> int:
    print(inventory_yaml(Lab.attach(options.name)), end="")
    return 0

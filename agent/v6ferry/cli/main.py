# SPDX-License-Identifier: GPL-3.0-or-later
"""``v6ferry run | show | metrics | apply | explain | doctor``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from v6ferry import __version__
from v6ferry.cli import metrics, portproxy, render
from v6ferry.cli.control_client import (
    DEFAULT_SOCKET,
    DEFAULT_TIMEOUT,
    ControlClient,
    ControlError,
)
from v6ferry.cli.logs import set_up_logging
from v6ferry.daemon.settings import PLANES, RUNTIME_DIRECTORY, STATE_DIRECTORY, Settings
from v6ferry.system.errors import SystemFault

DONE, FAILED, USAGE = 0, 1, 2
"""Exit codes; argparse uses the last one itself."""


class UsageError(Exception):
    """What the user gave cannot be used; the message is one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for a command line that cannot be used.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except UsageError as error:
        return _complain(error, USAGE)
    except (ControlError, SystemFault) as error:
        return _complain(error, FAILED)
    except BrokenPipeError:
        # The reader of our output (head, less) has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    return code


def _complain(error: Exception, code: int) -> int:
    print(f"v6ferry: {error}", file=sys.stderr)
    return code


def _run(options: argparse.Namespace) -> int:
    # The daemon takes a quarter of a second to import, which the other commands need not wait for.
    from v6ferry.daemon.main import run  # noqa: PLC0415

    set_up_logging(verbose=options.verbose, as_json=options.json)
    asyncio.run(
        run(
            Settings(
                options.state_directory,
                options.runtime_directory,
                options.group,
                options.portproxy_workers,
                options.plane,
            )
        )
    )
    return DONE


def _resolver_helper(_options: argparse.Namespace) -> int:
    # As in _run: what one command needs, the others need not wait for.
    from v6ferry.system import resolver_helper  # noqa: PLC0415
    from v6ferry.system.resolver_configuration import ResolverConfiguration  # noqa: PLC0415

    request = sys.stdin.buffer.readline(resolver_helper.LONGEST_REQUEST)
    answer = asyncio.run(resolver_helper.answer_request(request, ResolverConfiguration()))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    return DONE


def _show(options: argparse.Namespace) -> int:
    selected = {
        key: value for key, value in (("kind", options.kind), ("name", options.name)) if value
    }
    answer = ControlClient(options.socket).call("show", selected)
    _print(options, answer, render.shown)
    return DONE


def _metrics(options: argparse.Namespace) -> int:
    print(metrics.exposition(ControlClient(options.socket).call("show")), end="", flush=True)
    return DONE


def _apply(options: argparse.Namespace) -> int:
    resources = _read_resources(options.file)
    client = ControlClient(options.socket, DEFAULT_TIMEOUT + options.wait)
    params = {"resources": resources, "dry_run": options.dry_run, "wait": options.wait}
    if options.purge is not None:
        params["purge"] = options.purge
    answer = client.call("apply", params)
    _print(options, answer, render.applied)
    if options.wait and not options.dry_run:
        for one in answer["resources"]:
            status = one["status"]
            if status is not None and not status["ready"]:
                return _complain(
                    ControlError(
                        f"{one['kind']}/{one['name']} is not ready after {options.wait:g} s:"
                        f" {status['summary']}; v6ferry doctor tells more"
                    ),
                    FAILED,
                )
    return DONE


def _explain(options: argparse.Namespace) -> int:
    params = {"destination": options.destination}
    if options.source is not None:
        params["source"] = options.source
    answer = ControlClient(options.socket).call("explain", params)
    _print(options, answer, render.explained)
    return DONE if answer["sent"] else FAILED


def _doctor(options: argparse.Namespace) -> int:
    answer = ControlClient(options.socket).call("doctor")
    _print(options, answer, render.examined)
    return FAILED if any(one["status"] == "error" for one in answer["checks"]) else DONE


def _portproxy(options: argparse.Namespace) -> int:
    try:
        print(portproxy.run(options), flush=True)
    except portproxy.WordError as error:
        raise UsageError(str(error)) from error
    return DONE


def _print(options: argparse.Namespace, answer: dict[str, Any], readable: Any) -> None:
    print(json.dumps(answer, indent=2) if options.json else readable(answer), flush=True)


def _read_resources(file: str) -> Any:
    """Read what ``apply`` takes: one resource, a list of them, or {"resources": [...]}."""
    where = "standard input" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        content = json.loads(text)
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: byte {error.start} is not UTF-8") from error
    if isinstance(content, dict):
        return content.get("resources", [content])
    return content


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 1024")
    return value


_APPLY_EXAMPLE = """\
FILE holds one resource, or a list of them, as JSON:

  [{"kind": "isatap_host", "name": "default", "state": "present",
    "spec": {"routers": ["10.0.0.1"]}}]

All of them are applied or none. examples:
  v6ferry apply isatap.json --dry-run     say what would change
  v6ferry apply isatap.json --wait 30     return when IPv6 works, or fail after 30 s
  v6ferry apply rules.json --purge portproxy   have these rules and no others
"""
_EXPLAIN_EXAMPLE = """\
examples:
  v6ferry explain 2001:db8:0:7:0:5efe:192.168.47.99
  v6ferry explain fe80::5efe:10.0.0.1%isatap0
"""
_SHOW_EXAMPLE = """\
examples:
  v6ferry show
  v6ferry show isatap_host default --json
"""
_METRICS_EXAMPLE = """\
The text format 0.0.4, as node_exporter's textfile collector takes it. example:
  v6ferry metrics > v6ferry.new && mv v6ferry.new /var/lib/prometheus/node-exporter/v6ferry.prom
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="v6ferry",
        description="The IPv6 transition stack of a Linux host: IPv6 over an IPv4-only network.",
        epilog="exit codes: 0 done, 1 failed (the message says why), 2 wrong usage",
    )
    parser.add_argument("--version", action="version", version=f"v6ferry {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON, for programs")
    client = argparse.ArgumentParser(add_help=False, parents=[as_json])
    _add_socket(client)
    _add_run(commands, as_json)

    show = _add(commands, "show", _show, client, "print resources and how they are", _SHOW_EXAMPLE)
    show.add_argument("kind", nargs="?", metavar="KIND", help="only this kind, as isatap_host")
    show.add_argument("name", nargs="?", metavar="NAME", help="only this name, as default")

    # Not for people, and JSON is what show has.
    asked = argparse.ArgumentParser(add_help=False)
    _add_socket(asked)
    _add(
        commands, "metrics", _metrics, asked, "print all counters for Prometheus", _METRICS_EXAMPLE
    )

    apply = _add(commands, "apply", _apply, client, "make resources as a file says", _APPLY_EXAMPLE)
    apply.add_argument("file", metavar="FILE", help="JSON file, or - for standard input")
    apply.add_argument(
        "--dry-run", action="store_true", help="check and say what would change, change nothing"
    )
    apply.add_argument(
        "--wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait until the resources are ready, and fail if they are not by then",
    )

    apply.add_argument(
        "--purge",
        metavar="KIND",
        help="also remove all resources of this kind that the file does not name",
    )

    explain = _add(
        commands,
        "explain",
        _explain,
        client,
        "say which way a packet to an address would take, and why",
        _EXPLAIN_EXAMPLE,
    )
    explain.add_argument("destination", metavar="ADDRESS", help="IPv6 address")
    explain.add_argument(
        "--source", metavar="ADDRESS", help="IPv6 source, as of a packet to forward"
    )

    proxy = commands.add_parser(
        "portproxy",
        help="rules of PortProxy in the words of netsh",
        description="Rules of PortProxy in the words of netsh interface portproxy.",
        epilog=portproxy.EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    proxy.add_argument("action", choices=portproxy.ACTIONS, help="what to do")
    proxy.add_argument(
        "direction", nargs="?", metavar="DIRECTION", help=", ".join(portproxy.DIRECTIONS)
    )
    proxy.add_argument(
        "words",
        nargs="*",
        default=[],  # or argparse says that one is required
        metavar="NAME=VALUE",
        help=", ".join(portproxy.OPTIONS),
    )
    _add_socket(proxy)
    proxy.set_defaults(command=_portproxy)

    # Not for people: systemd starts it for the agent, so the help does not list it.
    commands.add_parser("resolver-helper").set_defaults(command=_resolver_helper)

    _add(commands, "doctor", _doctor, client, "look for what is wrong, and say what to do", None)
    return parser


def _add_socket(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=DEFAULT_SOCKET,
        help="the agent's control socket (default: %(default)s)",
    )


def _add_run(commands: Any, as_json: argparse.ArgumentParser) -> None:
    parser = _add(
        commands, "run", _run, as_json, "be the agent: run in the foreground until SIGTERM", None
    )
    parser.add_argument(
        "--state-directory",
        type=Path,
        default=STATE_DIRECTORY,
        metavar="PATH",
        help="where resources are stored, a JSON file each (default: %(default)s)",
    )
    parser.add_argument(
        "--runtime-directory",
        type=Path,
        default=RUNTIME_DIRECTORY,
        metavar="PATH",
        help="where the control socket is (default: %(default)s)",
    )
    parser.add_argument(
        "--group",
        metavar="NAME",
        help="the group that may use the control socket besides root (default: v6ferry, if there"
        " is such a group)",
    )
    parser.add_argument(
        "--plane",
        choices=PLANES,
        default="auto",
        help="what carries packets: programs in the kernel (ebpf) or this process (userspace);"
        " auto takes ebpf where the kernel can, and says why if it cannot",
    )
    parser.add_argument(
        "--portproxy-workers",
        type=_positive,
        metavar="NUMBER",
        help="processes that carry proxied connections (default: one a core)",
    )
    parser.add_argument("--verbose", action="store_true", help="log more")


def _add(
    commands: Any,
    name: str,
    command: Any,
    parent: argparse.ArgumentParser,
    summary: str,
    example: str | None,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=[parent],
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser

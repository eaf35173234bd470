# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of the demo, which every act has."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence

from tests.demo import output
from tests.demo.acts import ACTS, Act
from tests.demo.playbook import PlaybookError, run_playbook
from tests.demo.reach import Pair, Reach, Station, measure
from tests.lab import Lab, LabError
from tests.lab.lab import take_down


class DemoError(Exception):
    """Something that should work does not; the message says what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0 if everything that should connect does, else 1."""
    options = _parser().parse_args(arguments)
    progress = output.Progress()
    connected = 0
    for act in ACTS:
        print(act.picture)
        try:
            results = _run(act, progress, keep=options.keep)
        except (LabError, PlaybookError, DemoError) as error:
            print(f"\ndemo: {error}")
            if options.keep:
                print(_how_to_go_on())
            return 1
        print("\nWho reaches whom over IPv6, where = is a hop through IPv4:\n")
        print(f"{output.matrix(results)}\n")
        problems = _unexpected(act, results)
        if problems:
            print("\n".join(f"demo: {problem}" for problem in problems))
            return 1
        connected += len(results)
    print(f"All {connected} connect as they should, after {progress.total():.0f} s.")
    if options.keep:
        print(_how_to_go_on())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Carries IPv6 over IPv4-only networks of network namespaces, by playbooks.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the labs up at the end")
    return parser


def _kept(act: Act) -> str:
    """The name of the lab that --keep leaves up."""
    return f"demo-{act.topology.name}"


def _how_to_go_on() -> str:
    lines = ["", "What is still up. Enter a host, look around, take it down:", ""]
    for act in (act for act in ACTS if _kept(act) in Lab.names()):
        enter = f"  .venv/bin/python -m tests.lab enter {_kept(act)}"
        lines += [
            f"{enter} {act.agents[0]}",
            f"{enter} {act.agents[0]} v6ferry show",
            f"{enter} b v6ferry explain 2001:db8:0:c::c",
            f"  .venv/bin/python -m tests.lab down {_kept(act)}",
            "",
        ]
    return "\n".join(lines)


def _run(act: Act, progress: output.Progress, *, keep: bool) -> list[Reach]:
    if keep:
        take_down(_kept(act))  # what the last demo has left
    with contextlib.ExitStack() as stack:
        with progress.stage("build the network out of network namespaces") as remarks:
            lab = stack.enter_context(Lab(act.topology, _kept(act) if keep else None, keep=keep))
            remarks.append(f"{len(lab.hosts)} hosts")
        return _play(act, lab, progress)


def _play(act: Act, lab: Lab, progress: output.Progress) -> list[Reach]:
    with progress.stage("see that nobody speaks IPv6 across it yet"):
        _expect_no_ipv6(lab)
    with progress.stage(f"start the agent v6ferry on {', '.join(act.agents)}"):
        for name in act.agents:
            lab[name].start_agent()
    _run_playbook(act, lab, progress)
    with progress.stage("wait for the addresses of A, B and C"):
        stations = act.stations(lab)
    pairs = _pairs(act, stations)
    with progress.stage("measure every pair, packets caught on CORE") as remarks:
        results = measure(lab, pairs)
        remarks.append(f"{len(results)} pairs")
    return results


def _run_playbook(act: Act, lab: Lab, progress: output.Progress) -> None:
    shown = f"ansible-playbook playbooks/{act.playbook}.yml"
    with progress.stage(f"{shown} --check") as remarks:
        foretold = run_playbook(lab, act.playbook, "--check")
        remarks.append(f"would change {foretold.changes}")
    with progress.stage(shown) as remarks:
        done = run_playbook(lab, act.playbook)
        remarks.append(f"changed {done.changes}")
        if done.changed != foretold.changed:
            raise DemoError(f"--check foretold {foretold.changed}, the run changed {done.changed}")
    with progress.stage(f"{shown}, again") as remarks:
        again = run_playbook(lab, act.playbook)
        remarks.append(f"changed {again.changes}")
        if again.changes:
            raise DemoError(f"the second run changed something:\n{again.output}")


def _pairs(act: Act, stations: Mapping[str, Station]) -> list[Pair]:
    """All that the act tells ways for, and neighbors on a tunnel by their link-local addresses."""
    two = [(stations[source], stations[destination]) for source, destination in act.ways]
    near = [(one, other) for one, other in two if one.link_local and other.link_local]
    return [
        *(Pair(*ends) for ends in two),
        *(Pair(*ends, link_local=True) for ends in near),
    ]


def _expect_no_ipv6(lab: Lab) -> None:
    for name in ("a", "b"):
        ping = ["ping", "-c", "1", "-W", "1", str(lab["c"].ipv6)]
        if lab[name].run(ping, check=False).returncode == 0:
            raise DemoError(f"{name} reaches c before anything was done")


def _unexpected(act: Act, results: Sequence[Reach]) -> list[str]:
    """What is not as it should be, a line each."""
    problems = []
    for one in results:
        source, destination = (end.host.name for end in (one.pair.source, one.pair.destination))
        expected = act.ways[source, destination]
        where = f"{expected} at {one.pair.target}"
        if not one.connects:
            problems.append(f"{where}: does not connect")
        if one.way != expected:
            problems.append(f"{where}: goes {one.way}")
        if one.strays:
            problems.append(f"{where}: some of it went {sorted(one.strays)}")
    return problems

# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of the demo."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Network
from itertools import permutations

from v6ferry.addresses import isatap_address, isatap_link_local

from tests.demo import output
from tests.demo.playbook import PlaybookError, run_playbook
from tests.demo.reach import Pair, Reach, Station, measure
from tests.lab import ISATAP, Lab, LabError, LabHost
from tests.lab.lab import take_down

PREFIX = IPv6Network("2001:db8:0:7::/64")
ISATAP_HOSTS = ("a", "b")
NATIVE_HOST = "c"

_PICTURE = """\
An IPv4-only intranet (CORE routes no IPv6), and beyond it a network that speaks IPv6 alone:

  A  192.168.47.99 ---+                                    2001:db8:0:7::/64 on the tunnel
                      +--- CORE ---- 10.0.0.1 ROUTER ----- 2001:db8:0:c::c  C
  B 131.107.71.209 ---+      |
                             +------ 10.0.1.53 DNS
"""

_KEPT = "demo"  # the name of the lab that --keep leaves up

_HOW_TO_GO_ON = f"""
The lab is still up. Enter a host, look around, take it down:

  .venv/bin/python -m tests.lab enter {_KEPT} a
  .venv/bin/python -m tests.lab enter {_KEPT} router v6ferry show
  .venv/bin/python -m tests.lab enter {_KEPT} a v6ferry explain 2001:db8:0:c::c
  .venv/bin/python -m tests.lab down {_KEPT}
"""


class DemoError(Exception):
    """Something that should work does not; the message says what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0 if everything that should connect does, else 1."""
    options = _parser().parse_args(arguments)
    print(_PICTURE)
    progress = output.Progress()
    try:
        results = _run(progress, keep=options.keep)
    except (LabError, PlaybookError, DemoError) as error:
        print(f"\ndemo: {error}")
        if options.keep and _KEPT in Lab.names():
            print(_HOW_TO_GO_ON)
        return 1
    print(f"\nWho reaches whom over IPv6:\n\n{output.matrix(results)}\n")
    failed = _unexpected(results)
    for problem in failed:
        print(f"demo: {problem}")
    if not failed:
        print(f"All {len(results)} connect as they should, after {progress.total():.0f} s.")
    if options.keep:
        print(_HOW_TO_GO_ON)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Carries IPv6 over an IPv4-only intranet of network namespaces, by playbook.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    return parser


def _run(progress: output.Progress, *, keep: bool) -> list[Reach]:
    name = _KEPT if keep else None
    if keep:
        take_down(_KEPT)  # what the last demo has left
    with contextlib.ExitStack() as stack:
        with progress.stage("build the intranet out of network namespaces") as remarks:
            lab = stack.enter_context(Lab(ISATAP, name, keep=keep))
            remarks.append(f"{len(lab.hosts)} hosts")
        return _play(lab, progress)


def _play(lab: Lab, progress: output.Progress) -> list[Reach]:
    hosts = [lab[name] for name in ISATAP_HOSTS]
    router = lab["router"]
    with progress.stage("see that nobody speaks IPv6 with anybody yet"):
        _expect_no_ipv6(lab)
    with progress.stage("start the agent v6ferry on router, a and b"):
        for host in (router, *hosts):
            host.start_agent()
    with progress.stage("ansible-playbook playbooks/isatap.yml --check") as remarks:
        foretold = run_playbook(lab, "isatap", "--check")
        remarks.append(f"would change {foretold.changes}")
    with progress.stage("ansible-playbook playbooks/isatap.yml") as remarks:
        done = run_playbook(lab, "isatap")
        remarks.append(f"changed {done.changes}")
        if done.changed != foretold.changed:
            raise DemoError(f"--check foretold {foretold.changed}, the run changed {done.changed}")
    with progress.stage("ansible-playbook playbooks/isatap.yml, again") as remarks:
        again = run_playbook(lab, "isatap")
        remarks.append(f"changed {again.changes}")
        if again.changes:
            raise DemoError(f"the second run changed something:\n{again.output}")
    stations = [_isatap_station(host) for host in hosts]
    stations.append(Station(lab[NATIVE_HOST], lab[NATIVE_HOST].ipv6))
    pairs = [Pair(*two) for two in permutations(stations, 2)]
    pairs += [Pair(*two, link_local=True) for two in permutations(stations[:2], 2)]
    with progress.stage("measure every pair, packets caught on CORE") as remarks:
        results = measure(lab, pairs)
        remarks.append(f"{len(results)} pairs")
    return results


def _isatap_station(host: LabHost) -> Station:
    """The addresses that RFC 5214 gives a host: known before anybody has asked it."""
    return Station(host, isatap_address(PREFIX, host.ipv4), isatap_link_local(host.ipv4))


def _expect_no_ipv6(lab: Lab) -> None:
    for name in ISATAP_HOSTS:
        ping = ["ping", "-c", "1", "-W", "1", str(lab[NATIVE_HOST].ipv6)]
        if lab[name].run(ping, check=False).returncode == 0:
            raise DemoError(f"{name} reaches {NATIVE_HOST} before anything was done")


def _unexpected(results: Sequence[Reach]) -> list[str]:
    """What is not as it should be, a line each."""
    problems = []
    router = IPv4Address("10.0.0.1")
    for one in results:
        pair = one.pair
        names = f"{pair.source.host.name.upper()} -> {pair.destination.host.name.upper()}"
        if not one.connects:
            problems.append(f"{names} at {pair.target}: does not connect")
        elif NATIVE_HOST in (pair.source.host.name, pair.destination.host.name):
            if not all(router in outer for outer in one.way) or not one.way:
                problems.append(f"{names}: should go through the ISATAP router: {one.way}")
        elif not one.is_direct():
            problems.append(f"{names}: should go from host to host: {sorted(one.way)}")
    return problems

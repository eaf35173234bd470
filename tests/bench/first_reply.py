# SPDX-License-Identifier: GPL-3.0-or-later
"""How soon a Teredo peer that has sent nothing yet replies, at 10 ms a link, beside miredo."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from tests.bench.comparison import BenchError, By, Comparison
from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually, remove
from tests.lab.service import Service
from tests.lab.teredo.internet import (
    INTERNET,
    SERVER,
    C,
    serve,
    start_miredo,
    start_miredo_server,
    teredo_address,
)
from tests.lab.teredo.nat import become
from tests.lab.topologies import without_transmit_offload
from tests.simulation.nat import Kind

_LINK_DELAY = 0.010
_DELAY = Path(__file__).with_name("delay.py")
_LATER = 1.0
"""Milliseconds: ping tells no less of a time that is longer than a hundred."""
_CELLS = (
    (Kind.NONE, Kind.PORT_RESTRICTED),
    (Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED),
    (Kind.PORT_RESTRICTED, Kind.NONE),
    (Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED),
)


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison]]:
    """Yield the comparisons; the labs they run in are up as long."""
    with _slow_internet() as ours, _slow_internet() as theirs:
        serve(ours, "ebpf")
        for name in ("a", "b", "relay"):
            ours[name].start_agent("--plane", "ebpf")
        apply(ours["relay"], "teredo_relay")
        start_miredo_server(theirs["server"])
        theirs["relay"].run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
        start_miredo(theirs["relay"], "RelayType relay", "BindPort 3545")
        yield [
            *(
                _comparison(
                    f"{here.value} to {there.value}", _Ours(ours), _Miredo(theirs), here, there
                )
                for here, there in _CELLS
            ),
            _comparison(
                "port-restricted to a native host",
                _Ours(ours, C),
                _Miredo(theirs, C),
                Kind.PORT_RESTRICTED,
                Kind.NONE,
            ),
        ]


def _comparison(what: str, ours: _Ours, theirs: _Miredo, here: Kind, there: Kind) -> Comparison:
    return Comparison(
        f"Teredo, first reply at 10 ms a link: {what}",
        "ms",
        _LATER,
        ours=lambda: ours.first_reply(here, there),
        peer=lambda: theirs.first_reply(here, there),
        by=By.DIFFERENCE,
    )


class _Pair:
    """Two clients that are made anew for each measurement, so that they know nobody."""

    def __init__(self, lab: Lab, target: str | None = None) -> None:
        self.lab = lab
        self._target = target

    def first_reply(self, here: Kind, there: Kind) -> float:
        """Milliseconds until the first echo reply."""
        lab = self.lab
        addresses = [
            self.fresh(lab[name], lambda name=name, kind=kind: become(lab[f"{name}nat"], kind))
            for name, kind in (("a", here), ("b", there))
        ]
        target = self._target or addresses[1]
        said = lab["a"].run(["ping", "-n", "-c", "1", "-W", "4", target], check=False).stdout
        found = re.search(r"time=([0-9.]+) ms", said)
        if found is None:
            raise BenchError(f"host a does not reach {target}: {said}")
        return float(found[1])

    def fresh(self, host: LabHost, change_nat: Callable[[], None]) -> str:
        """Have a new client behind a new NAT; its address."""
        raise NotImplementedError


class _Ours(_Pair):
    def fresh(self, host: LabHost, change_nat: Callable[[], None]) -> str:
        remove(host, "teredo_client")
        change_nat()
        apply(host, "teredo_client", servers=[SERVER])
        return teredo_address(host, "teredo0")


class _Miredo(_Pair):
    _running: ClassVar[dict[str, Service]] = {}
    """By host; there is one lab of miredo."""

    def fresh(self, host: LabHost, change_nat: Callable[[], None]) -> str:
        running = self._running.pop(host.name, None)
        if running is not None:
            running.stop()
            eventually(lambda: "teredo" not in host.run(["ip", "-o", "link"]).stdout, 5)
        change_nat()
        self._running[host.name] = start_miredo(host, f"ServerAddress {SERVER}")
        return teredo_address(host, "teredo")


@contextlib.contextmanager
def _slow_internet() -> Iterator[Lab]:
    """The Internet with 10 ms on each link to the core, which has the delay of both ends."""
    with Lab(without_transmit_offload(INTERNET)) as lab:
        core = lab["core"]
        core.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
        own = [str(one) for one in core.host.addresses]
        core.start_service(
            "delay",
            [sys.executable, _DELAY, str(2 * _LINK_DELAY), *own],
            ready=lambda delay: delay.log_contains("ready"),
        )
        yield lab

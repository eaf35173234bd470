# SPDX-License-Identifier: GPL-3.0-or-later
"""How many solicitations a Teredo server answers with a second of processor time, beside miredo's.

Receiving a datagram costs all servers the same, and is in none of the figures. The fast path
answers while the sender's processor has the frame, so its time is what the sender takes less what
it takes for frames that the server's interface is to ignore; of servers that are processes it is
their own. Answers end where they arrive.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.comparison import BenchError, Comparison, Fact
from tests.bench.teredo import LINK, A
from tests.lab import Lab, LabHost
from tests.lab.processes import namespace_id, processes_in
from tests.lab.teredo.internet import SERVER, serve, start_miredo_server

_SECONDS = 0.5  # of each measurement
_SOLICIT = Path(__file__).with_name("solicit.py")
_NOBODY = "02:00:00:00:00:01"
_DROP_ANSWERS = """
table netdev answers {
  chain come_in {
    type filter hook ingress device "eth1" priority filter; policy accept;
    udp sport 3544 drop
  }
}
"""


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison | Fact]]:
    """Yield the comparisons; the labs they run in are up as long."""
    with Lab(LINK) as fast, Lab(LINK) as python, Lab(LINK) as miredo:
        serve(fast, "ebpf", rate_limit=0)
        serve(python, "userspace", rate_limit=0)
        start_miredo_server(miredo["server"])
        for lab in (fast, python, miredo):
            lab["a"].run(["nft", "-f", "-"], input=_DROP_ANSWERS)
        yield [
            _comparison("eBPF", 5, lambda: _answers_of_fast_path(fast), miredo),
            _comparison("userspace", 0.25, lambda: _answers_of_process(python), miredo),
        ]


def _comparison(plane: str, goal: float, ours: Callable[[], float], miredo: Lab) -> Comparison:
    return Comparison(
        f"Teredo server, {plane} plane, to miredo-server: answers per second of processor",
        "answers",
        goal,
        ours=ours,
        peer=lambda: _answers_of_process(miredo),
    )


def _answers_of_fast_path(lab: Lab) -> float:
    server = lab["server"]
    ignored, spent = _solicit(lab, _NOBODY)
    without = spent / ignored
    before = _sent(server)
    solicitations, spent = _solicit(lab, _link_layer_address(server))
    answers = _sent(server) - before
    # Some find no room where the kernel puts them first, when others want the processor.
    if answers < solicitations / 2:
        raise BenchError(f"the fast path answered {answers} of {solicitations} solicitations")
    return answers / (spent - solicitations * without)


def _answers_of_process(lab: Lab) -> float:
    """The same of a server that gets more solicitations than it can answer."""
    server = lab["server"]
    before, spent = _sent(server), _process_time(server)
    _solicit(lab, _link_layer_address(server))
    return (_sent(server) - before) / (_process_time(server) - spent)


def _solicit(lab: Lab, there: str) -> tuple[int, float]:
    """How many solicitations were sent, and how many seconds of the processor they took."""
    command = [sys.executable, _SOLICIT, A, SERVER, "eth1", there, str(_SECONDS)]
    solicitations, spent = lab["a"].run(command).stdout.split()
    return int(solicitations), float(spent)


def _link_layer_address(server: LabHost) -> str:
    return server.run(["cat", "/sys/class/net/eth0/address"]).stdout.strip()


def _process_time(server: LabHost) -> float:
    """Seconds of processor time that the processes of a host have had."""
    return sum(
        int(file.read_text().split()[0]) / 1e9
        for process in _processes(server)
        for file in Path("/proc", str(process), "task").glob("*/schedstat")
    )


def _processes(host: LabHost) -> list[int]:
    namespace = namespace_id(host.namespaces["net"])
    assert namespace is not None
    return processes_in({namespace})


def _sent(host: LabHost) -> int:
    shown = json.loads(host.run(["ip", "-s", "-j", "link", "show", "eth0"]).stdout)
    packets: int = shown[0]["stats64"]["tx"]["packets"]
    return packets

# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts inside one guest: network namespaces with a veth pair between them.

Each can run our agent or have a tunnel interface of the kernel's sit driver.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from v6ferry.addresses import isatap_link_local

from tests.interop.guest import Guest, Job, Result
from tests.lab import LabError

_MODULES = ("veth", "tun", "sch_ingress", "cls_bpf")
_AGENT_SECONDS = 90.0
"""The longest that an agent may take to start; the verifier is slow on an emulated processor."""
_WITHOUT_BPF = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_SYS_ADMIN, CAP_BPF = 24, 21, 39
for capability in (CAP_SYS_ADMIN, CAP_BPF):
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Uplink(NamedTuple):
    """What the hosts reach each other by, on top of the veth pair eth0."""

    interface: str
    command: str
    """Makes it; shell text."""
    modules: tuple[str, ...] = ()


ETHERNET = Uplink("eth0", "")
VLAN = Uplink(
    "vlan10",
    "ip link add vlan10 link eth0 type vlan id 10 && ip link set vlan10 up",
    ("8021q",),
)
BOND = Uplink(
    "bond0",
    "ip link add bond0 type bond mode active-backup miimon 100 && ip link set eth0 down"
    " && ip link set eth0 master bond0 && ip link set bond0 up",
    ("bonding",),
)


class Namespace:
    """A host inside a guest.

    Attributes:
        address: its IPv4 address on eth0, whose other end is another namespace.
        agent: what ``start_agent`` has started.
    """

    def __init__(self, guest: Guest, name: str, address: IPv4Address) -> None:
        self.guest = guest
        self.name = name
        self.address = address
        self.agent: Job | None = None

    def run(self, command: str, timeout: float = 30) -> Result:
        """Run shell text there."""
        return self.guest.run(self._inside(command), timeout)

    def check(self, command: str, timeout: float = 30) -> str:
        """Run shell text there and return its output.

        Raises:
            LabError: it exited with another code than 0.
        """
        return self.guest.check(self._inside(command), timeout)

    def eventually(self, command: str, seconds: float) -> str:
        """Repeat a command until it exits with 0, and return its output.

        Raises:
            LabError: it still failed after that many seconds.
        """
        return self.guest.eventually(self._inside(command), seconds)

    def start(self, command: str) -> Job:
        """Start shell text there and do not wait for it."""
        return self.guest.start(self._inside(command))

    def _inside(self, command: str) -> str:
        return f"exec ip netns exec {self.name} sh -c {shlex.quote(command)}"

    def start_agent(self, *arguments: str, may_load_bpf: bool = True) -> None:
        """Start our agent and wait until it answers.

        Args:
            arguments: to ``v6ferry run``, beyond the directories.
            may_load_bpf: whether it has the right to.

        Raises:
            LabError: it does not answer; the message has its log.
        """
        python = ["python3", "-m", "v6ferry", "run", *arguments]
        python += ["--state-directory", f"{self._directory}/state"]
        python += ["--runtime-directory", f"{self._directory}/run"]
        if not may_load_bpf:
            python = ["python3", "-c", _WITHOUT_BPF, *python]
        self.guest.check(f"mkdir -p {self._directory}/state")
        self.agent = self.start("exec " + shlex.join(python))
        try:
            self.guest.eventually(f"test -S {self._socket}", _AGENT_SECONDS)
        except LabError as error:
            raise LabError(f"{error}; the agent's log: {self.agent.output()}") from error

    def v6ferry(self, *arguments: str) -> Result:
        """Run our command there, for the agent that runs there."""
        command, *rest = arguments
        return self.run(
            shlex.join(["python3", "-m", "v6ferry", command, "--socket", self._socket, *rest])
        )

    def apply(self, resource: Mapping[str, Any]) -> None:
        """Have the agent make a resource.

        Args:
            resource: its kind, name, spec, and perhaps state.

        Raises:
            LabError: it refuses.
        """
        path = f"{self._directory}/resources.json"
        text = json.dumps([{"state": "present", **resource}])
        self.guest.check(f"echo {shlex.quote(text)} >{path}")
        done = self.v6ferry("apply", path)
        if done.code:
            raise LabError(f"{self.name}: v6ferry apply: {done.output}")

    def show(self) -> Mapping[str, Any]:
        """What ``v6ferry show`` tells of agent and resources."""
        shown: Mapping[str, Any] = json.loads(self.v6ferry("show", "--json").output)
        return shown

    def add_sit(self, name: str) -> None:
        """Add an ISATAP interface of the kernel's driver, with its link-local address alone."""
        self.check(
            f"ip tunnel add {name} mode isatap local {self.address} ttl 64 && ip link set {name} up"
        )

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.name} in {self.guest.label}"

    @property
    def link_local(self) -> IPv6Address:
        """The ISATAP link-local address that any tunnel interface there has."""
        return isatap_link_local(self.address)

    @property
    def _directory(self) -> str:
        return f"/run/{self.name}"

    @property
    def _socket(self) -> str:
        return f"{self._directory}/run/control.sock"


def join(
    guest: Guest, number: int, *, transmit_offload: bool = True, uplink: Uplink = ETHERNET
) -> tuple[Namespace, Namespace]:
    """Make two namespaces with a veth pair between them, on a public IPv4 subnet of their own.

    Args:
        guest: that they are in.
        number: of the pair; each has another one.
        transmit_offload: whether the pair takes segments and checksums for the hardware to finish.
        uplink: what has the addresses.
    """
    guest.check(f"modprobe -a {' '.join((*_MODULES, *uplink.modules))}")
    ends = tuple(
        Namespace(guest, f"{side}{number}", IPv4Address(f"131.107.{number}.{host}"))
        for side, host in (("a", 99), ("b", 100))
    )
    for one in ends:
        guest.check(f"ip netns add {one.name}")
    a, b = ends
    guest.check(f"ip link add eth0 netns {a.name} type veth peer name eth0 netns {b.name}")
    for one in ends:
        if not transmit_offload:
            one.check("ethtool --offload eth0 tx off")
        one.check("ip link set lo up && ip link set eth0 up")
        if uplink.command:
            one.check(uplink.command)
        one.check(f"ip address add {one.address}/24 dev {uplink.interface}")
    return a, b

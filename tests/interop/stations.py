# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of machine that a test lets talk: a guest, and a host of the lab.

Both ping, both send and receive bulk TCP with a checksum, so that a test need not know which is
which.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from ipaddress import IPv6Address

from tests.interop.guest import Guest
from tests.interop.namespaces import Namespace
from tests.lab import LabError, LabHost, bulk
from tests.lab.bulk import MEGABYTE, Checksum

TRANSFER_SECONDS = 300.0
"""100 MB between two emulated processors take half a minute on an idle machine with two cores."""


class Station(ABC):
    """A machine, and the interface by which it reaches the other one.

    That is its tunnel interface, or what leads to the router that has one.
    """

    def __init__(self, label: str, interface: str) -> None:
        self.label = label
        self.interface = interface

    @abstractmethod
    def attempt(self, command: str, timeout: float = 30) -> tuple[int, str]:
        """Run shell text there; return its exit code and its output."""

    @abstractmethod
    def receive(self, port: int) -> Checksum:
        """Accept one TCP connection on the port; listening has begun when this returns."""

    @abstractmethod
    def send(self, address: IPv6Address, port: int, megabytes: int) -> Checksum:
        """Send that many times 10^6 random bytes over one TCP connection."""

    def ping(self, address: IPv6Address, size: int = 56) -> str:
        """Send three echo requests and return what ping said.

        Raises:
            LabError: an answer is missing.
        """
        # A link-local destination needs its interface; for a global one it is the route's anyway.
        code, output = self.attempt(
            f"ping -6 -c 3 -i 0.2 -W 3 -s {size} -I {self.interface} {address}"
        )
        if code or " 0% packet loss" not in output:
            raise LabError(f"{self.label} cannot ping {address}: {output}")
        return output


class GuestStation(Station):
    """A guest or a host inside; its TCP is OpenBSD's nc, with larger blocks than busybox's."""

    def __init__(self, guest: Guest | Namespace, interface: str) -> None:
        super().__init__(guest.label, interface)
        self.guest = guest

    def attempt(self, command: str, timeout: float = 30) -> tuple[int, str]:
        return self.guest.run(command, timeout)

    def receive(self, port: int) -> Checksum:
        job = self.guest.start(f"nc.openbsd -6 -d -l {port} | sha256sum")
        self.guest.eventually(f"grep -q ':{port:04X} .* 0A ' /proc/net/tcp6", 10)
        return lambda seconds: job.wait(seconds).output.split()[0]

    def send(self, address: IPv6Address, port: int, megabytes: int) -> Checksum:
        # Random numbers and checksums take the emulated processor longer than the transfer: one
        # payload serves all of a guest's transfers.
        payload = f"/run/payload{megabytes}"
        job = self.guest.start(
            f"[ -e {payload}.sum ] || {{ dd if=/dev/urandom of={payload} bs={MEGABYTE}"
            f" count={megabytes} iflag=fullblock 2>/dev/null && sha256sum {payload} >{payload}.sum;"
            f" }} && cat {payload}.sum && nc.openbsd -N {address} {port} <{payload}"
        )
        return lambda seconds: job.wait(seconds).output.split()[0]


class LabStation(Station):
    """A host of the lab; its TCP is transfer.py."""

    def __init__(self, host: LabHost, interface: str) -> None:
        super().__init__(f"our {host.name}", interface)
        self.host = host

    def attempt(self, command: str, timeout: float = 30) -> tuple[int, str]:
        done = self.host.run(["sh", "-c", command], check=False, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def receive(self, port: int) -> Checksum:
        return bulk.receive(self.host, port)

    def send(self, address: IPv6Address, port: int, megabytes: int) -> Checksum:
        return bulk.send(self.host, str(address), port, megabytes)


def assert_transfer(sender: Station, receiver: Station, address: IPv6Address) -> float:
    """Have 100 MB of TCP arrive intact at the receiver's address; return the seconds it took."""
    began = time.monotonic()
    received = receiver.receive(5001)
    sent = sender.send(address, 5001, megabytes=100)
    assert sent(TRANSFER_SECONDS) == received(TRANSFER_SECONDS)
    return round(time.monotonic() - began, 1)

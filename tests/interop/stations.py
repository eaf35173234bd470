# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of machine that a test lets talk: a guest, and a host of the lab.

Both ping, both send and receive bulk TCP with a checksum, so that a test need not know which is
which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from ipaddress import IPv6Address

from tests.interop.guest import Guest
from tests.lab import LabError, LabHost, bulk
from tests.lab.bulk import MEGABYTE, Checksum


class Station(ABC):
    """A machine with an IPv6 address on its tunnel interface."""

    def __init__(self, label: str, tunnel_interface: str) -> None:
        self.label = label
        self.tunnel_interface = tunnel_interface

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
            f"ping -6 -c 3 -W 3 -s {size} -I {self.tunnel_interface} {address}"
        )
        if code or " 0% packet loss" not in output:
            raise LabError(f"{self.label} cannot ping {address}: {output}")
        return output


class GuestStation(Station):
    """A guest; its TCP is OpenBSD's nc, which uses larger blocks than busybox's."""

    def __init__(self, guest: Guest, tunnel_interface: str) -> None:
        super().__init__(guest.label, tunnel_interface)
        self.guest = guest

    def attempt(self, command: str, timeout: float = 30) -> tuple[int, str]:
        return self.guest.run(command, timeout)

    def receive(self, port: int) -> Checksum:
        job = self.guest.start(f"nc.openbsd -6 -d -l {port} | sha256sum")
        self.guest.eventually(f"grep -q ':{port:04X} .* 0A ' /proc/net/tcp6", 10)
        return lambda seconds: job.wait(seconds).output.split()[0]

    def send(self, address: IPv6Address, port: int, megabytes: int) -> Checksum:
        job = self.guest.start(
            "cd /run && trap 'rm -f payload' EXIT"
            f" && dd if=/dev/urandom of=payload bs={MEGABYTE} count={megabytes} iflag=fullblock"
            f" 2>/dev/null && sha256sum payload && nc.openbsd -N {address} {port} <payload"
        )
        return lambda seconds: job.wait(seconds).output.split()[0]


class LabStation(Station):
    """A host of the lab; its TCP is transfer.py."""

    def __init__(self, host: LabHost, tunnel_interface: str) -> None:
        super().__init__(f"our {host.name}", tunnel_interface)
        self.host = host

    def attempt(self, command: str, timeout: float = 30) -> tuple[int, str]:
        done = self.host.run(["sh", "-c", command], check=False, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def receive(self, port: int) -> Checksum:
        return bulk.receive(self.host, port)

    def send(self, address: IPv6Address, port: int, megabytes: int) -> Checksum:
        return bulk.send(self.host, str(address), port, megabytes)

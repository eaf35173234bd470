# SPDX-License-Identifier: GPL-3.0-or-later
"""A Linux kernel of its own, in qemu, by itself or joined to a host of the lab by a tap device.

The processor is emulated (TCG), so it runs wherever qemu does and takes some five seconds to boot.
Commands travel over a virtio-serial port that is a socket on this side; initramfs/init is the other
end and tells the format.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.lab import LabError, LabHost

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE = REPOSITORY / "build" / "guest"
KERNELS = IMAGE / "kernels"
"""A directory each, named after the Debian suite that the kernel comes from."""
DEBIAN_12 = "bookworm"
BOOT_SECONDS = 120.0
"""The longest wait for a boot; a loaded two-core machine needs 5 to 15 seconds."""

# With any of these on, the guest hands over segments whose inner checksums are left for hardware to
# fill in. There is no hardware; a userspace tunnel would carry the blanks on.
_OFFLOADS_OFF = ",".join(
    f"{feature}=off"
    for feature in (
        *("csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo"),
        *("guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"),
    )
)

_NANOSECONDS_SHIFT = 2
"""Of a deterministic guest: an instruction takes 2^2 ns."""

_PROCESSOR = "max,cx16=off"
"""Without CMPXCHG16B, whose emulation in qemu 7.2 gives wrong flags now and then: Linux 6.12, which
allocates memory with it, then panics."""

_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Has the kernel kill a program when the test run ends, whatever ended that."""


class Result(NamedTuple):
    """What a command in the guest came to; `output` holds both its output and its errors."""

    code: int
    output: str


class Link(NamedTuple):
    """What joins a guest to a host of the lab."""

    neighbour: LabHost
    """Where the tap device shall be."""
    tap: str
    """The tap device's name; it exists exactly as long as the guest runs."""
    address: str
    """The IPv4 address with its prefix length that the neighbour gets on that link."""


class Guest:
    """One running guest; leaving the context ends it.

    Args:
        label: appears in messages and in the name of the console's log.
        link: what joins it to the lab; by default nothing does.
        kernel: the Debian suite whose kernel it runs.
        with_agent: whether it has Python, our agent and iperf3.
        deterministic: whether its clock counts instructions, so that what takes it how long
            depends on nothing but what it does.
    """

    def __init__(
        self,
        label: str,
        link: Link | None = None,
        *,
        kernel: str = DEBIAN_12,
        with_agent: bool = False,
        deterministic: bool = False,
    ) -> None:
        self.label = label
        self.boot_seconds = 0.0
        self._link = link
        self._kernel = KERNELS / kernel
        self._with_agent = with_agent
        self._deterministic = deterministic
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._received = b""
        self._commands = 0
        self._jobs = 0
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Guest:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _start(self) -> None:
        began = time.monotonic()
        self._directory = tempfile.TemporaryDirectory(prefix="v6ferry-guest-")
        self._write_initramfs()
        self._control, far_end = socket.socketpair()
        with far_end, self._log.open("wb") as log:
            command = self._qemu(far_end.fileno())
            if self._link is not None:
                command = self._link.neighbour.command(command)
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *command],
                stdin=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[far_end.fileno()],
            )
        self._answer(0, BOOT_SECONDS)
        self.boot_seconds = time.monotonic() - began
        self._initramfs.unlink()
        if self._link is not None:
            neighbour, tap, address = self._link
            neighbour.run(["ip", "link", "set", tap, "up"])
            neighbour.run(["ip", "address", "add", address, "dev", tap])
            self.check("ip link set eth0 up")

    def _write_initramfs(self) -> None:
        """Put the archives one after the other: that is how the kernel takes several of them."""
        archives = [IMAGE / "system.cpio", self._kernel / "modules.cpio"]
        if self._with_agent:
            archives += [IMAGE / "python.cpio", IMAGE / "agent.cpio"]
        with self._initramfs.open("wb") as initramfs:
            for archive in archives:
                initramfs.write(archive.read_bytes())

    def _qemu(self, control: int) -> list[str]:
        memory = 768 if self._with_agent else 384
        command = [
            "qemu-system-x86_64",
            *("-accel", "tcg", "-cpu", _PROCESSOR, "-smp", "1", "-m", str(memory)),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-kernel", str(self._kernel / "vmlinuz"), "-initrd", str(self._initramfs)),
            *("-append", "console=ttyS0 quiet panic=-1"),
            *("-serial", f"file:{self._console}"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=control,fd={control}"),
            *("-device", "virtserialport,chardev=control,name=control"),
        ]
        if self._deterministic:
            command += ["-icount", f"shift={_NANOSECONDS_SHIFT},sleep=off"]
        if self._link is not None:
            command += [
                *("-netdev", f"tap,id=underlay,ifname={self._link.tap},script=no,downscript=no"),
                *("-device", f"virtio-net-pci,netdev=underlay,romfile=,{_OFFLOADS_OFF}"),
            ]
        return command

    @property
    def _initramfs(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name, "initramfs.cpio")

    @property
    def _console(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name, "console.log")

    @property
    def _log(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name, "qemu.log")

    def run(self, command: str, timeout: float = 30) -> Result:
        """Run shell text in the guest.

        Args:
            command: what the guest's shell gets.
            timeout: seconds after which the guest kills it; the code is then 137.

        Raises:
            LabError: the guest is gone or does not answer.
        """
        if self._control is None:
            raise LabError(f"guest {self.label} does not run: use it inside its 'with' block")
        self._commands += 1
        text = base64.b64encode(command.encode()).decode()
        self._control.settimeout(timeout)
        try:
            self._control.sendall(f"{self._commands} {round(timeout)} {text}\n".encode())
        except OSError as error:
            raise self._lost(f"cannot be sent {command!r}: {error}") from error
        # The guest's seconds may be longer than ours when the machine is loaded.
        return self._answer(self._commands, timeout * 2 + 10)

    def check(self, command: str, timeout: float = 30) -> str:
        """Run shell text in the guest and return its output.

        Raises:
            LabError: it exited with another code than 0.
        """
        code, output = self.run(command, timeout)
        if code:
            raise LabError(f"guest {self.label}: {command!r} exited {code}: {output}")
        return output

    def start(self, command: str) -> Job:
        """Start shell text in the guest and do not wait for it."""
        self._jobs += 1
        place = f"/run/job{self._jobs}"
        self.check(f"mkdir {place}")
        text = base64.b64encode(command.encode()).decode()
        self.check(
            f"echo {text} | base64 -d >{place}/command\n"
            f"setsid /bin/sh -c '/bin/sh {place}/command; echo $? >{place}/made;"
            f" mv {place}/made {place}/code' >{place}/output 2>&1 &"
        )
        return Job(self, command, place)

    def eventually(self, command: str, seconds: float) -> str:
        """Repeat a command until it exits with 0, and return its output.

        Raises:
            LabError: it still failed after that many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            code, output = self.run(command)
            if code == 0:
                return output
            if time.monotonic() > deadline:
                raise LabError(
                    f"guest {self.label}: {command!r} exits {code} even after {seconds} s: {output}"
                )
            time.sleep(0.2)

    def _answer(self, number: int, timeout: float) -> Result:
        assert self._control is not None
        deadline = time.monotonic() + timeout
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                answered, code, output = line.split(b" ", 2)
                if int(answered) == number:
                    return Result(int(code), base64.b64decode(output).decode(errors="replace"))
                continue  # of a command that this side had given up on
            self._control.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                received = self._control.recv(65536)
            except TimeoutError:
                raise self._lost(f"has not answered within {timeout:.0f} s") from None
            except OSError as error:
                raise self._lost(f"has gone: {error}") from error
            if not received:
                raise self._lost("has gone")
            self._received += received

    def _lost(self, what: str) -> LabError:
        last_words = self._log.read_text(errors="replace")[-500:]
        if self._console.exists():
            last_words += self._console.read_text(errors="replace")[-1500:]
        return LabError(f"guest {self.label} {what}; its last words: {last_words.strip()!r}")


class Job:
    """A command that runs on in the guest."""

    def __init__(self, guest: Guest, command: str, place: str) -> None:
        self._guest = guest
        self._command = command
        self._place = place

    def output(self) -> str:
        """What it has printed so far."""
        return self._guest.check(f"cat {self._place}/output")

    def wait(self, timeout: float) -> Result:
        """Wait until it has ended.

        Raises:
            LabError: it still runs after that many seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            code, output = self._guest.run(f"cat {self._place}/code")
            if code == 0:
                return Result(int(output), self.output())
            if time.monotonic() > deadline:
                raise LabError(
                    f"guest {self._guest.label}: {self._command!r} still runs after {timeout} s;"
                    f" so far it said: {self.output()}"
                )
            time.sleep(0.5)

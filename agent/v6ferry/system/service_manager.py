# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent and systemd tell each other (sd_notify(3), sd_listen_fds(3)).

Under another supervisor, or none, nobody listens: then nothing is told, and nothing inherited.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


class ServiceManager:
    """The service manager that started this process.

    Args:
        environment: by default that of the process. What is meant for this process alone is
            taken out, so that programs that it starts do not take it for theirs.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = environment.pop("NOTIFY_SOCKET", "")
        self.watchdog_interval = _watchdog_interval(environment)
        """Seconds within which ``alive`` has to be called; None if nobody waits for it."""
        self._inherited = _inherited(environment)

    def take(self, name: str) -> int | None:
        """Return the descriptor that an earlier agent has stored by a name, which is ours now."""
        return self._inherited.pop(name, None)

    def close_untaken(self) -> None:
        """Close and forget stored descriptors that nobody has taken: their use is gone."""
        for name, descriptor in list(self._inherited.items()):
            os.close(descriptor)
            del self._inherited[name]
            self.forget(name)

    def store(self, name: str, descriptor: int) -> None:
        """Have a descriptor kept open until ``forget``, for the next agent (FDSTORE=1).

        Without FDPOLL=0 systemd would drop one whose device is gone, which the next agent should
        find out itself.
        """
        self._send(f"FDSTORE=1\nFDPOLL=0\nFDNAME={name}", descriptor)

    def forget(self, name: str) -> None:
        """Have a stored descriptor closed (FDSTOREREMOVE=1)."""
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def ready(self, status: str) -> None:
        """Say that the agent does its work, and in one line how it is."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the agent reads its files again; ``ready`` says when it has done so."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def status(self, status: str) -> None:
        """Say in one line how the agent is; ``systemctl status`` shows it."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """Say that the agent ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Say that the agent is not stuck."""
        self._send("WATCHDOG=1")

    def _send(self, message: str, *descriptors: int) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.connect(address)
                socket.send_fds(sender, [message.encode()], descriptors)
            except OSError:
                # The agent works without it, and systemd will say what it misses.
                return


def _watchdog_interval(variables: MutableMapping[str, str]) -> float | None:
    microseconds = variables.pop("WATCHDOG_USEC", "")
    process = variables.pop("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or process not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1e6


def _inherited(variables: MutableMapping[str, str]) -> dict[str, int]:
    count = variables.pop("LISTEN_FDS", "")
    process = variables.pop("LISTEN_PID", "")
    names = variables.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdecimal() or process != str(os.getpid()):
        return {}
    inherited: dict[str, int] = {}
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(descriptor, False)
        name = names[descriptor - _FIRST_DESCRIPTOR] if len(names) == int(count) else ""
        if name and name not in inherited:
            inherited[name] = descriptor
        else:
            os.close(descriptor)
    return inherited

# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP for hosts on private interfaces: dnsmasq, run as a child and kept running.

It ends with the agent; one that an agent which was killed has left behind serves on until the
next agent starts its own. Leases are kept on disk, and clients ask again for half of a lease's time
before they lose it: nobody notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
from pathlib import Path

from v6ferry.system.errors import SystemFault, refused
from v6ferry.system.files import replace_file
from v6ferry.system.programs import DNSMASQ
from v6ferry.system.state import DhcpService

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""Seconds before a server that has ended is started again: doubled from the first to the last."""
_STEADY = 60.0
"""Seconds after which one that runs counts as healthy."""
_START_TIMEOUT = 5.0
_STOP_TIMEOUT = 5.0
_POLL = 0.02
_STARTED = ": started, version"

_log = logging.getLogger(__name__)


def configuration(service: DhcpService, leases: Path) -> str:
    """Return what dnsmasq reads (dnsmasq(8)).

    Args:
        service: what hosts get.
        leases: the file that keeps the leases.
    """
    lines = [
        "# Written by v6ferry, which starts dnsmasq with it.",
        # One socket a private interface: other servers of this host keep theirs.
        "bind-dynamic",
        "except-interface=lo",
        *(f"interface={one.interface}" for one in service.ranges),
        f"dhcp-leasefile={leases}",
        *(
            f"dhcp-range={one.first},{one.last},{one.netmask},{service.lease_time}"
            for one in service.ranges
        ),
    ]
    if service.dns_servers:
        servers = ",".join(map(str, service.dns_servers))
        lines += ["port=0", f"dhcp-option=option:dns-server,{servers}"]
    else:
        # The hosts' names are not the Internet's business, and our own /etc/hosts is not theirs.
        lines += ["no-hosts", "domain-needed", "bogus-priv"]
    return "\n".join([*lines, ""])


class DhcpServer:
    """The server of one owner.

    Args:
        name: of the owner, for files and messages.
        runtime: directory for its configuration.
        state: directory for its leases, which survive a reboot.
    """

    def __init__(self, name: str, runtime: Path, state: Path) -> None:
        self.problem: str | None = None
        """Why it does not run at the moment."""
        self._name = name
        file_name = name.replace("/", "-")
        self._configuration = runtime / "dhcp" / f"{file_name}.conf"
        self._leases = state / "dhcp" / f"{file_name}.leases"
        self._pid_file = runtime / "dhcp" / f"{file_name}.pid"
        self._text: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    async def serve(self, service: DhcpService) -> list[str]:
        """Serve this, and nothing else.

        Returns:
            A line if anything changes.

        Raises:
            SystemFault: dnsmasq is missing, or does not start.
        """
        text = configuration(service, self._leases)
        if text == self._text:
            return []
        await self.stop()
        await self._end_predecessor()
        try:
            for path in (self._configuration, self._leases):
                path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._configuration, text.encode())
        except OSError as error:
            doing = f"write {self._configuration}"
            raise refused(doing, error.errno or errno.EIO) from error
        await self._start()
        self._text = text
        self._task = asyncio.create_task(self._keep_running(), name=f"DHCP of {self._name}")
        names = ", ".join(one.interface for one in service.ranges)
        return [f"serve DHCP on {names} (dnsmasq)"]

    async def stop(self) -> None:
        """End the server; leases stay."""
        self._text = self.problem = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._end()

    async def remove(self) -> list[str]:
        """End the server and forget its leases.

        Returns:
            A line if it ran.

        Raises:
            SystemFault: the file system refuses.
        """
        ran = self._process is not None
        await self.stop()
        ran = await self._end_predecessor() or ran
        for path in (self._configuration, self._leases, self._pid_file):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise refused(f"remove {path}", error.errno or errno.EIO) from error
        return ["serve DHCP no more"] if ran else []

    @property
    def _configuration_option(self) -> str:
        return f"--conf-file={self._configuration}"

    async def _end_predecessor(self) -> bool:
        """End a server that an agent which was killed has left; returns whether there was one."""
        try:
            process_id = int(self._pid_file.read_text("ascii"))
            arguments = Path(f"/proc/{process_id}/cmdline").read_bytes().split(b"\0")
            # Numbers are given again: it is the one only if it was started with our file.
            if self._configuration_option.encode() not in arguments:
                return False
            os.kill(process_id, signal.SIGTERM)
        except (OSError, ValueError):
            return False
        for _turn in range(int(_STOP_TIMEOUT / _POLL)):
            if not Path(f"/proc/{process_id}").exists():
                break
            await asyncio.sleep(_POLL)
        return True

    async def _start(self) -> None:
        """Start dnsmasq and wait until it serves.

        Raises:
            SystemFault: it does not.
        """
        self._said = ""
        try:
            self._process = await asyncio.create_subprocess_exec(
                DNSMASQ.find(),
                "--keep-in-foreground",
                self._configuration_option,
                f"--pid-file={self._pid_file}",
                "--log-facility=-",  # standard error
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise SystemFault(f"cannot run dnsmasq: {error.strerror}") from error
        try:
            await asyncio.wait_for(self._hear(until=_STARTED), _START_TIMEOUT)
        except asyncio.TimeoutError:
            self._said = f"silent for {_START_TIMEOUT:g} s"
        except asyncio.CancelledError:
            await self._end()
            raise
        else:
            # It has bound its sockets before it says so, but for what goes wrong thereafter.
            if _STARTED in self._said:
                return
        await self._end()
        raise SystemFault(
            f"cannot serve DHCP: dnsmasq does not start: {self._said}; look for another DHCP or"
            " DNS server on the private interfaces (ss -lnup), or set dhcp_dns_servers, which"
            " leaves port 53 to others"
        )

    async def _hear(self, until: str | None = None) -> None:
        """Log what it says until it says something, or ends."""
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            text = line.decode(errors="replace").strip()
            if text:
                self._said = text
                _log.debug("%s: %s", self._name, text)
            if until is not None and until in text:
                return

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        wait = FIRST_RETRY / 2
        while True:
            began = loop.time()
            if self._process is not None:
                await self._hear()
                await self._end()
                self.problem = f"the DHCP server has ended: {self._said}"
                _log.warning("%s: %s; starting it again", self._name, self.problem)
            wait = FIRST_RETRY if loop.time() - began > _STEADY else min(wait * 2, LAST_RETRY)
            await asyncio.sleep(wait)
            try:
                await self._start()
            except SystemFault as fault:
                self.problem = str(fault)
            else:
                self.problem = None

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
        except (asyncio.TimeoutError, asyncio.CancelledError) as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if isinstance(error, asyncio.CancelledError):
                raise

# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of a lab that is up: run programs in it, read its files, watch its packets."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from v6ferry.cli.control_client import ControlClient

from tests.lab import name_server
from tests.lab.capture import COMMAND as CAPTURE_COMMAND
from tests.lab.capture import Capture
from tests.lab.errors import LabError
from tests.lab.name_server import NameServer
from tests.lab.processes import enter_command
from tests.lab.scripts import PRIVATE_DIRECTORIES
from tests.lab.service import Service
from tests.lab.topology import Host, Zone

if TYPE_CHECKING:
    from tests.lab.lab import Lab

AGENT_COMMAND = (sys.executable, "-m", "v6ferry")
_CHECKOUT = Path(__file__).resolve().parents[2]
CONTROL_SOCKET = "/run/v6ferry/control.sock"

Word = str | os.PathLike[str]


class LabHost:
    """A host of a lab; ``lab["a"]`` gives it.

    Attributes:
        name: as in the topology.
        host: what the topology says of it.
        directory: where the lab keeps its files.
        agent: the agent that ``start_agent`` started, running or not.
    """

    def __init__(self, lab: Lab, host: Host) -> None:
        self.lab = lab
        self.host = host
        self.name = host.name
        self.directory = lab.directory / "hosts" / host.name
        self.agent: Service | None = None
        self._processes: list[subprocess.Popen[Any]] = []
        self._serial = itertools.count(1)

    def __repr__(self) -> str:
        return f"<LabHost {self.lab.name}/{self.name}>"

    @property
    def namespaces(self) -> dict[str, Path]:
        """The files of its namespaces by nsenter's names for them: net, mount, uts."""
        return {kind: self.directory / "ns" / kind for kind in ("net", "mount", "uts")}

    @property
    def ipv4(self) -> IPv4Address:
        """Its first static IPv4 address."""
        return next(a for a in self.host.addresses if isinstance(a, IPv4Address))

    @property
    def ipv6(self) -> IPv6Address:
        """Its first static IPv6 address."""
        return next(a for a in self.host.addresses if isinstance(a, IPv6Address))

    # Files

    def path(self, path: str) -> Path:
        """Return where the machine sees the host's file ``path``, an absolute path.

        Below /etc, /run and /var/lib it is the host's own file; elsewhere host and machine share
        one file system, and the answer is ``path`` itself.
        """
        normal = os.path.normpath(path)
        if any(normal == own or normal.startswith(f"{own}/") for own in PRIVATE_DIRECTORIES):
            return self.directory / "root" / normal.lstrip("/")
        return Path(normal)

    def write(self, path: str, text: str) -> None:
        """Write one of the host's own files, whatever is there now, and make its directory.

        Raises:
            LabError: the file would be the machine's.
        """
        target = self.path(path)
        if not target.is_relative_to(self.directory):
            raise LabError(
                f"host {self.name}: {path} belongs to the machine; "
                f"a host's own files lie below {', '.join(PRIVATE_DIRECTORIES)}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a symbolic link would lead out of the lab
        target.write_text(text)

    # Programs

    def command(self, command: Sequence[Word]) -> list[str]:
        """Return ``command`` as the machine has to run it to run it in the host."""
        return enter_command(self.namespaces, command)

    def run(
        self,
        command: Sequence[Word],
        *,
        check: bool = True,
        timeout: float | None = 60.0,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host to its end and return its status and output as text.

        Args:
            command: the program and its arguments; no shell reads them.
            check: whether a status other than 0 is an error.
            timeout: seconds after which it is killed.
            input: its standard input; nothing by default.
            env: variables to set besides those of this process.

        Raises:
            LabError: it failed and ``check`` is set, or took longer than ``timeout``.
        """
        try:
            done = subprocess.run(
                self.command(command),
                check=False,
                timeout=timeout,
                input=input if input is not None else "",
                env={**os.environ, **env} if env else None,
                capture_output=True,
                text=True,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"host {self.name}: {_shown(command)} took more than {timeout:g} s"
            ) from error
        if check and done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
            raise LabError(
                f"host {self.name}: {_shown(command)} ended with status {done.returncode}: "
                + "\n".join(said[-10:])
            )
        return done

    def popen(self, command: Sequence[Word], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in the host; ``options`` are those of ``subprocess.Popen``.

        What still runs when the lab goes down is killed then.
        """
        process = subprocess.Popen(self.command(command), **options)
        self._processes.append(process)
        return process

    def start_service(
        self,
        name: str,
        command: Sequence[Word],
        *,
        ready: Callable[[Service], bool],
        timeout: float = 10.0,
        stdout: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Service:
        """Start a program that stays, its log in the lab's directory, and wait until it is ready.

        Args:
            name: of the program, for the log file and for messages.
            command: the program, told to stay in the foreground, and its arguments.
            ready: asked every few milliseconds whether it is.
            timeout: seconds to wait for that.
            stdout: where its output goes, if that is not part of the log.
            env: variables to set besides those of this process.

        Raises:
            LabError: it ended, or did not become ready; the message has the log's tail.
        """
        log = self.lab.directory / "logs" / f"{self.name}-{name}-{next(self._serial)}.log"
        with log.open("wb") as log_file:
            process = self.popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout or log_file,
                stderr=log_file,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # the terminal's Ctrl-C is for the test alone
            )
        service = Service(f"host {self.name}: {name}", process, log)
        service.wait_until_ready(lambda: ready(service), timeout)
        return service

    def reap(self) -> None:
        """Wait for the programs that this object started; the lab has killed them."""
        for process in self._processes:
            process.wait()
        self._processes.clear()

    # The agent

    def start_agent(
        self,
        *arguments: str,
        timeout: float = 10.0,
        package: Path | None = None,
        python: str | None = None,
    ) -> Service:
        """Start v6ferry's daemon and wait until its control socket accepts.

        Args:
            arguments: to ``v6ferry run``, beyond the directories, which are the usual ones.
            timeout: seconds to wait.
            package: the directory that has another v6ferry than this checkout's.
            python: another interpreter than the one of the tests; it gets this one's packages.

        Raises:
            LabError: it runs already, ended, or did not listen in time.
        """
        if self.agent is not None and self.agent.running:
            raise LabError(f"host {self.name}: the agent runs already; stop it first")
        paths = [str(package)] if package else []
        if python is not None:
            paths += [str(_CHECKOUT / "agent"), sysconfig.get_path("purelib")]
        self.agent = self.start_service(
            "agent",
            [python or AGENT_COMMAND[0], *AGENT_COMMAND[1:], "run", *arguments],
            ready=lambda _: _accepts(self.path(CONTROL_SOCKET)),
            timeout=timeout,
            env={"PYTHONUNBUFFERED": "1", **({"PYTHONPATH": ":".join(paths)} if paths else {})},
        )
        return self.agent

    def stop_agent(self, timeout: float = 10.0) -> int:
        """Ask the agent to end and return its exit status.

        Raises:
            LabError: none runs, or it did not end within ``timeout`` seconds (it is killed then).
        """
        return self._running_agent().stop(timeout)

    def kill_agent(self) -> None:
        """Kill the agent, so that it can tidy up nothing.

        Raises:
            LabError: none runs.
        """
        self._running_agent().kill()

    def _running_agent(self) -> Service:
        if self.agent is None or not self.agent.running:
            raise LabError(
                f"host {self.name}: no agent runs that this process started; call start_agent()"
            )
        return self.agent

    def v6ferry(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the agent's command line tool in the host; ``options`` are those of ``run``."""
        return self.run([*AGENT_COMMAND, *arguments], **options)

    def show(self) -> dict[str, Any]:
        """What ``v6ferry show --json`` prints; asking the agent itself costs no program's start.

        Raises:
            ControlError: no agent runs.
        """
        return ControlClient(str(self.path(CONTROL_SOCKET))).call("show")

    # Packets, names and router advertisements

    @contextlib.contextmanager
    def capture(self, interface: str, filter: str = "") -> Iterator[Capture]:  # noqa: A002
        """Catch packets for the length of a ``with`` block.

        The block begins once tcpdump listens; when it ends, the packets it has caused are written.

        Args:
            interface: the name of one, or ``any``.
            filter: which packets, in the language of pcap-filter(7); all by default.

        Raises:
            LabError: tcpdump does not like the interface or the filter, or packets were lost.
        """
        file_name = f"{self.name}-{interface}-{next(self._serial)}.pcap"
        path = self.lab.directory / "captures" / file_name
        command = [*CAPTURE_COMMAND, "-i", interface]
        with path.open("wb") as output:
            service = self.start_service(
                "tcpdump",
                [*command, *([filter] if filter else [])],
                ready=lambda tcpdump: tcpdump.log_contains("listening on"),
                stdout=output,
            )
        capture = Capture(path, service)
        try:
            yield capture
        except BaseException:
            service.kill()  # the test has failed already: let nothing hide why
            raise
        capture.stop()

    def start_named(self, *zones: Zone | str) -> NameServer:
        """Start BIND with ``zones``; each takes updates signed with the lab's TSIG key.

        A zone that is the topology's domain has the addresses of all hosts.

        Raises:
            LabError: BIND does not start, or does not like a zone's records.
        """
        served = tuple(Zone(zone) if isinstance(zone, str) else zone for zone in zones)
        topology, key = self.lab.topology, self.lab.tsig_key
        self.write(name_server.CONFIGURATION_FILE, name_server.configuration(served, key))
        self.write(name_server.KEY_FILE, key.bind_statement())
        for zone in served:
            hosts: Iterable[Host] = {self.name: self.host}.values()
            if zone.name == topology.domain:
                hosts = topology.hosts
            text = name_server.zone_file(zone, self.host, hosts)
            self.write(name_server.zone_path(zone), text)
        self.path(name_server.RUNTIME_DIRECTORY).mkdir(exist_ok=True)
        service = self.start_service(
            "named",
            ["named", "-g", "-n", "1", "-c", name_server.CONFIGURATION_FILE],
            ready=lambda named: named.log_contains(" running\n"),
        )
        if service.log_contains("not loaded due to errors"):
            service.kill()
            raise LabError(f"{service.name} refused a zone; its log:\n{service.log_tail()}")
        return NameServer(service, served, key)

    def start_radvd(self, configuration: str) -> Service:
        """Start radvd with ``configuration``, in the syntax of radvd.conf(5).

        Raises:
            LabError: radvd is not content with it.
        """
        self.write("/etc/radvd.conf", configuration)
        files = ["--config", "/etc/radvd.conf", "--pidfile", "/run/radvd.pid"]
        return self.start_service(
            "radvd",
            ["radvd", "--nodaemon", "--logmethod", "stderr", "--debug", "1", *files],
            ready=lambda radvd: radvd.log_contains("syntax ok"),
        )


def _shown(command: Sequence[Word]) -> str:
    return "`" + " ".join(os.fspath(word) for word in command) + "`"


def _accepts(path: Path) -> bool:
    """Return whether somebody listens on the Unix stream socket at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True

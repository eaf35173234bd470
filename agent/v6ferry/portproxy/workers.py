# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's side of the workers: starts them, finds those of an earlier agent, tells them rules.

Workers go on while no agent runs. Each has a Unix socket in the runtime directory, where the next
agent finds it: one that runs the same code goes on under it, one that runs another hands its
listening sockets over and ends with its last connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from v6ferry.portproxy import messages
from v6ferry.portproxy.counts import Counts
from v6ferry.portproxy.worker import code_digest
from v6ferry.system.errors import SystemFault, refused

ANSWER_TIMEOUT = 10.0
"""Seconds that a worker may take for an answer; one that takes longer counts as dead."""
RESTART_PAUSE = 0.2
"""Seconds before a worker that has died is replaced."""
_PROGRAM = "from v6ferry.portproxy.worker import main; main()"

Where = tuple[str, int]
"""Address and port of a listening socket."""

_log = logging.getLogger(__name__)


class WorkerGone(Exception):  # noqa: N818 - it says what is the case
    """A worker does not answer any more."""


class Worker:
    """One worker as the agent has it.

    Args:
        path: of its control socket.
        connection: to it.
        process: where this agent has started it.
    """

    def __init__(
        self, path: Path, connection: socket.socket, process: subprocess.Popen[bytes] | None
    ) -> None:
        self.path = path
        self.rules: dict[str, set[Where]] = {}
        """Listening sockets that it has, by rule."""
        self._connection = connection
        self._process = process
        self._asking = asyncio.Lock()
        connection.setblocking(False)

    async def ask(
        self, do: str, descriptors: Sequence[int] = (), **more: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """Send a request and return the answer with its descriptors.

        Raises:
            WorkerGone: there is no answer.
            SystemFault: the worker refuses.
        """
        loop = asyncio.get_running_loop()
        async with self._asking:
            try:
                messages.send(self._connection, {"do": do, **more}, descriptors)
                readable = loop.create_future()
                loop.add_reader(self._connection, _resolve, readable)
                try:
                    await asyncio.wait_for(readable, ANSWER_TIMEOUT)
                finally:
                    loop.remove_reader(self._connection)
                received = messages.receive(self._connection)
            except (OSError, ValueError, asyncio.TimeoutError) as error:
                raise WorkerGone(f"{do}: {error or type(error).__name__}") from error
        if received is None:
            raise WorkerGone(f"{do}: it has ended")
        answer, lent = received
        if "error" in answer:
            raise SystemFault(f"a PortProxy worker refuses {do!r}: {answer['error']}")
        return answer, lent

    def is_alive(self) -> bool:
        """Whether it has not closed its end; asks nothing."""
        if self._process is not None and self._process.poll() is not None:
            return False
        try:
            return self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Let it be."""
        self._connection.close()
        if self._process is not None:
            self._process.poll()


class Workers:
    """All workers of the host.

    Args:
        directory: where their control sockets are, such as /run/v6ferry/portproxy.
        count: how many; None is one a core that the agent may use.
    """

    def __init__(self, directory: Path, count: int | None = None) -> None:
        self.count = count or len(os.sched_getaffinity(0))
        self._directory = directory
        self._serial = itertools.count()
        self._workers: list[Worker] = []
        self._retired: list[Worker] = []
        self._rules: dict[str, Mapping[str, Any]] = {}
        self._listening: dict[str, dict[Where, socket.socket]] = {}
        self._counts = Counts()
        self._lent: dict[Where, socket.socket] = {}
        """Listening sockets of an earlier agent's workers that no rule has claimed yet."""
        self._watching: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Find the workers of an earlier agent, and take their listening sockets over."""
        if not self._directory.is_dir():
            return
        for path in sorted(self._directory.glob("*.sock")):
            try:
                worker = Worker(path, _connect(path), None)
                hello, _none = await worker.ask("hello")
            except (OSError, WorkerGone, SystemFault):
                path.unlink(missing_ok=True)
                continue
            await self._take_over(worker, hello)
        if self._workers or self._retired:
            _log.info(
                "PortProxy: %d workers go on, %d of another version end with their connections",
                len(self._workers),
                len(self._retired),
            )

    async def _take_over(self, worker: Worker, hello: Mapping[str, Any]) -> None:
        for name, listening in hello["rules"].items():
            worker.rules[name] = set(map(tuple, listening))
            missing = sorted(worker.rules[name] - set(self._lent))
            for start in range(0, len(missing), messages.MOST_DESCRIPTORS):
                some = missing[start : start + messages.MOST_DESCRIPTORS]
                _answer, lent = await worker.ask("lend", name=name, where=some)
                for where, descriptor in zip(some, lent, strict=True):
                    self._lent[where] = socket.socket(fileno=descriptor)
        same = hello["code"] == code_digest() and not hello["retired"]
        (self._workers if same else self._retired).append(worker)

    def take_known(self, where: Where) -> socket.socket | None:
        """Return a listening socket that workers have already, or a copy: none is opened twice.

        It is that of an earlier agent, or of another rule, which is about to let it go.
        """
        if where in self._lent:
            return self._lent.pop(where)
        for listening in self._listening.values():
            if where in listening:
                return listening[where].dup()
        return None

    async def settle(self) -> None:
        """All rules have been set: let go what earlier agents had beyond them.

        Raises:
            SystemFault: a worker cannot be started.
        """
        for sock in self._lent.values():
            sock.close()
        self._lent.clear()
        async with self._changing:
            for worker in list(self._retired):
                await self._ask_one(worker, "retire")
            for worker in list(self._workers):
                for name in set(worker.rules) - set(self._rules):
                    await self._ask_one(worker, "remove", name=name, cut_after=None)
                    worker.rules.pop(name, None)
            await self._keep_count()

    async def stop(self) -> None:
        """End, but let the workers go on for the next agent."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        for worker in (*self._workers, *self._retired):
            worker.close()
        for listening in self._listening.values():
            for sock in listening.values():
                sock.close()

    # Rules

    async def set_rule(
        self, rule: Mapping[str, Any], listening: Mapping[Where, socket.socket]
    ) -> None:
        """Have a rule, or have it otherwise.

        Args:
            rule: as ``rules.Rule.configure`` takes it, with its ``name``.
            listening: all its listening sockets; they are this object's from now on.

        Raises:
            SystemFault: a worker cannot be started, or refuses.
        """
        name: str = rule["name"]
        async with self._changing:
            before, rule_before = self._listening.get(name, {}), self._rules.get(name)
            self._rules[name] = rule
            self._listening[name] = dict(listening)
            try:
                await self._keep_count()
                await self._tell_all(name)
            except SystemFault:
                await self._take_back(name, rule_before, before)
                raise
            for where, sock in before.items():
                if listening.get(where) is not sock:
                    sock.close()

    async def _tell_all(self, name: str) -> None:
        for index, worker in enumerate(list(self._workers)):
            await self._tell(worker, index, name)

    async def _take_back(
        self, name: str, rule: Mapping[str, Any] | None, listening: dict[Where, socket.socket]
    ) -> None:
        """A rule could not be set everywhere: have it as it was."""
        if rule is not None:
            self._rules[name], self._listening[name] = rule, listening
            with contextlib.suppress(SystemFault):
                await self._tell_all(name)
            return
        del self._rules[name], self._listening[name]
        for worker in list(self._workers):
            worker.rules.pop(name, None)
            with contextlib.suppress(SystemFault):
                await self._ask_one(worker, "remove", name=name, cut_after=0)

    async def aim(self, name: str, listeners: Sequence[Mapping[str, Any]]) -> None:
        """Lead a rule to other addresses; running connections stay."""
        async with self._changing:
            self._rules[name] = {**self._rules[name], "listeners": listeners}
            for worker in list(self._workers):
                await self._ask_one(worker, "aim", name=name, listeners=listeners)

    async def remove_rule(self, name: str, cut_after: float | None) -> None:
        """Have a rule no more.

        Args:
            name: of the rule.
            cut_after: seconds after which its connections are cut; None lets them end by
                themselves.
        """
        async with self._changing:
            if self._rules.pop(name, None) is None:
                return
            self._counts.forget(name)
            for sock in self._listening.pop(name, {}).values():
                sock.close()
            for worker in list(self._workers):
                if name in worker.rules:
                    worker.rules.pop(name)
                    await self._ask_one(worker, "remove", name=name, cut_after=cut_after)
            await self._keep_count()

    async def _tell(self, worker: Worker, index: int, name: str) -> None:
        rule, listening = dict(self._rules[name]), self._listening[name]
        if (limit := rule.get("limit")) is not None:
            # Shares add up to the limit; one that has used up its own leaves the rest to others.
            rule["limit"] = limit // self.count + (index < limit % self.count)
        known = worker.rules.get(name, set())
        new = [where for where in listening if where not in known]
        first = {**rule, "listeners": rule["listeners"]}
        for start in range(0, max(len(new), 1), messages.MOST_DESCRIPTORS):
            some = new[start : start + messages.MOST_DESCRIPTORS]
            descriptors = [listening[where].fileno() for where in some]
            await self._ask_one(worker, "set", descriptors, rule=first, added=some)
        worker.rules[name] = set(listening)

    async def _ask_one(
        self, worker: Worker, do: str, descriptors: Sequence[int] = (), **more: Any
    ) -> dict[str, Any]:
        """Ask a worker; one that has gone is replaced later, with all that it should know."""
        try:
            answer, _lent = await worker.ask(do, descriptors, **more)
        except WorkerGone as gone:
            _log.warning("PortProxy worker: %s", gone)
            self._bury(worker)
            return {}
        return answer

    # Processes

    async def _keep_count(self) -> None:
        """Have as many workers as wanted; none where there are no rules."""
        wanted = self.count if self._rules else 0
        for worker in list(self._workers):
            if not worker.is_alive():
                self._bury(worker)
        while len(self._workers) > wanted:
            worker = self._workers.pop()
            self._retired.append(worker)
            self._counts.lose(worker)
            await self._ask_one(worker, "retire")
        while len(self._workers) < wanted:
            worker = self._start_one()
            self._workers.append(worker)
            for name, rule in self._rules.items():
                if rule.get("limit") is None:
                    await self._tell(worker, len(self._workers) - 1, name)
                else:
                    # Everybody's share of the limit depends on who else is there.
                    await self._tell_all(name)
        if self._watching is None and wanted:
            self._watching = asyncio.create_task(self._watch(), name="watch PortProxy workers")

    def _bury(self, worker: Worker) -> None:
        worker.close()
        self._counts.lose(worker)
        for some in (self._workers, self._retired):
            if worker in some:
                some.remove(worker)
        worker.path.unlink(missing_ok=True)

    async def _watch(self) -> None:
        """Replace workers that die."""
        while True:
            await asyncio.sleep(RESTART_PAUSE)
            for worker in [one for one in self._retired if not one.is_alive()]:
                self._bury(worker)
            if all(one.is_alive() for one in self._workers) and self._has_count():
                continue
            async with self._changing:
                try:
                    if not all(one.is_alive() for one in self._workers):
                        _log.error("a PortProxy worker has died with its connections; replacing it")
                    await self._keep_count()
                except SystemFault as fault:
                    _log.error("%s; trying again", fault)

    def _has_count(self) -> bool:
        return len(self._workers) == (self.count if self._rules else 0)

    def _start_one(self) -> Worker:
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            path = self._free_path()
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
                control.bind(str(path))
                control.listen()
                process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM],
                    stdin=control.fileno(),
                    # The agent may lie in a bundle, or not be installed at all.
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    # Nothing is to be imported from wherever the agent was started.
                    cwd="/",
                    start_new_session=True,
                )
                return Worker(path, _connect(path), process)
        except OSError as error:
            raise refused("start a PortProxy worker", error.errno or errno.EIO) from error

    def _free_path(self) -> Path:
        while True:
            path = self._directory / f"{os.getpid()}-{next(self._serial)}.sock"
            if not path.exists():
                return path

    # What a user wants to know

    async def refresh(self) -> None:
        """Ask all workers what they have counted."""
        for worker in (*self._workers, *self._retired):
            if answer := await self._ask_one(worker, "statistics"):
                self._counts.note(worker, answer)

    def counted(self, name: str) -> dict[str, Any]:
        """The sums of what all workers have counted for a rule, as of the last ``refresh``."""
        return self._counts.of(name)

    def summary(self) -> dict[str, Any]:
        """How the workers are, JSON-ready, as of the last ``refresh``."""
        return {
            "workers": len(self._workers),
            "retired": len(self._retired),
            **self._counts.summary(),
        }


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        messages.enlarge(connection)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: one JSON object a line each way, for root and one group.

Request ``{"method": "show", "params": {...}}``, answer ``{"result": {...}}`` or
``{"error": {"message": "one line"}}``. ``cli/control_client`` is the other end.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any

from v6ferry.engines.specification import SpecificationError
from v6ferry.system.errors import SystemFault, refused
from v6ferry.system.files import give_to_group

LONGEST_REQUEST = 1 << 20
"""Bytes; ten thousand resources fit."""
SOCKET_MODE = 0o660

Method = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_log = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that cannot be answered; the message is one line for the user."""


class ControlServer:
    """Answers requests on a Unix socket.

    Args:
        path: where to listen.
        methods: what to call, by name.
        group: the group that may connect besides root; None for root alone.
    """

    def __init__(self, path: Path, methods: Mapping[str, Method], group: int | None = None) -> None:
        self._path = path
        self._methods = methods
        self._group = group
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        The socket gets its owner and mode before anybody can find it; one that a dead agent left
        behind is replaced.

        Raises:
            SystemFault: the socket cannot be made.
        """
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            temporary.unlink(missing_ok=True)
            listener.bind(str(temporary))
            give_to_group(temporary, os.getegid() if self._group is None else self._group)
            temporary.chmod(SOCKET_MODE)
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, limit=LONGEST_REQUEST
            )
            temporary.replace(self._path)
        except OSError as error:
            listener.close()
            temporary.unlink(missing_ok=True)
            raise refused(f"listen on {self._path}", error.errno or errno.EIO) from error

    async def stop(self) -> None:
        """Listen no more and end what is being answered."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client has gone, or the agent stops
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _send(writer, _error(f"a request is longer than {LONGEST_REQUEST} bytes"))
                return
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> dict[str, Any]:
        name = "request"
        try:
            name, params = _request(line)
            method = self._methods.get(name)
            if method is None:
                known = ", ".join(sorted(self._methods))
                return _error(f"method: {name!r} is not one of {known}")
            return {"result": await method(params)}
        except (RequestError, SpecificationError, SystemFault) as error:
            return _error(str(error))
        except Exception:
            _log.exception("control API: %s failed", name)
            return _error(
                f"the agent could not carry out {name!r} because of a fault of its own; nothing"
                " else is affected; its log (journalctl -u v6ferry) has the details to report"
            )


class SingleInstance:
    """Makes sure that one agent alone works in a runtime directory.

    Args:
        directory: the runtime directory.

    Raises:
        SystemFault: another agent works there, or the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        try:
            self._file: IO[str] = path.open("a+")
        except OSError as error:
            raise refused(f"open {path}", error.errno or errno.EIO) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise SystemFault(
                f"another v6ferry agent (process {holder}) already works in {directory}: stop it"
                " first, or give this one another --runtime-directory"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let another agent in."""
        self._file.close()


def _request(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the request is not JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise RequestError('the request is not {"method": "...", "params": {...}}')
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise RequestError("params: expected an object")
    return request["method"], params


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


async def _send(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the agent's control API: one JSON object a line each way over a Unix socket.

This file is also the collection's ``module_utils/_control_client.py`` (a symbolic link), so it
imports nothing but the standard library and runs on every Python that Ansible runs modules with,
which is older than the agent's own minimum: keep to Python 3.8 here.
"""

from __future__ import annotations

import grp
import json
import os
import socket
import time
from typing import Any

DEFAULT_SOCKET = "/run/v6ferry/control.sock"
DEFAULT_TIMEOUT = 30.0
_CHUNK = 65536


class ControlError(Exception):
    """A call failed; the message is one line that says what to do."""


class AgentNotFound(ControlError):  # noqa: N818 - it says what is the case; callers read it so
    """There is no control socket: the agent is not installed or was never started."""


class ControlClient:
    """Calls methods of a running agent.

    Each call has a connection of its own, so a client outlives any restart of the agent.

    Args:
        socket_path: The agent's control socket.
        timeout: How long one call may take in all, in seconds.
    """

    def __init__(self, socket_path: str = DEFAULT_SOCKET, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a method and return its result.

        Args:
            method: ``apply``, ``show``, ``explain`` or ``doctor``.
            params: The method's parameters, JSON-ready.

        Returns:
            The ``result`` object of the answer.

        Raises:
            AgentNotFound: There is no such socket.
            ControlError: The agent cannot be reached, answers nonsense, or refuses; in the last
                case the message is the agent's own.
        """
        request = json.dumps({"method": method, "params": params or {}}).encode() + b"\n"
        return self._result(self._exchange(method, request))

    def _exchange(self, method: str, request: bytes) -> bytes:
        """Send one line and return the line that comes back, without its end."""
        deadline = time.monotonic() + self.timeout
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout)
                connection.connect(self.socket_path)
                connection.sendall(request)
                answer = bytearray()
                while not answer.endswith(b"\n"):
                    # The timeout of a socket starts anew with each chunk; the call's does not.
                    connection.settimeout(max(deadline - time.monotonic(), 0.001))
                    chunk = connection.recv(_CHUNK)
                    if not chunk:
                        raise ControlError(
                            f"the v6ferry agent closed {self.socket_path} without answering "
                            f"{method!r}; look into its log (journalctl -u v6ferry)"
                        )
                    answer += chunk
        except OSError as error:
            raise self._explain(error, method) from error
        return bytes(answer[:-1])

    def _result(self, line: bytes) -> dict[str, Any]:
        """Unwrap an answer."""
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            error, result = answer.get("error"), answer.get("result")
            if isinstance(error, dict) and isinstance(error.get("message"), str):
                raise ControlError(error["message"])
            if isinstance(result, dict):
                return result
        raise ControlError(
            f"what listens on {self.socket_path} does not answer as the v6ferry agent does; "
            "name the agent's control socket"
        )

    def _explain(self, error: OSError, method: str) -> ControlError:
        """Say what an error of the operating system means here and what helps."""
        path = self.socket_path
        # Before Python 3.10 the socket's timeout is not a TimeoutError.
        if isinstance(error, (socket.timeout, TimeoutError)):
            return ControlError(
                f"the v6ferry agent did not answer {method!r} on {path} within "
                f"{self.timeout:g} s; look into its log (journalctl -u v6ferry)"
            )
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return AgentNotFound(
                f"the v6ferry agent is not running or not installed: there is no {path}; "
                "start it (systemctl start v6ferry), or name its socket if it is elsewhere"
            )
        if isinstance(error, ConnectionRefusedError):
            return ControlError(
                f"nobody listens on {path}: the v6ferry agent has stopped; "
                "start it (systemctl start v6ferry)"
            )
        if isinstance(error, PermissionError):
            return ControlError(
                f"no permission to use {path}: only root and {self._group()} may; "
                "run as root (in a playbook: become) or join the group"
            )
        return ControlError(
            f"cannot reach the v6ferry agent through {path}: {error.strerror or error}"
        )

    def _group(self) -> str:
        """Who besides root may use the socket, in words."""
        try:
            return f"the group {grp.getgrgid(os.stat(self.socket_path).st_gid).gr_name!r}"
        except (OSError, KeyError):
            return "the socket's group"

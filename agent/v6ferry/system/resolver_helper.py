# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS configuration for an agent that is not root: a helper that is root makes the changes.

The helper is started by systemd for one connection, reads one request, and ends. It does nothing
but set the DNS servers and search domains of the agent's own tunnel interfaces. Request and answer
are a line of JSON each::

    {"interface": "isatap0", "servers": ["2001:db8::53"], "search": ["corp.example"]}
    {"changes": ["add DNS server 2001:db8::53 to /etc/resolv.conf"]}  or  {"error": "one line"}
"""

from __future__ import annotations

import asyncio
import json
import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from v6ferry.system.errors import SystemFault
from v6ferry.system.resolver_configuration import ResolverConfiguration
from v6ferry.system.state import DnsConfiguration

HELPER_SOCKET = Path("/run/v6ferry-resolver.sock")
LONGEST_REQUEST = 65536

_ANSWER_TIMEOUT = 30  # seconds
# The name goes into a file and a command line.
_INTERFACE = re.compile(r"[^\s/:%.-][^\s/:%]{0,14}")


class DelegatedResolverConfiguration(ResolverConfiguration):
    """Looks itself what would change, and has the helper change it.

    Args:
        helper: The socket of the helper.
        options: Those of ``ResolverConfiguration``.
    """

    def __init__(self, *, helper: Path = HELPER_SOCKET, **options: Any) -> None:
        super().__init__(**options)
        self._helper = helper

    async def apply(
        self, interface: str, configuration: DnsConfiguration, *, dry_run: bool = False
    ) -> list[str]:
        """As the base class does.

        Raises:
            SystemFault: The file, systemd-resolved or the helper refuses, or there is no helper.
        """
        changes = await super().apply(interface, configuration, dry_run=True)
        if changes and not dry_run:
            await self._delegate(interface, configuration)
        return changes

    async def remove(self, interface: str, *, dry_run: bool = False) -> list[str]:
        """As the base class does.

        Raises:
            SystemFault: As for ``apply``.
        """
        changes = await super().remove(interface, dry_run=True)
        if changes and not dry_run:
            await self._delegate(interface, DnsConfiguration())
        return changes

    async def _delegate(self, interface: str, configuration: DnsConfiguration) -> None:
        request = {
            "interface": interface,
            "servers": [str(server) for server in configuration.servers],
            "search": list(configuration.search),
        }
        try:
            line = await asyncio.wait_for(self._exchange(request), _ANSWER_TIMEOUT)
            answer = json.loads(line)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise SystemFault(
                f"cannot hand the DNS servers of {interface} to the helper at {self._helper}:"
                f" {error or 'no answer'}; look at systemctl status v6ferry-resolver.socket, run"
                " the agent as root, or turn rdnss off"
            ) from error
        if "error" in answer:
            raise SystemFault(answer["error"])

    async def _exchange(self, request: dict[str, Any]) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._helper))
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            return await reader.readline()
        finally:
            writer.close()


async def answer_request(
    line: bytes,
    configuration: ResolverConfiguration,
    interfaces: Path = Path("/sys/class/net"),
) -> bytes:
    """Do what a request says, and return the answer.

    Args:
        line: The request.
        configuration: What the request changes.
        interfaces: Where the kernel lists interfaces; what is there and not the agent's own is
            refused.
    """
    try:
        interface, wanted = _read_request(line, interfaces)
        if wanted == DnsConfiguration():
            changes = await configuration.remove(interface)
        else:
            changes = await configuration.apply(interface, wanted)
    except (SystemFault, ValueError) as error:
        return json.dumps({"error": str(error)}).encode() + b"\n"
    return json.dumps({"changes": changes}).encode() + b"\n"


def _read_request(line: bytes, interfaces: Path) -> tuple[str, DnsConfiguration]:
    """Read a request.

    Raises:
        ValueError: It cannot be used.
    """
    request = json.loads(line)
    if not isinstance(request, dict) or set(request) != {"interface", "servers", "search"}:
        raise ValueError("the request needs interface, servers and search, and nothing else")
    interface, search = request["interface"], request["search"]
    if not isinstance(interface, str) or not _INTERFACE.fullmatch(interface):
        raise ValueError(f"interface: {interface!r} is no interface name")
    if not isinstance(search, list) or not all(isinstance(one, str) for one in search):
        raise ValueError("search: a list of domain names is needed")
    if not isinstance(request["servers"], list):
        raise ValueError("servers: a list of IPv6 addresses is needed")
    servers = tuple(IPv6Address(server) for server in request["servers"])
    link = interfaces / interface
    if link.exists():
        if not (link / "ifalias").read_text().startswith("v6ferry "):
            raise ValueError(f"interface: {interface} is not one of the agent's own")
    elif servers or search:
        raise ValueError(f"interface: there is no {interface}")
    return interface, DnsConfiguration(servers, tuple(search))

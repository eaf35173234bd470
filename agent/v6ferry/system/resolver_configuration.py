# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands DNS servers and search domains from routers to the host's resolver (RFC 8106).

systemd-resolved gets them a link at a time while it runs; else they go into resolv.conf.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from v6ferry.system.errors import refused
from v6ferry.system.files import replace_file
from v6ferry.system.programs import run_program
from v6ferry.system.resolv_conf import (
    RESOLV_CONF,
    interfaces_in,
    is_domain_name,
    server_text,
    with_interfaces,
)
from v6ferry.system.state import DnsConfiguration

RESOLVED_SOCKET = Path("/run/systemd/resolve/io.systemd.Resolve")

_COMMAND_TIMEOUT = 10  # seconds
_NOTHING = DnsConfiguration()


class ResolverConfiguration:
    """Sets and clears the DNS configuration of interfaces.

    Args:
        path: The resolv.conf(5) to change; a symbolic link is followed, and stays.
        resolved_socket: Where systemd-resolved listens while it runs.
        resolvectl: The program that configures it.
    """

    def __init__(
        self,
        *,
        path: Path = RESOLV_CONF,
        resolved_socket: Path = RESOLVED_SOCKET,
        resolvectl: str = "resolvectl",
    ) -> None:
        self._path = path
        self._resolved_socket = resolved_socket
        self._resolvectl = resolvectl

    async def apply(
        self, interface: str, configuration: DnsConfiguration, *, dry_run: bool = False
    ) -> list[str]:
        """Make the resolver use these servers and search domains, and no others of the interface.

        Search domains that are no domain names are left out: a router's word goes into a file
        that every program reads.

        Args:
            interface: The interface that brought them.
            configuration: What it brought; nothing at all is the same as ``remove``.
            dry_run: Only say what would be done.

        Returns:
            One line for each change; none when all is as it should be.

        Raises:
            SystemFault: The file or systemd-resolved refuses.
        """
        search = tuple(domain for domain in configuration.search if is_domain_name(domain))
        configuration = DnsConfiguration(configuration.servers, search)
        if self._resolved_runs():
            return await self._apply_to_resolved(interface, configuration, dry_run=dry_run)
        return self._apply_to_file(interface, configuration, dry_run=dry_run)

    async def remove(self, interface: str, *, dry_run: bool = False) -> list[str]:
        """Take back what an interface brought; the file is as it was found, byte by byte.

        Raises:
            SystemFault: The file or systemd-resolved refuses.
        """
        lines: list[str] = []
        if self._resolved_runs() and _interface_exists(interface):
            lines += await self._apply_to_resolved(interface, _NOTHING, dry_run=dry_run)
        # Also when systemd-resolved runs: it may have been started since the block was written.
        return lines + self._apply_to_file(interface, _NOTHING, dry_run=dry_run)

    def _resolved_runs(self) -> bool:
        # Its files outlive it (RuntimeDirectoryPreserve=yes), and asking on D-Bus would start it.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self._resolved_socket))
            except OSError:
                return False
        return True

    async def _apply_to_resolved(
        self, interface: str, configuration: DnsConfiguration, *, dry_run: bool
    ) -> list[str]:
        servers = [str(server) for server in configuration.servers]
        search = list(configuration.search)
        commands: list[tuple[str, list[str]]] = []
        if _without_zones(_listed(await self._run("dns", interface))) != servers:
            commands.append(("DNS servers", ["dns", interface, *servers]))
        if _listed(await self._run("domain", interface)) != search:
            commands.append(("search domains", ["domain", interface, *search]))
        if commands and not servers and not search:
            commands = [("DNS configuration", ["revert", interface])]
        lines: list[str] = []
        for what, command in commands:
            values = command[2:]
            lines.append(f"set the {what} of {interface} to {' '.join(values) or 'none'}")
            if not dry_run:
                none = (
                    [""] if not values and command[0] != "revert" else []
                )  # resolvectl's spelling
                await self._run(*command, *none)
        return lines

    async def _run(self, *arguments: str) -> str:
        return await run_program(
            [self._resolvectl, *arguments],
            doing=f"run {self._resolvectl} {' '.join(arguments)}",
            timeout=_COMMAND_TIMEOUT,
            missing="systemd-resolved runs, so resolvectl must be installed beside it",
            silent="look at systemctl status systemd-resolved",
        )

    def _apply_to_file(
        self, interface: str, configuration: DnsConfiguration, *, dry_run: bool
    ) -> list[str]:
        try:
            content = self._path.read_bytes() if self._path.exists() else None
            interfaces = interfaces_in(content)
            present = interfaces.get(interface, _NOTHING)
            interfaces[interface] = configuration
            wanted = with_interfaces(content, interfaces)
            if wanted == content:
                return []
            if not dry_run:
                if wanted is None:
                    self._path.resolve().unlink()
                else:
                    replace_file(self._path, wanted)
        except OSError as error:
            raise refused(f"change {self._path}", error.errno or errno.EIO) from error
        return _describe(self._path, interface, present, configuration)


def _describe(
    path: Path, interface: str, present: DnsConfiguration, wanted: DnsConfiguration
) -> list[str]:
    lines = [
        f"{verb} DNS server {server_text(server, interface)} {preposition} {path}"
        for verb, preposition, servers in (
            ("add", "to", [s for s in wanted.servers if s not in present.servers]),
            ("remove", "from", [s for s in present.servers if s not in wanted.servers]),
        )
        for server in servers
    ] + [
        f"{verb} search domain {domain} {preposition} {path}"
        for verb, preposition, domains in (
            ("add", "to", [d for d in wanted.search if d not in present.search]),
            ("remove", "from", [d for d in present.search if d not in wanted.search]),
        )
        for domain in domains
    ]
    # The same servers and domains in another order, or lines of others that changed around ours.
    return lines or [f"rewrite the lines for {interface} in {path}"]


def _listed(output: str) -> list[str]:
    """Return the values of ``Link 3 (isatap0): value value`` as resolvectl prints it."""
    return output.partition("): ")[2].split()


def _without_zones(servers: list[str]) -> list[str]:
    return [server.partition("%")[0] for server in servers]


def _interface_exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True

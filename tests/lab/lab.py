# SPDX-License-Identifier: GPL-3.0-or-later
"""Building a lab, finding it again, and taking it down.

A lab is a directory, ``/run/v6ferry-lab/NAME``, with a tmpfs of its own. In it lie the description
of the lab, its hosts' files, logs and captures, and its namespaces, kept alive by bind mounts and
not by processes. So whoever finds the directory can take the lab down, however its maker ended; and
the machine's own network namespace never has an interface, address or route of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab import processes, scripts
from tests.lab.errors import LabError
from tests.lab.host import LabHost
from tests.lab.name_server import TsigKey
from tests.lab.topology import Topology, TopologyError, check_name

LAB_ROOT = scripts.LAB_ROOT
_DESCRIPTION = "lab.json"
_YOUNG = 30.0  # seconds that a directory without a description may be one being built
_PROGRAMS = {
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "tcpdump": "tcpdump",
    "umount": "mount",
    "unshare": "util-linux",
}
_SHELL = ("sh", "-eu", "-s")


class Lab:
    """A lab; as a context manager it is up inside the ``with`` block.

    Two labs never meet: all they have carries their name, or lies in their own namespaces.

    Attributes:
        name: of the lab, its directory's name.
        topology: what is built.
        directory: where everything of the lab lies.
        tsig_key: what the lab's name servers let DNS updates be signed with.
        keep: whether the lab is to outlive its maker.
    """

    def __init__(self, topology: Topology, name: str | None = None, *, keep: bool = False) -> None:
        """Describe a lab; nothing is built yet.

        Args:
            topology: what to build.
            name: of the lab; by default the topology's with a random suffix.
            keep: whether to leave it up at the end of the ``with`` block and of this process,
                until somebody calls ``down`` or ``python -m tests.lab down NAME``.

        Raises:
            TopologyError: the name cannot be that of a lab.
        """
        self.name = check_name("lab", name or f"{topology.name[:25]}-{secrets.token_hex(3)}")
        self.topology = topology
        self.directory = LAB_ROOT / self.name
        self.tsig_key = TsigKey.generate()
        self.keep = keep
        self._hosts = {host.name: LabHost(self, host) for host in topology.hosts}

    def __repr__(self) -> str:
        return f"<Lab {self.name}>"

    def __enter__(self) -> Lab:
        return self.up()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.keep:
            self.down()

    def __getitem__(self, name: str) -> LabHost:
        """Return a host.

        Raises:
            TopologyError: the topology has no host of this name.
        """
        return self._hosts[self.topology.host(name).name]

    @property
    def hosts(self) -> tuple[LabHost, ...]:
        """All hosts, in the topology's order."""
        return tuple(self._hosts.values())

    # Finding labs

    @staticmethod
    def names() -> list[str]:
        """Return the names of all labs on this machine, whoever made them."""
        if not LAB_ROOT.is_dir():
            return []
        return sorted(entry.name for entry in LAB_ROOT.iterdir() if entry.is_dir())

    @classmethod
    def attach(cls, name: str) -> Lab:
        """Return the lab called ``name`` that another process has built.

        Raises:
            LabError: there is none, or its description cannot be read.
        """
        description = LAB_ROOT / check_name("lab", name) / _DESCRIPTION
        try:
            value = json.loads(description.read_text())
            lab = cls(Topology.from_dict(value["topology"]), name, keep=True)
            lab.tsig_key = TsigKey(**value["tsig_key"])
        except FileNotFoundError:
            known = ", ".join(cls.names()) or "none is up"
            raise LabError(
                f"no lab is called {name!r} ({known}); see `python -m tests.lab list`"
            ) from None
        except (TopologyError, ValueError, TypeError, KeyError) as error:
            raise LabError(
                f"{description}: not a lab's description ({error}); "
                f"take it down with `python -m tests.lab down {name}`"
            ) from error
        return lab

    @classmethod
    def down_all_stale(cls) -> list[str]:
        """Take down the labs whose makers have ended without doing so; return their names.

        Labs that were to be kept stay, and those whose makers are alive.
        """
        stale = [name for name in cls.names() if _is_stale(LAB_ROOT / name)]
        for name in stale:
            take_down(name)
        return stale

    # Building

    def up(self) -> Lab:
        """Build the lab and start the name servers of its topology; return the lab.

        A lab of the same name that a crash has left behind is taken down first.

        Raises:
            LabError: this is not root, a program is missing, the name is taken, or a step failed;
                nothing is left behind then.
        """
        _check_machine(self.topology)
        self._claim_directory()
        try:
            self._build()
        except BaseException:
            self.down()
            raise
        return self

    def _claim_directory(self) -> None:
        LAB_ROOT.mkdir(mode=0o755, exist_ok=True)
        if self.directory.exists() and _is_stale(self.directory):
            take_down(self.name)
        try:
            self.directory.mkdir(mode=0o700)  # atomic: of two processes one gets the name
        except FileExistsError:
            raise LabError(
                f"lab {self.name} is up already; give another name, "
                f"or take it down with `python -m tests.lab down {self.name}`"
            ) from None

    def _build(self) -> None:
        self._make_directory()
        self._make_namespaces()
        self._make_links()
        for host in self.hosts:
            if host.host.zones:
                host.start_named(*host.host.zones)

    def _make_directory(self) -> None:
        # A tmpfs, because an overlay's upper layer must not be on another overlay, as the root of
        # a container is. Private, or the kernel would refuse to keep a mount namespace in it.
        mount = f"mount --no-mtab -t tmpfs -o mode=0700 --make-private v6ferry-lab {self.directory}"
        processes.run_scripts([("mounting the lab's directory", _SHELL, mount)])
        owner = {"process_id": os.getpid(), "start_time": processes.start_time(os.getpid())}
        description = {
            "topology": self.topology.as_dict(),
            "tsig_key": asdict(self.tsig_key),
            "owner": None if self.keep else owner,
        }
        (self.directory / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        for name in ("logs", "captures", "switch"):
            (self.directory / name).mkdir()
        (self.directory / "switch" / "net").touch()
        for host in self.hosts:
            for path in host.namespaces.values():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def _make_namespaces(self) -> None:
        overlays = "".join(scripts.overlays_script(host.directory) for host in self.hosts)
        processes.run_scripts([("mounting the hosts' directories", _SHELL, overlays)])
        for host in self.hosts:
            self._write_host_files(host)
        switch = ("unshare", f"--net={self._switch}", *_SHELL)
        steps: list[tuple[str, Sequence[str], str]]
        steps = [("making the switch", switch, scripts.switch_script())]
        for host in self.hosts:
            options = (f"--{kind}={path}" for kind, path in host.namespaces.items())
            steps.append(
                (
                    f"host {host.name}: making its namespaces",
                    ("unshare", *options, *_SHELL),
                    scripts.namespace_script(host.host, host.directory),
                )
            )
        processes.run_scripts(steps)

    def _write_host_files(self, host: LabHost) -> None:
        topology = self.topology
        for directory in ("/etc/v6ferry", "/var/lib/v6ferry"):
            # What an agent of the machine keeps there is none of the lab's business.
            shutil.rmtree(host.path(directory), ignore_errors=True)
        host.write("/etc/hostname", f"{host.name}\n")
        host.write("/etc/hosts", scripts.hosts_file(host.host, topology.domain))
        resolver = scripts.resolver_file(topology.domain, topology.name_servers)
        host.write("/etc/resolv.conf", resolver)
        switch_file = host.path("/etc/nsswitch.conf")
        machine = switch_file.read_text() if switch_file.exists() else ""
        host.write("/etc/nsswitch.conf", scripts.name_service_switch_file(machine))
        host.path("/run/lock").mkdir()

    def _make_links(self) -> None:
        namespaces = {host.name: host.namespaces["net"] for host in self.hosts}
        batch = scripts.links_batch(self.topology, namespaces)
        enter_switch = processes.enter_command({"net": self._switch}, ["ip", "-batch", "-"])
        processes.run_scripts([("making the links", enter_switch, batch)])
        processes.run_scripts(
            (
                f"host {host.name}: configuring its interfaces",
                host.command(_SHELL),
                scripts.interfaces_script(self.topology, host.host),
            )
            for host in self.hosts
        )

    @property
    def _switch(self) -> Path:
        return self.directory / "switch" / "net"

    # Taking down

    def down(self) -> None:
        """Kill the lab's processes and remove all of it; without effect if it is not up.

        Raises:
            LabError: a process cannot be killed or a mount not be undone; call it again later.
        """
        take_down(self.name)
        for host in self.hosts:
            host.reap()


def take_down(name: str) -> None:
    """Remove the lab called ``name``, in whatever state its maker left it.

    Raises:
        LabError: a process cannot be killed or a mount not be undone.
    """
    directory = LAB_ROOT / check_name("lab", name)
    namespaces = {
        identity
        for path in [*directory.glob("hosts/*/ns/*"), *directory.glob("switch/net")]
        if (identity := processes.namespace_id(path)) is not None
    }
    processes.kill_processes_in(namespaces)
    while os.path.ismount(directory):
        # Lazily: a shell that stands in the directory must not be able to keep the lab.
        command = ["umount", "--no-mtab", "--lazy", str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"lab {name}: {done.stderr.strip()}")
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def describe(name: str) -> str:
    """Return what is known of a lab in a few words: its topology, and whether its maker lives."""
    directory = LAB_ROOT / name
    value = _description(directory)
    if value is None:
        return "unfinished"
    if value["owner"] is None:
        state = "kept"
    else:
        state = "stale" if _is_stale(directory) else f"of process {value['owner']['process_id']}"
    return f"{value['topology']['name']}, {state}"


def _description(directory: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads((directory / _DESCRIPTION).read_text())
    except (OSError, ValueError):
        return None
    return value


def _is_stale(directory: Path) -> bool:
    """Return whether the maker of a lab that was not to be kept is gone."""
    value = _description(directory)
    if value is None:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - directory.stat().st_mtime > _YOUNG
        return False
    owner = value["owner"]
    return owner is not None and processes.start_time(owner["process_id"]) != owner["start_time"]


def _check_machine(topology: Topology) -> None:
    """Raise ``LabError`` if ``topology`` cannot be built here."""
    if os.geteuid() != 0:
        raise LabError("a lab needs root, for namespaces and mounts; run this as root")
    wanted = dict(_PROGRAMS)
    if any(host.zones for host in topology.hosts):
        wanted["named"] = "bind9"
    if not all(network.transmit_offload for network in topology.networks):
        wanted["ethtool"] = "ethtool"
    missing = {p: package for p, package in wanted.items() if shutil.which(p) is None}
    if missing:
        raise LabError(
            f"a lab needs {', '.join(missing)}; "
            f"install the packages {' '.join(sorted(set(missing.values())))}"
        )
    if not Path("/proc/sys/net/ipv6").is_dir():
        raise LabError("this machine's kernel has IPv6 switched off; boot without ipv6.disable=1")

# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks in a network namespace of the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: netns
short_description: Run tasks in a network namespace of the controller
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Runs each task in a network namespace of the machine that Ansible itself runs on, and, if they
    are given, in a mount namespace and a UTS namespace too.
  - So a network of many hosts can be rehearsed on one machine, without containers and without SSH.
  - A namespace that C(ip netns add) made is enough. Its tasks share the file system with the
    controller, and C(/sys) shows the controller's interfaces.
notes:
  - Ansible must run as root.
  - The remote user is ignored; tasks run as root, and C(become) works from there.
extends_documentation_fragment:
  - connection_pipelining
options:
  namespace:
    description:
      - The network namespace, by name (a file below C(/run/netns), as C(ip netns) makes them) or
        as the absolute path of a namespace file, such as C(/proc/4711/ns/net).
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_netns_namespace
  mount_namespace:
    description:
      - The absolute path of the file of a mount namespace to enter too.
      - Unset, tasks see the controller's file system.
    type: path
    vars:
      - name: ansible_netns_mount_namespace
  uts_namespace:
    description:
      - The absolute path of the file of a UTS namespace to enter too.
      - Unset, tasks see the controller's host name.
    type: path
    vars:
      - name: ansible_netns_uts_namespace
  executable:
    description:
      - The C(nsenter) program of util-linux, by name or path.
    type: str
    default: nsenter
    vars:
      - name: ansible_netns_executable
"""

EXAMPLES = r"""
# An inventory of two namespaces, as "ip netns add blue" and "ip netns add green" make them.
- name: all
  all:
    vars:
      ansible_connection: v6ops.transition.netns
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
    hosts:
      blue:
      web:
        ansible_netns_namespace: green

# A host with its own files and host name, whose namespaces "unshare" has kept in files:
#   unshare --net=net --mount=mount --uts=uts hostname router
- name: all
  all:
    hosts:
      router:
        ansible_connection: v6ops.transition.netns
        ansible_netns_namespace: /run/rehearsal/router/net
        ansible_netns_mount_namespace: /run/rehearsal/router/mount
        ansible_netns_uts_namespace: /run/rehearsal/router/uts
"""

import os
import shlex
import shutil
import subprocess
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

display = Display()

NAMED_NAMESPACES = "/run/netns"


class Connection(ConnectionBase):
    """nsenter, once for every command and every file."""

    transport = "v6ops.transition.netns"
    has_pipelining = True
    has_tty = False

    _enter: list[str]

    def _connect(self) -> Connection:
        """Find nsenter and the namespaces; there is nothing to keep open."""
        if not self._connected:
            self._enter = self._enter_command()
            display.vvv(f"ENTER {shlex.join(self._enter)}", host=self._host)
            self._connected = True
        return self

    @property
    def _host(self) -> str:
        return self._play_context.remote_addr

    def _enter_command(self) -> list[str]:
        """Return the words that come before a command to run it in the namespaces."""
        if os.geteuid() != 0:
            raise AnsibleConnectionFailure(
                "connection netns: entering a namespace needs root; run Ansible as root"
            )
        executable = shutil.which(self.get_option("executable"))
        if executable is None:
            raise AnsibleConnectionFailure(
                f"connection netns: option executable: {self.get_option('executable')!r} is not a"
                " program that can be run; install util-linux or set ansible_netns_executable"
            )
        namespace = os.path.join(NAMED_NAMESPACES, self.get_option("namespace"))
        command = [executable, f"--net={self._checked('namespace', namespace)}"]
        for kind in ("mount", "uts"):
            option = f"{kind}_namespace"
            path = self.get_option(option)
            if path:
                command.append(f"--{kind}={self._checked(option, path)}")
        return [*command, "--"]

    @staticmethod
    def _checked(option: str, path: str) -> str:
        """Return the path of a namespace file, having made sure that it is one."""
        try:
            # All namespaces, and nothing else, are files of the kernel's one nsfs.
            is_namespace = os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev
            problem = "is not a namespace, perhaps the remains of one"
        except OSError as exc:
            is_namespace = False
            problem = f"cannot be entered ({exc.strerror})"
        if not is_namespace:
            raise AnsibleConnectionFailure(
                f"connection netns: option {option}: {path} {problem};"
                f" create the namespace or correct ansible_netns_{option}"
            )
        return path

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Run a command in the namespaces.

        Args:
            cmd: what a POSIX shell understands.
            in_data: for the command's standard input.
            sudoable: whether the command may begin with a become command, which asks root for no
                password.

        Returns:
            The exit status, standard output and standard error.
        """
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._run(cmd, input=in_data or b"")

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the controller into the namespaces."""
        super().put_file(in_path, out_path)
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._host)
        try:
            with open(to_bytes(in_path, errors="surrogate_or_strict"), "rb") as source:
                status, _output, error = self._run(f"cat > {shlex.quote(out_path)}", stdin=source)
        except FileNotFoundError as exc:
            raise AnsibleFileNotFound(f"connection netns: no file {in_path} to copy") from exc
        self._check_transfer(status, error, in_path, out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the namespaces to the controller."""
        super().fetch_file(in_path, out_path)
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._host)
        with open(to_bytes(out_path, errors="surrogate_or_strict"), "wb") as target:
            status, _output, error = self._run(f"cat < {shlex.quote(in_path)}", stdout=target)
        self._check_transfer(status, error, in_path, out_path)

    def _run(self, command: str, **options: t.Any) -> tuple[int, bytes, bytes]:
        """Run a shell command; options are those of subprocess.run."""
        words = [*self._enter, "/bin/sh", "-c", command]
        display.vvv(f"EXEC {shlex.join(words)}", host=self._host)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([to_bytes(word) for word in words], check=False, **options)
        return done.returncode, done.stdout, done.stderr

    @staticmethod
    def _check_transfer(status: int, error: bytes, in_path: str, out_path: str) -> None:
        if status != 0:
            why = to_text(error).strip() or f"status {status}"
            raise AnsibleError(f"connection netns: could not copy {in_path} to {out_path}: {why}")

    def reset(self) -> None:
        """Look for the namespaces again before the next command."""
        self.close()

    def close(self) -> None:
        """Forget what has been found."""
        self._connected = False

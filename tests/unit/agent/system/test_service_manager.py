# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told to systemd and inherited from it, over a real socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from v6ferry.system.service_manager import ServiceManager


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


@pytest.fixture
def manager(systemd):
    return ServiceManager({"NOTIFY_SOCKET": systemd.getsockname()})


def test_states_are_told_as_sd_notify_tells_them(systemd, manager):
    manager.ready("nothing is configured")
    manager.status("1 of 1 resources ready")
    manager.alive()
    manager.stopping()
    told = [systemd.recv(200).decode() for _message in range(4)]
    assert told == [
        "READY=1\nSTATUS=nothing is configured",
        "STATUS=1 of 1 resources ready",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_reload_says_when_it_began(systemd, manager):
    manager.reloading()
    state, time = systemd.recv(200).decode().splitlines()
    assert state == "RELOADING=1"
    assert int(time.removeprefix("MONOTONIC_USEC=")) > 0


def test_stored_descriptor_comes_with_its_name(systemd, manager):
    reader, writer = os.pipe()
    manager.store("tun.isatap0", writer)
    os.close(writer)
    message, (kept,), _flags, _address = socket.recv_fds(systemd, 200, 1)
    assert message.decode().split("\n") == ["FDSTORE=1", "FDPOLL=0", "FDNAME=tun.isatap0"]
    os.write(kept, b"through")
    assert os.read(reader, 10) == b"through"
    manager.forget("tun.isatap0")
    assert systemd.recv(200) == b"FDSTOREREMOVE=1\nFDNAME=tun.isatap0"
    os.close(reader)
    os.close(kept)


def test_abstract_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0v6ferry-test-{os.getpid()}")
        listener.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@v6ferry-test-{os.getpid()}"}).alive()
        assert listener.recv(200) == b"WATCHDOG=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_a_service_manager_nothing_happens(environment):
    manager = ServiceManager(environment)
    manager.ready("all is well")
    manager.store("tun.isatap0", 0)
    manager.close_untaken()
    assert manager.watchdog_interval is None
    assert manager.take("tun.isatap0") is None


def test_variables_are_taken_out_of_the_environment(systemd):
    environment = {
        "NOTIFY_SOCKET": systemd.getsockname(),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "LISTEN_FDS": "0",
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDNAMES": "",
        "PATH": "/bin",
    }
    assert ServiceManager(environment).watchdog_interval == 30
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environment",
    [
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
        {"LISTEN_FDS": "9", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a"},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_is_meant_for_another_process_is_not_taken(environment):
    manager = ServiceManager(environment)
    assert manager.watchdog_interval is None
    assert manager.take("a") is None


INHERIT = """
import os
from v6ferry.system.service_manager import ServiceManager
os.environ["LISTEN_PID"] = str(os.getpid())
manager = ServiceManager()
first = manager.take("tun.isatap0")
print(os.read(first, 10).decode(), os.get_inheritable(first), manager.take("tun.isatap0"))
manager.close_untaken()
for descriptor in (4, 5):
    try:
        os.fstat(descriptor)
    except OSError:
        print("closed")
"""


def test_inherited_descriptors_are_taken_by_name_and_the_others_closed(tmp_path):
    """sd_listen_fds(3): from 3 on; a name that is there twice is of no use the second time."""
    (tmp_path / "content").write_text("content")
    shell = 'exec 3<"$1" 4<"$1" 5<"$1"; exec "$2" -c "$3"'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", tmp_path / "content", sys.executable, INHERIT],
        env={
            **os.environ,
            "LISTEN_FDS": "3",
            "LISTEN_FDNAMES": "tun.isatap0:tun.isatap0:protocol41",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["content False None", "closed", "closed"]

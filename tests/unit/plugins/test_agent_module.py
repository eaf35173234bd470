# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module agent asks of a host, and what it writes there; molecule sees it work."""

from __future__ import annotations

import os
import re
import zipfile

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.v6ops.transition.plugins.action import agent as action
from ansible_collections.v6ops.transition.plugins.module_utils import _agent_host, _agent_unit
from ansible_collections.v6ops.transition.plugins.module_utils._agent_host import find_python
from v6ferry.system.resolver_helper import HELPER_SOCKET

DEVICE = "dev/net/tun"


@pytest.fixture
def host(tmp_path):
    """A host that will do; /dev/zero plays the TUN device."""
    for directory in ("run/systemd/system", "proc/sys/net/ipv6", "dev/net"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / DEVICE).symlink_to("/dev/zero")
    return tmp_path


def test_fit_host_has_no_problems(host):
    assert _agent_host.problems(host) == []


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ("run/systemd/system", r"systemd does not run this host.*python3 v6ferry\.pyz run"),
        ("proc/sys/net/ipv6", r"without IPv6.*ipv6\.disable=1"),
        (DEVICE, r"no /dev/net/tun.*modprobe tun"),
    ],
)
def test_each_lack_is_told_with_what_to_do(host, missing, problem):
    path = host / missing
    path.unlink() if path.is_symlink() else path.rmdir()
    (told,) = _agent_host.problems(host)
    assert re.search(problem, told)


def test_all_lacks_are_told_at_once(tmp_path):
    assert len(_agent_host.problems(tmp_path)) == 3


def test_file_in_the_place_of_the_device_is_told(host):
    (host / DEVICE).unlink()
    (host / DEVICE).write_text("")
    assert "is not a device" in _agent_host.problems(host)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_device_for_root_alone_is_told(host):
    (host / DEVICE).unlink()
    try:
        os.mknod(host / DEVICE, 0o020600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("may not make devices")
    assert "chmod 0666" in _agent_host.problems(host)[0]


def runner(versions):
    """Runs Pythons that are of these versions, by path."""

    def run(command):
        version = versions[command[0]]
        return (0, f"{version}\n", "") if version else (1, "", "broken")

    return run


def installed(monkeypatch, versions):
    monkeypatch.setattr(_agent_host.os, "access", lambda path, _mode: path in versions)
    return runner(versions)


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        ({"/usr/bin/python3": "3.11"}, "/usr/bin/python3"),
        ({"/usr/bin/python3": "3.9", "/usr/bin/python3.11": "3.11"}, "/usr/bin/python3.11"),
        (
            {
                "/usr/bin/python3": "3.9",
                "/usr/bin/python3.11": "3.11",
                "/usr/bin/python3.12": "3.12",
            },
            "/usr/bin/python3.12",
        ),
        ({"/usr/bin/python3": "3.6", "/usr/local/bin/python3": "3.13"}, "/usr/local/bin/python3"),
        ({"/usr/bin/python3": "", "/usr/bin/python3.10": "3.10"}, "/usr/bin/python3.10"),
    ],
)
def test_first_python_that_will_do_is_taken(monkeypatch, versions, chosen):
    assert find_python(None, installed(monkeypatch, versions)) == chosen


def test_old_python_of_rhel_9_is_told_with_the_package_that_helps(monkeypatch):
    run = installed(monkeypatch, {"/usr/bin/python3": "3.9"})
    with pytest.raises(ValueError, match=r"/usr/bin/python3 is 3\.9.*dnf install python3\.11"):
        find_python(None, run)


@pytest.mark.parametrize(
    ("versions", "reason"),
    [({}, "/opt/python cannot be executed"), ({"/opt/python": "3.8"}, "/opt/python is 3.8"),
     ({"/opt/python": ""}, "/opt/python is broken")],
)  # fmt: skip
def test_unfit_python_that_the_user_names_is_told(monkeypatch, versions, reason):
    with pytest.raises(ValueError, match=f"python: {reason}"):
        find_python("/opt/python", installed(monkeypatch, versions))


def test_units_are_complete():
    units = _agent_unit.units("/usr/local/bin/v6ferry", 45, verbose=True)
    assert set(units) == {"v6ferry.service", "v6ferry-resolver.socket", "v6ferry-resolver@.service"}
    agent = units["v6ferry.service"]
    assert "ExecStart=/usr/local/bin/v6ferry run --verbose\n" in agent
    assert "TimeoutStartSec=45\n" in agent
    assert "User=v6ferry\n" in agent
    assert "{" not in "".join(units.values())
    assert "--verbose" not in "".join(_agent_unit.units("/bin/v6ferry", 45, verbose=False).values())


def test_helper_listens_where_the_agent_looks_for_it():
    units = _agent_unit.units("/usr/local/bin/v6ferry", 30, verbose=False)
    assert f"ListenStream={HELPER_SOCKET}\n" in units["v6ferry-resolver.socket"]


def bundle(path, source):
    with zipfile.ZipFile(path, "w") as archive:
        if source is not None:
            archive.writestr("v6ferry/__init__.py", source)
    return path


def test_release_is_named_after_version_and_content(tmp_path):
    one = action._release(bundle(tmp_path / "one", '__version__ = "1.2.3"\n'))
    other = action._release(bundle(tmp_path / "other", '"""Other."""\n__version__ = "1.2.3"\n'))
    assert one.startswith("1.2.3-")
    assert other.startswith("1.2.3-")
    assert one != other
    assert len(one) == len("1.2.3-") + 12


@pytest.mark.parametrize("source", [None, "no version", '__version__ = "../../etc"\n'])
def test_what_is_no_bundle_is_refused(tmp_path, source):
    with pytest.raises(AnsibleActionFail, match="bundle: "):
        action._release(bundle(tmp_path / "v6ferry.pyz", source))
    (tmp_path / "text").write_text("text")
    with pytest.raises(AnsibleActionFail, match="is not a bundle of the agent"):
        action._release(tmp_path / "text")

# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS configuration of an interface: resolv.conf, or systemd-resolved while it runs."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv6Address

import pytest
from v6ferry.system.errors import SystemFault
from v6ferry.system.resolver_configuration import ResolverConfiguration
from v6ferry.system.state import DnsConfiguration

DNS = DnsConfiguration((IPv6Address("2001:db8::53"),), ("corp.example",))
BEFORE = b"nameserver 10.0.0.53\nsearch example.com"

# Answers as systemd 252 does, and keeps what it was told in files beside itself.
RESOLVECTL = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >> calls
verb=$1 link=$2
case $verb in
revert) rm -f dns domain; exit ;;
esac
if [ $# = 2 ]; then
    echo "Link 3 ($link):$(test -s $verb && printf ' %s' "$(cat $verb)")"
else
    shift 2
    echo "$*" > $verb
fi
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_bytes(BEFORE)
    return path


@pytest.fixture
def file_only(tmp_path, path):
    return ResolverConfiguration(path=path, resolved_socket=tmp_path / "none")


@pytest.fixture
def resolvectl(tmp_path):
    program = tmp_path / "bin" / "resolvectl"
    program.parent.mkdir()
    program.write_text(RESOLVECTL)
    program.chmod(0o755)
    return program


@pytest.fixture
def resolved(tmp_path, path, resolvectl):
    address = tmp_path / "io.systemd.Resolve"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        yield ResolverConfiguration(path=path, resolved_socket=address, resolvectl=str(resolvectl))


def apply(configuration, dns=DNS, *, interface="isatap0", **options):
    return asyncio.run(configuration.apply(interface, dns, **options))


def remove(configuration, interface="isatap0", **options):
    return asyncio.run(configuration.remove(interface, **options))


def test_second_time_changes_nothing(file_only, path):
    assert apply(file_only) == [
        f"add DNS server 2001:db8::53 to {path}",
        f"add search domain corp.example to {path}",
    ]
    content = path.read_bytes()
    assert apply(file_only) == []
    assert path.read_bytes() == content


def test_removal_leaves_the_file_as_found(file_only, path):
    apply(file_only)
    assert remove(file_only) == [
        f"remove DNS server 2001:db8::53 from {path}",
        f"remove search domain corp.example from {path}",
    ]
    assert path.read_bytes() == BEFORE
    assert remove(file_only) == []


def test_file_that_was_not_there_goes_again(file_only, path):
    path.unlink()
    apply(file_only)
    assert b"nameserver 2001:db8::53\n" in path.read_bytes()
    remove(file_only)
    assert not path.exists()


def test_symbolic_link_stays_and_its_target_changes(file_only, path, tmp_path):
    target = tmp_path / "run" / "resolv.conf"
    target.parent.mkdir()
    target.write_bytes(BEFORE)
    target.chmod(0o640)
    path.unlink()
    path.symlink_to("run/resolv.conf")
    apply(file_only)
    assert path.is_symlink()
    assert b"2001:db8::53" in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    remove(file_only)
    assert target.read_bytes() == BEFORE


def test_interfaces_do_not_disturb_each_other(file_only, path):
    apply(file_only)
    one = path.read_bytes()
    apply(file_only, DnsConfiguration((), ("other.example",)), interface="isatap1")
    remove(file_only, "isatap1")
    assert path.read_bytes() == one


def test_dry_run_says_the_same_and_does_nothing(file_only, path):
    promised = apply(file_only, dry_run=True)
    assert path.read_bytes() == BEFORE
    assert apply(file_only) == promised


def test_hostile_search_domain_is_left_out(file_only, path):
    apply(file_only, DnsConfiguration((), ("x\nnameserver 6.6.6.6", "good.example")))
    assert b"6.6.6.6" not in path.read_bytes()
    assert b"good.example" in path.read_bytes()


def test_block_that_another_program_overwrote_comes_back(file_only, path):
    apply(file_only)
    path.write_bytes(b"nameserver 10.0.0.54\n")
    assert apply(file_only) != []
    assert path.read_bytes().startswith(b"nameserver 10.0.0.54\n# BEGIN")


def test_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "missing" / "resolv.conf"
    with pytest.raises(SystemFault, match=str(path)):
        apply(ResolverConfiguration(path=path, resolved_socket=tmp_path / "none"))


def test_stopped_resolved_does_not_count(tmp_path, path, resolvectl):
    """Its socket file outlives it."""
    address = tmp_path / "io.systemd.Resolve"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(address))
    apply(ResolverConfiguration(path=path, resolved_socket=address, resolvectl=str(resolvectl)))
    assert b"2001:db8::53" in path.read_bytes()


def test_resolved_is_told_once(resolved, resolvectl, path):
    assert apply(resolved) == [
        "set the DNS servers of isatap0 to 2001:db8::53",
        "set the search domains of isatap0 to corp.example",
    ]
    assert apply(resolved) == []
    calls = (resolvectl.parent / "calls").read_text().splitlines()
    assert [c for c in calls if len(c.split()) > 2] == [
        "dns isatap0 2001:db8::53",
        "domain isatap0 corp.example",
    ]
    assert path.read_bytes() == BEFORE


def test_resolved_forgets_on_removal(resolved, resolvectl):
    apply(resolved, interface="lo")
    assert remove(resolved, "lo") == ["set the DNS configuration of lo to none"]
    assert remove(resolved, "lo") == []
    assert not (resolvectl.parent / "dns").exists()


def test_interface_that_has_gone_is_not_asked_for(resolved, resolvectl):
    assert remove(resolved, "isatap-gone") == []
    assert not (resolvectl.parent / "calls").exists()


def test_block_is_taken_back_though_resolved_runs_now(resolved, file_only, path):
    apply(file_only)
    remove(resolved)
    assert path.read_bytes() == BEFORE


def test_complaint_of_resolvectl_is_one_line(resolved, resolvectl):
    resolvectl.write_text("#!/bin/sh\necho 'Failed:\n  no link' >&2; exit 1\n")
    with pytest.raises(SystemFault) as fault:
        apply(resolved)
    assert str(fault.value) == f"cannot run {resolvectl} dns isatap0: Failed: no link"


def test_missing_resolvectl_is_named(resolved, resolvectl):
    resolvectl.unlink()
    with pytest.raises(SystemFault, match="resolvectl must be installed"):
        apply(resolved)

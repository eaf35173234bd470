# SPDX-License-Identifier: GPL-3.0-or-later
"""TUN devices, real ones."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path

import pytest
from v6ferry.system.errors import SystemFault
from v6ferry.system.tun import TUNSETIFF, adopt_tun, open_tun, remove_tun

from tests.lab.agent_system.namespaces import ip, isolated, run_without_net_admin


@isolated
def test_device_outlives_its_descriptor_and_keeps_its_addresses():
    with open_tun("isatap0") as tun:
        assert tun.fileno() == tun.descriptor
        ip("link set isatap0 up")
        ip("addr add 2001:db8::1/64 dev isatap0 nodad")
    assert "2001:db8::1/64" in ip("addr show dev isatap0")
    with open_tun("isatap0") as again:
        assert again.index == tun.index
        assert "2001:db8::1/64" in ip("addr show dev isatap0")


@isolated
def test_packets_are_bare_and_reads_do_not_block():
    with open_tun("isatap0") as tun:
        ip("link set isatap0 up")
        ip("-6 route add 2001:db8:9::/48 dev isatap0")
        assert not os.get_blocking(tun.descriptor)
        ip("addr add 2001:db8::1/64 dev isatap0 nodad")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"over the ferry", ("2001:db8:9::1", 9))
        packets = iter(tun.read, None)
        # The kernel may have sent multicast of its own before.
        packet, offload = next(one for one in packets if one[0].endswith(b"over the ferry"))
        assert offload is None
        assert packet[0] >> 4 == 6
        assert len(packet) == 40 + 8 + 14


@isolated
def test_stored_descriptor_is_adopted_with_the_packets_that_wait():
    tun = open_tun("isatap0")
    kept = os.dup(tun.descriptor)
    tun.close()
    ip("link set isatap0 up")
    assert "LOWER_UP" in ip("link show isatap0")
    ip("-6 route add 2001:db8:9::/48 dev isatap0")
    ip("addr add 2001:db8::1/64 dev isatap0 nodad")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"while away", ("2001:db8:9::1", 9))
    adopted = adopt_tun("isatap0", kept)
    assert adopted is not None
    assert adopted.index == socket.if_nametoindex("isatap0")
    assert any(one[0].endswith(b"while away") for one in iter(adopted.read, None))
    adopted.close()


@isolated
def test_descriptor_of_no_use_is_closed():
    """Of another device, a removed one, one attached in another way, and of no device at all."""
    other, gone = open_tun("other0"), open_tun("gone0")
    ip("link del gone0")
    ip("tuntap add bare0 mode tun")
    with Path("/dev/net/tun").open("rb+", buffering=0) as bare:
        fcntl.ioctl(bare, TUNSETIFF, struct.pack("16sH22x", b"bare0", 0x0001 | 0x1000))
        descriptors = [os.dup(one) for one in (other.descriptor, gone.descriptor, bare.fileno(), 0)]
    for name, descriptor in zip(["isatap0", "gone0", "bare0", "isatap0"], descriptors, strict=True):
        assert adopt_tun(name, descriptor) is None
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@isolated
def test_descriptor_is_closed_on_exec():
    with open_tun("isatap0") as tun:
        assert not os.get_inheritable(tun.descriptor)


@isolated
def test_closing_and_removing_leaves_nothing():
    open_tun("isatap0").close()
    assert remove_tun("isatap0") is True
    assert "isatap0" not in ip("link")
    assert remove_tun("isatap0") is False


@isolated
def test_device_of_another_process_is_not_taken():
    with open_tun("isatap0"):
        with pytest.raises(SystemFault, match="isatap0 is attached to another process"):
            open_tun("isatap0")
        with pytest.raises(SystemFault, match="attached to another process"):
            remove_tun("isatap0")
    assert "isatap0" in ip("link")


@isolated
@pytest.mark.parametrize(
    "command",
    [
        "link add isatap0 type veth peer name other0",
        "link add isatap0 type bridge",
        "tuntap add isatap0 mode tap",
        "tuntap add isatap0 mode tun multi_queue",
    ],
)
def test_foreign_device_is_left_alone(command):
    ip(command)
    before = ip("-d link show isatap0")
    with pytest.raises(SystemFault, match="isatap0 exists and is not a TUN device"):
        open_tun("isatap0")
    with pytest.raises(SystemFault, match="isatap0 exists and is not a TUN device"):
        remove_tun("isatap0")
    assert ip("-d link show isatap0") == before


@isolated
def test_process_without_capabilities_is_told_which_it_needs():
    said = run_without_net_admin(
        "from v6ferry.system.tun import open_tun\n"
        "from v6ferry.system.errors import SystemFault\n"
        "try: open_tun('isatap0')\n"
        "except SystemFault as fault: print(fault)\n"
    )
    assert said.startswith("cannot attach to TUN device isatap0: not permitted")
    assert "CAP_NET_ADMIN" in said
    assert "isatap0" not in ip("link")

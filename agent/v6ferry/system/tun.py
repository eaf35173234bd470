# SPDX-License-Identifier: GPL-3.0-or-later
"""TUN devices: the tunnel interfaces' other end (Linux Documentation/networking/tuntap.rst).

A device is made persistent, so its addresses and routes outlive this process; opening it again
attaches to it as it is. What the kernel has left to do of a packet, and what we leave to it, is
said in a header (struct virtio_net_hdr, Virtual I/O Device 1.2 section 5.1.6): large packets to be
split where they are sent, checksums to be finished.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from v6ferry.system.errors import NET_ADMIN_ADVICE, SystemFault, refused
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH

CLONE_DEVICE = Path("/dev/net/tun")

# linux/if_tun.h
TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOFFLOAD = 0x400454D0
TUNGETIFF = 0x800454D2
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
IFF_MULTI_QUEUE = 0x0100
_OUR_WAY = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
_WAYS = _OUR_WAY | IFF_MULTI_QUEUE
# Checksums, TCP over IPv4 (which the kernel wants along), TCP over IPv6, that with ECN.
_SUPER_PACKETS = 0x01 | 0x02 | 0x04 | 0x08

# linux/virtio_net.h: flags, type of segmentation, lengths of headers and of a segment's data, where
# what the checksum covers begins, and where from there the checksum is.
_OFFLOAD = struct.Struct("=BBHHHH")
_NEEDS_CHECKSUM = 1
_SEGMENTS_OF_TCP_OVER_IPV6 = 4
_NO_OFFLOAD = bytes(_OFFLOAD.size)
_LARGEST_READ = _OFFLOAD.size + 65535

_IFREQ = struct.Struct("16sH22x")  # struct ifreq: name, flags
_LONGEST_NAME = 15  # IFNAMSIZ - 1


class Offload(NamedTuple):
    """What the kernel has to do with an IPv6 packet that it is given.

    It adds what the checksum covers to the checksum, which is that of the pseudo-header; and where
    it sends the packet, it splits it into segments.
    """

    checksum_offset: int
    """Octets from ``start`` to the checksum."""
    header_length: int = 0
    """Octets of the IPv6 and TCP headers, if the packet consists of TCP segments."""
    segment_size: int = 0
    """Octets of data in each of them but the last."""
    start: int = IPV6_HEADER_LENGTH
    """Octets before what the checksum covers."""

    def header(self) -> bytes:
        """Return the struct virtio_net_hdr."""
        return _OFFLOAD.pack(
            _NEEDS_CHECKSUM,
            _SEGMENTS_OF_TCP_OVER_IPV6 if self.segment_size else 0,
            self.header_length,
            self.segment_size,
            self.start,
            self.checksum_offset,
        )


@dataclass(frozen=True, slots=True)
class Tun:
    """An attached TUN device, which gives and takes IPv6 packets."""

    name: str
    index: int
    descriptor: int
    """Non-blocking, closed on exec."""

    def fileno(self) -> int:
        """Return the descriptor, so that selectors take the object itself."""
        return self.descriptor

    def is_present(self) -> bool:
        """Whether the device is still there; somebody may remove it (``ip link delete``)."""
        try:
            return socket.if_nametoindex(self.name) == self.index
        except OSError:
            return False

    def read(self) -> tuple[bytes, Offload | None]:
        """Return the next packet that the kernel sends through the device.

        With it comes what the kernel has left to do of it, only after ``take_super_packets``.

        Raises:
            BlockingIOError: There is none.
            OSError: The device is gone.
        """
        data = os.read(self.descriptor, _LARGEST_READ)
        packet = data[_OFFLOAD.size :]
        if not data[0] & _NEEDS_CHECKSUM:
            return packet, None
        _flags, kind, headers, size, start, offset = _OFFLOAD.unpack_from(data)
        return packet, Offload(offset, headers, size if kind else 0, start)

    def take_super_packets(self, take: bool) -> None:
        """Let the kernel send packets that a network card would split and finish, or not.

        Raises:
            OSError: The device is gone.
        """
        fcntl.ioctl(self.descriptor, TUNSETOFFLOAD, _SUPER_PACKETS if take else 0)

    def write(self, *pieces: bytes, offload: Offload | None = None) -> None:
        """Have the kernel receive a packet from the device.

        Args:
            pieces: The packet, whole or in pieces.
            offload: What the kernel is to do with it first.

        Raises:
            OSError: The device is down or gone.
        """
        header = _NO_OFFLOAD if offload is None else offload.header()
        os.writev(self.descriptor, (header, *pieces))

    def close(self) -> None:
        """Detach; the device stays, with its addresses and routes."""
        os.close(self.descriptor)

    def __enter__(self) -> Tun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def adopt_tun(name: str, descriptor: int) -> Tun | None:
    """Take over a descriptor that another process has attached to the TUN device ``name``.

    Packets that the device has sent meanwhile wait there.

    Returns:
        None, with the descriptor closed, if it is of no use: the device was removed, or was
        attached in another way than ``open_tun`` does it, as an older version of ours might.
    """
    try:
        request = fcntl.ioctl(descriptor, TUNGETIFF, bytes(_IFREQ.size))
        attached_to, flags = _IFREQ.unpack(request)
        if attached_to.rstrip(b"\0") == os.fsencode(name) and flags & _WAYS == _OUR_WAY:
            os.set_blocking(descriptor, False)
            return Tun(name, socket.if_nametoindex(name), descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None


def open_tun(name: str, *, clone_device: Path = CLONE_DEVICE) -> Tun:
    """Attach to the TUN device ``name``, which is made if it is not there.

    Args:
        name: Interface name, 1 to 15 bytes.
        clone_device: Where TUN devices come from.

    Raises:
        SystemFault: No TUN driver, no permission, a bad name, or a name that another kind of
            device or another process has.
    """
    descriptor = _attach(name, clone_device)
    try:
        # A device left behind by another program may announce offloads that we do not do.
        fcntl.ioctl(descriptor, TUNSETOFFLOAD, 0)
        fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
        return Tun(name, socket.if_nametoindex(name), descriptor)
    except OSError as error:
        os.close(descriptor)
        raise refused(f"open TUN device {name}", error.errno or errno.EIO) from error


def remove_tun(name: str, *, clone_device: Path = CLONE_DEVICE) -> bool:
    """Remove the TUN device ``name`` with its addresses and routes; it must be detached.

    Returns:
        Whether there was one.

    Raises:
        SystemFault: As for ``open_tun``; a device of another kind is left alone.
    """
    if not _exists(name):
        return False
    descriptor = _attach(name, clone_device)
    try:
        fcntl.ioctl(descriptor, TUNSETPERSIST, 0)
    finally:
        os.close(descriptor)
    return True


def _attach(name: str, clone_device: Path) -> int:
    """Return a descriptor attached to the device ``name``."""
    request = _IFREQ.pack(_encoded_name(name), _OUR_WAY)
    try:
        descriptor = os.open(clone_device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _clone_device_fault(clone_device, error) from error
    existed = _exists(name)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, request)
    except OSError as error:
        os.close(descriptor)
        raise _attach_fault(name, existed, error) from error
    return descriptor


def _encoded_name(name: str) -> bytes:
    encoded = os.fsencode(name)
    # "%" would make the kernel number the device itself; the rest is dev_valid_name() of Linux.
    unusable = name in ("", ".", "..") or any(c in "/:%" or c.isspace() or c == "\0" for c in name)
    if unusable or len(encoded) > _LONGEST_NAME:
        raise SystemFault(
            f"interface name {name!r} is not usable: give 1 to {_LONGEST_NAME} bytes"
            " without spaces, '/', ':' and '%'"
        )
    return encoded


def _exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _clone_device_fault(clone_device: Path, error: OSError) -> SystemFault:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return SystemFault(
            f"there is no TUN driver at {clone_device}: load it (modprobe tun), or hand the"
            " device to the container (--device /dev/net/tun)"
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return SystemFault(
            f"{clone_device} may not be opened: run as root, or allow the device to the service"
            f" or container (DeviceAllow={clone_device} rw)"
        )
    return SystemFault(f"cannot open {clone_device}: {error.strerror}")


def _attach_fault(name: str, existed: bool, error: OSError) -> SystemFault:
    if error.errno == errno.EBUSY:
        return SystemFault(
            f"TUN device {name} is attached to another process: stop that one"
            " (another agent?), or choose another interface name"
        )
    if error.errno == errno.EINVAL and existed:
        return SystemFault(
            f"interface {name} exists and is not a TUN device of one queue: choose another"
            f" interface name, or remove it (ip link delete {name})"
        )
    if error.errno == errno.EPERM:
        return SystemFault(f"cannot attach to TUN device {name}: not permitted; {NET_ADMIN_ADVICE}")
    return SystemFault(f"cannot attach to TUN device {name}: {error.strerror}")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception for what the host refuses."""

from __future__ import annotations

import errno
import os

NET_ADMIN_ADVICE = (
    "CAP_NET_ADMIN is needed: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN"
)
NO_IPV6 = (
    "this kernel runs without IPv6 (net.ipv6 is missing under {root}): "
    "take ipv6.disable=1 off the kernel's command line and reboot"
)


class SystemFault(Exception):  # noqa: N818 - a fault of the host, not of the program
    """The host refused something; the message is one line: what, where, why, what to do."""


def refused(doing: str, number: int, detail: str = "") -> SystemFault:
    """Return the fault for a failed system call.

    Args:
        doing: What was attempted and where, as in "set the MTU of isatap0 to 1280".
        number: The errno.
        detail: What the kernel said itself (netlink's extended acknowledgement), if it did.
    """
    if number in (errno.EPERM, errno.EACCES):
        return SystemFault(f"cannot {doing}: not permitted; {NET_ADMIN_ADVICE}")
    if number in (errno.ENODEV, errno.ENXIO):
        return SystemFault(
            f"cannot {doing}: the interface has disappeared; it is made anew when the resource"
            " is applied again"
        )
    if number == errno.EROFS:
        return SystemFault(
            f"cannot {doing}: the file system is read-only; in a container, mount it writable"
        )
    return SystemFault(f"cannot {doing}: {detail or os.strerror(number)}")

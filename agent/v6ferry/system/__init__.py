# SPDX-License-Identifier: GPL-3.0-or-later
"""All that touches the kernel: TUN devices, sockets, netlink, sysctl, resolv.conf.

``state`` holds plain values without I/O and may be imported from every layer above. The other
modules are for the daemon (and, for sockets and TUN devices, for the forwarding planes) only.
"""

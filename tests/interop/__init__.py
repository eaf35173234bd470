# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers from the Linux kernel: its own sit driver, booted in qemu and joined to the lab.

``guest.py`` is the booted kernel and its control channel, ``sit.py`` the parts it plays (ISATAP
host with isatapd, ISATAP router with radvd), ``scene.py`` the intranet in which a host and a
router of either make meet, ``stations.py`` what a test asks of either make (ping, bulk TCP with a
checksum), ``namespaces.py`` two hosts inside one guest, which run our agent or sit.

``tools/guest-image.sh`` makes the guests out of Debian packages. The folder may import
``tests.lab``; only ``tests.bench`` imports it.
"""

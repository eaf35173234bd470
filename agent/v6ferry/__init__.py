# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv6 transition stack of a Linux host.

Layers, each importing only from those below it: ``cli``, ``daemon``, ``engines``, ``portproxy``,
``forwarding``, ``naming``, ``system``, ``wire``, ``addresses``. ``tests/unit/test_layers.py`` holds
them to it.
"""

__version__ = "0.1.0"

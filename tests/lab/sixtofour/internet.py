# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who in the topology ``sixtofour``: the white paper's figures 19 to 24.

``a`` and ``c`` are stock kernels: ``a`` has what it is advertised, ``c`` what is configured.
"""

from __future__ import annotations

ROUTER, B, RELAY = "157.60.0.1", "131.107.0.1", "194.207.1.5"
SITE = "2002:9d3c:1:1:"
B_ADDRESS = "2002:836b:1::836b:1"
C = "2001:db8:0:c::c"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Explicit congestion notification through a tunnel (RFC 6040).

The codepoints are the two low bits of the IPv4 TOS octet and of the IPv6 traffic class.
"""

from __future__ import annotations

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3

DROP = -1
"""What the decapsulation table says of a packet that must not go on."""


def encapsulated(inner: int) -> int:
    """The outer codepoint of normal mode: the inner one, CE included (section 4.1)."""
    return inner


DECAPSULATED: tuple[tuple[int, ...], ...] = (
    # outer:  Not-ECT   ECT(1)   ECT(0)   CE          (section 4.2, figure 4)
    (NOT_ECT, NOT_ECT, NOT_ECT, DROP),  # inner Not-ECT
    (ECT_1, ECT_1, ECT_1, CE),  # inner ECT(1)
    (ECT_0, ECT_1, ECT_0, CE),  # inner ECT(0)
    (CE, CE, CE, CE),  # inner CE
)
"""``DECAPSULATED[inner][outer]`` is the codepoint to forward, or ``DROP``."""

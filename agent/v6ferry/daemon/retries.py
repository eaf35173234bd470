# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the host is asked again for what it has refused."""

from __future__ import annotations

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""Seconds between attempts at what the host has refused: doubled from the first to the last."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP (RFC 768)."""

from __future__ import annotations

UDP_HEADER_LENGTH = 8

# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests have in common."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says more of what else the machine does: speed is for the benchmarks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

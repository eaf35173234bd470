# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the lab raises."""

from __future__ import annotations


class LabError(Exception):
    """A lab could not be built, entered or used; the message says what to do.

    The first line is complete in itself; the tail of a log may follow it.
    """

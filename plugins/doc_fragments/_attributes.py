# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules promise about check mode, diff mode and idempotence."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes section of every module."""

    # Of a module that declares a state.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what changes without touching the target.
    support: full
  diff_mode:
    description: Returns what has changed, or would change in C(check_mode), when in diff mode.
    support: full
  idempotent:
    description:
      - Run twice in a row with the same options outside check mode, the second run changes nothing.
    support: full
"""

    # Of a module that only looks.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what changes without touching the target.
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    description: Returns what has changed, or would change in C(check_mode), when in diff mode.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description:
      - Run twice in a row with the same options outside check mode, the second run changes nothing.
    support: full
    details:
      - This module changes nothing.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The option that every module that talks to the agent has."""

from __future__ import annotations


class ModuleDocFragment:
    """How the agent is reached."""

    DOCUMENTATION = r"""
options:
  socket:
    description:
      - The control socket of the v6ferry agent on the target.
      - Only root and the agent's group may use it, so a task needs C(become) unless it logs in as
        one of them.
    type: path
    default: /run/v6ferry/control.sock
requirements:
  - The v6ferry agent runs on the target.
"""

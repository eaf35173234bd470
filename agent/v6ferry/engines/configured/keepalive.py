# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the far end of a tunnel is there (RFC 4213 section 3.8)."""

from __future__ import annotations

from random import Random
from typing import Literal, get_args

from v6ferry.engines.configured.specification import KeepaliveOptions

State = Literal["asking", "reachable", "silent"]

RETRANS_TIMER = 1.0
"""Seconds between questions as long as nothing is known (RFC 4861 section 10)."""
LEAST_SHARE = 0.9
"""Of the interval: a thousand tunnels that started at once must not ask at once for ever."""


class Keepalive:
    """Asks at an interval; it neither makes packets nor sends them.

    Args:
        options: what the user set.
        random: spreads the questions.
        now: the time of the first question.
    """

    def __init__(self, options: KeepaliveOptions, random: Random, now: float) -> None:
        self.options = options
        self.state: State = "asking"
        self.losses = 0
        """Questions in a row without an answer."""
        self.next_at = now
        """When the next question is due."""
        self._random = random
        self._asked = False

    def ask(self, now: float) -> bool:
        """Whether a question is due at ``now``; if so it counts as asked."""
        if now < self.next_at:
            return False
        if self._asked:
            self.losses += 1
            if self.losses >= self.options.losses:
                self.state = "silent"
        self._asked = True
        wait = self.options.interval
        if self.state == "asking":
            wait = min(wait, RETRANS_TIMER)
        self.next_at = now + wait * self._random.uniform(LEAST_SHARE, 1.0)
        return True

    def answered(self, now: float) -> None:
        """The far end has answered a question: one answer makes up for all that were lost."""
        if self.state == "asking":
            self.next_at = now + self.options.interval * self._random.uniform(LEAST_SHARE, 1.0)
        self.state, self.losses, self._asked = "reachable", 0, False

    def restore(self, state: object) -> None:
        """Take over what a predecessor knew."""
        for known in get_args(State):
            if state == known:
                self.state = known

# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory objects hold: exact, without the cost of tracing every allocation."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, Enum, IPv4Network, IPv6Network)
"""What belongs to the program, however many objects refer to it."""


def octets(roots: Iterable[Any]) -> int:
    """Return the octets of all objects that can be reached from ``roots``, each counted once."""
    seen: set[int] = set()
    total = 0
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total

# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the transition technologies: form them, take them apart, tell them apart.

Pure functions over the standard library's ``ipaddress`` types, on Python 3.10 and later. This is
the lowest layer: it imports nothing of the agent, and it uses relative imports inside, because the
collection's filters import it under the collection's name as well. All functions listed here may
be imported from the package; those that take an address of one technology apart have the same name
in each module and are used through it: ``isatap.embedded_ipv4``, ``sixtofour.embedded_ipv4``.
"""

from . import classify, isatap, sixrd, sixtofour, teredo
from .classify import TransitionAddress, decode
from .configured import configured_tunnel_link_local
from .format import format_isatap, format_with_ipv4
from .ipv4 import is_globally_unique, is_unicast_endpoint
from .ipv4_embedded import compatible_ipv4, ipv4_compatible, ipv4_mapped, mapped_ipv4
from .isatap import (
    interface_identifier,
    is_isatap_identifier,
    isatap_address,
    isatap_link_local,
)
from .sixrd import delegated_prefix
from .sixtofour import sixtofour_address, sixtofour_prefix
from .teredo import TeredoAddress

__all__ = [
    "TeredoAddress",
    "TransitionAddress",
    "classify",
    "compatible_ipv4",
    "configured_tunnel_link_local",
    "decode",
    "delegated_prefix",
    "format_isatap",
    "format_with_ipv4",
    "interface_identifier",
    "ipv4_compatible",
    "ipv4_mapped",
    "is_globally_unique",
    "is_isatap_identifier",
    "is_unicast_endpoint",
    "isatap",
    "isatap_address",
    "isatap_link_local",
    "mapped_ipv4",
    "sixrd",
    "sixtofour",
    "sixtofour_address",
    "sixtofour_prefix",
    "teredo",
]

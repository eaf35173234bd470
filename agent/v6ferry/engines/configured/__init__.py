# SPDX-License-Identifier: GPL-3.0-or-later
"""Configured tunnels (RFC 4213): a link to one far end, and nothing learned from addresses.

``specification``  what a user can set
``keepalive``      whether the far end is there (RFC 4213 section 3.8)
``tunnel``         the engine

Engines import from here; nothing here imports from another technology's folder.
"""

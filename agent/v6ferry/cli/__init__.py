# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``main`` reads it, ``render`` prints answers for people.

``control_client`` is the client of the control API, shared with the collection's modules.
"""

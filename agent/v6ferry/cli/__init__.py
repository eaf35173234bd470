# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``main`` reads it, ``render`` prints answers for people.

``portproxy`` takes netsh's words for rules of PortProxy.
``control_client`` is the client of the control API, shared with the collection's modules.
"""

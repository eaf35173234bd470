# SPDX-License-Identifier: GPL-3.0-or-later
"""An Internet in virtual time: engines behind NATs, no sockets, no clock, the same every time.

``internet``  carries datagrams and packets, each after its delay
``nat``       network address translators of every kind
``teredo``    machines that Teredo engines run on
``teredo_traffic``  what went through the core, and what tests do to clients
``memory``    what objects hold
"""

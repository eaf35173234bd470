# SPDX-License-Identifier: GPL-3.0-or-later
"""A router's private interfaces (RFC 4861 section 6.2): part of an engine, none by itself.

``advertised``  what an owner wants to have advertised on an interface
``options``     what a user can set for all of them
``link``        one interface: when advertisements are sent, and what withdrawn prefixes they name
``router``      all private interfaces of an engine
"""

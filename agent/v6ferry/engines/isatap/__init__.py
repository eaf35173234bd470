# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP (RFC 5214), with the behaviour of Windows Server 2008 where it says more.

``specification``  what a user can set for a host and for a router
``host``           the host engine, which puts together:
``router_list``    the potential router list: solicitation, reachability, choice of a router
``learned``        what advertisements taught: prefixes, routes, DNS, with their lifetimes
``router``         the router engine
``tables``         tables of an ISATAP interface, for both
"""

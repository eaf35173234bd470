# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo (RFC 4380) with the security updates of RFC 5991 and extensions of RFC 6081.

``server``           answers router solicitations and forwards bubbles, without state
``client``           has an address from a server and reaches other clients and native hosts
``relay``            forwards between clients and native hosts
``own_address``      how a client comes by its address, and keeps it
``qualification``    what servers are asked and answer: an address, and what NAT there is
``use``              whether a client is used: its type, managed networks, the last resort
``dormancy``         a client that sleeps until it is needed
``interval``         how long a client's NAT remembers
``servers``          the servers that a client was told of
``node``             what clients and relays have in common: finding peers
``symmetric``        being found behind a symmetric NAT whose ports can be foreseen
``local_discovery``  finding clients on the same link
``ping_test``        how a client finds the relay of a native host
``load_reduction``   finding a peer again without its server
``peers``            the peers of a node
``outbox``           what all of them send
"""

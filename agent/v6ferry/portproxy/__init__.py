# SPDX-License-Identifier: GPL-3.0-or-later
"""The data plane of PortProxy: processes that carry the bytes of TCP connections.

Each worker is a process of its own with one epoll loop; the agent tells it over a Unix socket what
to do, and it goes on while no agent runs. So it imports the standard library and its own package,
and nothing when it is at work: an upgrade may have replaced the files.

``worker``      the process: its loop, its clock, what the agent asks of it
``relay``       how bytes, ends of streams and resets pass from one socket to the other
``opening``     how a connection begins: accept, look at the source, connect
``racing``      which of several addresses is tried when (RFC 8305), without I/O
``attempts``    the sockets that race
``rules``       rules as a worker has them, their listeners and their counters
``servers``     what is particular about sockets that lead to servers
``greeting``    a client that says first for whom it speaks
``pipes``       pipes for splice(2), kept for the next user
``counts``      what workers have counted, added up
``messages``    what agent and workers say to each other
``workers``     the agent's side: starts workers, finds those of an earlier agent, and asks them
"""

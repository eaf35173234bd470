# SPDX-License-Identifier: GPL-3.0-or-later
"""How connections begin, on sockets of this process."""

from __future__ import annotations

import errno
import socket

import pytest
from v6ferry.portproxy.opening import Opener
from v6ferry.portproxy.relay import LISTENING, Relay
from v6ferry.portproxy.rules import Listener, Rule

NUMBER = 5


@pytest.fixture
def scene():
    """An opener, a listener of a rule, its clients, and the server's socket."""
    relay = Relay()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        listening.setblocking(False)
        rule = Rule("x")
        listener = Listener(listening, ("127.0.0.1", 1), LISTENING)
        rule.listeners[listener.where] = listener
        to = ["127.0.0.1", server.getsockname()[1]]
        rule.aim([{"host": "127.0.0.1", "port": 1, "targets": [to]}])
        clients = [socket.create_connection(listening.getsockname()) for _turn in range(NUMBER)]
        for client in clients:
            client.settimeout(5)
        server.settimeout(5)
        yield Opener(relay), relay, listener, clients, server
        for end in relay.ends:
            if end is not None:
                end.sock.close()
        for client in clients:
            client.close()
    relay.epoll.close()


def speak(clients):
    """Have each client say its number."""
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)


def said(server, number):
    """What so many connections bring the server first."""
    found = []
    for _turn in range(number):
        with server.accept()[0] as sock:
            sock.settimeout(5)
            found.append(sock.recv(10))
    return found


def test_all_that_wait_are_accepted_and_their_words_told_in_their_order(scene):
    opener, _relay, listener, clients, server = scene
    speak(clients)
    listener.batch = 64
    opener.accept(listener, 0.0)
    assert said(server, NUMBER) == [b"0", b"1", b"2", b"3", b"4"]
    assert listener.rule.active == NUMBER
    # One more was asked for, and was not there.
    assert listener.batch == 32


@pytest.mark.parametrize("defers", [None, True])
def test_a_connection_that_cannot_be_watched_costs_no_other(scene, monkeypatch, defers):
    opener, relay, listener, clients, server = scene
    speak(clients)
    listener.batch, listener.rule.defers = 64, defers
    watch, calls = relay.watch, []

    def failing(end, mask):
        calls.append(end)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "no more watches")
        watch(end, mask)

    monkeypatch.setattr(relay, "watch", failing)
    opener.accept(listener, 0.0)
    assert listener.rule.active == NUMBER - 1
    assert listener.rule.counters.failed == {errno.ENOSPC: 1}
    with pytest.raises(ConnectionResetError):
        clients[1].recv(1)
    assert said(server, NUMBER)[2:] == [b"2", b"3", b"4"]


def test_a_client_that_has_gone_before_it_is_served_is_no_connection_to_a_server(scene):
    opener, _relay, listener, clients, server = scene
    listener.batch, listener.rule.defers = 64, True
    for client in clients:
        # A reset, and not an end.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    opener.accept(listener, 0.0)
    assert listener.rule.active == 0
    server.settimeout(0.1)
    with pytest.raises(TimeoutError):
        server.accept()

# SPDX-License-Identifier: GPL-3.0-or-later
"""How bytes pass between two ends, on sockets that are handed in: what is sent, set and closed."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from v6ferry.portproxy.relay import EPOLLIN, EPOLLOUT, EPOLLRDHUP, SMALL, End, Relay
from v6ferry.portproxy.rules import DEFER_AFTER, Listener, Prefixes, Rule, bucket_of, packed_address


class Recorded:
    """A socket that notes what is asked of it, and does it on a Unix one."""

    def __init__(self, sock):
        self.sock, self.asked = sock, []

    def __getattr__(self, name):
        method = getattr(self.sock, name)

        def noted(*arguments):
            self.asked.append((name, *arguments))
            if name != "setsockopt":  # Unix sockets have no TCP to set
                return method(*arguments)
            return None

        return noted


@pytest.fixture
def pair():
    """A relay between a client and a server, each of which the test holds the other end of."""
    relay, rule = Relay(), Rule("x")
    rule.active = 1
    outer_client, client_sock = socket.socketpair()
    outer_server, server_sock = socket.socketpair()
    client = End(Recorded(client_sock), client_sock.fileno(), rule, True, 0.0)
    server = End(Recorded(server_sock), server_sock.fileno(), rule, False, 0.0)
    client.peer, server.peer = server, client
    for end in (client, server):
        relay.watch(end, EPOLLIN)
    for sock in (outer_client, outer_server):
        sock.settimeout(5)
    yield relay, client, server, outer_client, outer_server
    for sock in (outer_client, outer_server, client_sock, server_sock):
        sock.close()
    relay.epoll.close()


def asked(end, name):
    return [call[1:] for call in end.sock.asked if call[0] == name]


def test_little_data_is_sent_and_the_second_piece_does_not_wait_rfc9293_3_7_4(pair):
    relay, client, server, outer_client, outer_server = pair
    outer_client.sendall(b"one")
    relay.pump(client, EPOLLIN)
    outer_client.sendall(b"two")
    relay.pump(client, EPOLLIN)
    assert outer_server.recv(10) == b"onetwo"
    nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert asked(server, "setsockopt").count(nodelay) == 1
    assert client.carried == 6


def test_last_data_and_the_end_go_out_together(pair):
    relay, client, server, outer_client, outer_server = pair
    outer_server.sendall(b"answer")
    outer_server.shutdown(socket.SHUT_WR)
    relay.pump(server, EPOLLIN | EPOLLRDHUP)
    (sent,) = asked(client, "send")
    assert sent[1] & socket.MSG_MORE
    assert asked(client, "shutdown") == [(socket.SHUT_WR,)]
    assert outer_client.recv(10) == b"answer"
    assert outer_client.recv(10) == b""
    # The other way is still open, and its end closes both.
    outer_client.sendall(b"more")
    relay.pump(client, EPOLLIN)
    assert outer_server.recv(10) == b"more"
    outer_client.close()
    relay.pump(client, EPOLLIN | EPOLLRDHUP)
    assert relay.ends[client.fd] is None
    assert relay.ends[server.fd] is None
    assert client.rule.active == 0


def test_what_there_is_no_room_for_waits_and_comes_in_order(pair):
    relay, client, server, outer_client, outer_server = pair
    data = os.urandom(3_000_000)
    received, view = bytearray(), memoryview(data)
    outer_client.setblocking(False)
    outer_server.setblocking(False)
    stuck = read_at = 0
    while len(received) < len(data):
        if view:
            try:
                view = view[outer_client.send(view[:100_000]) :]
            except BlockingIOError:
                stuck += 1
        relay.pump(client, EPOLLIN)
        relay.take_turns()
        # The reader reads only when all is full, and at the end.
        if not view or stuck > read_at:
            read_at = stuck
            try:
                received += outer_server.recv(200_000)
            except BlockingIOError:
                pass
            else:
                relay.flush(server)
    assert bytes(received) == data
    assert stuck > 0
    assert client.bulk or client.carried == len(data)


def test_without_pipes_bulk_is_copied(pair, monkeypatch):
    relay, client, _server, outer_client, outer_server = pair
    monkeypatch.setattr(relay.pipes, "take", lambda: None)
    data = os.urandom(SMALL * 3 + 5)
    outer_client.sendall(data)
    relay.pump(client, EPOLLIN)
    while relay.again:
        relay.take_turns()
    received = bytearray()
    while len(received) < len(data):
        received += outer_server.recv(1 << 20)
    assert bytes(received) == data


def test_reset_is_passed_on_as_a_reset_rfc9293_3_10_5(pair):
    relay, client, server, _outer_client, _outer_server = pair
    relay.abort(client)
    lingering = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for end in (client, server):
        assert lingering in asked(end, "setsockopt")
        assert relay.ends[end.fd] is None


def test_events_of_connections_that_have_ended_are_nothing(pair):
    relay, client, server, _outer_client, _outer_server = pair
    relay.abort(client)
    relay.pump(client, EPOLLIN)
    relay.pump(server, EPOLLOUT)
    relay.flush(server)
    assert client.rule.active == 0


@pytest.fixture
def listening():
    """A rule, and its listening socket."""
    rule = Rule("x")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener(sock, ("127.0.0.1", 0), 4)
        rule.listeners[listener.where] = listener
        yield rule, sock


def test_protocols_are_told_apart_by_who_speaks_first(listening):
    rule, sock = listening

    def defers():
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0

    for _turn in range(DEFER_AFTER - 1):
        rule.client_spoke_first()
    assert not defers()
    rule.client_spoke_first()
    assert defers()
    rule.server_spoke_first()
    assert not defers()
    for _turn in range(DEFER_AFTER):
        rule.client_spoke_first()
    assert not defers()


def test_clients_that_speak_twice_get_acknowledgements_at_once(listening):
    rule, sock = listening

    def acknowledges_at_once():
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) > 0

    assert acknowledges_at_once()
    for _turn in range(DEFER_AFTER):
        rule.client_spoke_first()
    assert not acknowledges_at_once()
    rule.client_spoke_again()
    assert acknowledges_at_once()
    for _turn in range(DEFER_AFTER):
        rule.client_spoke_first()
    assert acknowledges_at_once()


def test_words_that_come_later_than_the_connection_are_its_first_all_the_same(pair):
    relay, client, server, outer_client, outer_server = pair
    for end, outer, data in (
        (client, outer_client, b"question"),
        (server, outer_server, b"answer"),
        (client, outer_client, b"another"),
    ):
        outer.sendall(data)
        relay.pump(end, EPOLLIN)
    assert client.rule.first_words == 1


def test_a_client_speaks_twice_when_no_answer_is_between_rfc9293_3_7_4(pair):
    relay, client, server, outer_client, outer_server = pair
    for end, data, speaks_twice in (
        (outer_client, b"question", None),
        (outer_server, b"answer", None),
        (outer_client, b"another", None),
    ):
        end.sendall(data)
        relay.pump(client if end is outer_client else server, EPOLLIN)
        assert client.rule.delays is speaks_twice
    client.carried, server.carried = 8, 0
    outer_client.sendall(b"and more of it")
    relay.pump(client, EPOLLIN)
    assert client.rule.delays is False


def test_durations_are_counted_by_powers_of_two():
    assert [bucket_of(one) for one in (0, 1, 2, 3, 4, 1000, 1 << 40)] == [0, 1, 2, 2, 3, 10, 31]


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("0.0.0.0/0", "192.0.2.1", "::1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("192.0.2.1/32", "::ffff:192.0.2.1", "192.0.2.2"),
        ("fe80::/10", "fe80::1%eth0", "fec0::1"),
    ],
)
def test_prefixes_hold_what_is_inside(prefix, inside, outside):
    prefixes = Prefixes([prefix])
    assert packed_address(inside) in prefixes
    assert packed_address(outside) not in prefixes
    assert packed_address(inside) not in Prefixes([])

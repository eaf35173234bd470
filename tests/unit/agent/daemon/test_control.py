# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket, with real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v6ferry.cli.control_client import ControlClient, ControlError
from v6ferry.daemon.control import (
    LONGEST_REQUEST,
    ControlServer,
    RequestError,
    SingleInstance,
)
from v6ferry.system.errors import SystemFault


async def echo(params):
    return {"params": dict(params)}


async def refuse(params):
    raise RequestError("wait: is too long; give less")


async def fail(params):
    raise ZeroDivisionError("a bug")


async def hang(params):
    await asyncio.sleep(60)
    return {}


METHODS = {"echo": echo, "refuse": refuse, "fail": fail, "hang": hang}


def serve(path, client, group=None):
    """Run ``client``, a blocking function, in a thread while the server runs."""

    async def run():
        server = ControlServer(path, METHODS, group)
        await server.start()
        try:
            return await asyncio.wait_for(asyncio.to_thread(client), 20)
        finally:
            await server.stop()

    return asyncio.run(run())


def raw(path, data):
    """What comes back for these bytes, until the server has nothing more to say."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass  # it has said why and closed
        answer = bytearray()
        while chunk := connection.recv(65536):
            answer += chunk
    return bytes(answer)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "control.sock"


def test_result_comes_back(path):
    client = ControlClient(str(path))
    assert serve(path, lambda: client.call("echo", {"a": [1]})) == {"params": {"a": [1]}}


def test_several_requests_on_one_connection(path):
    line = json.dumps({"method": "echo", "params": {}}).encode() + b"\n"
    answers = serve(path, lambda: raw(path, line * 3)).splitlines()
    assert [json.loads(one) for one in answers] == [{"result": {"params": {}}}] * 3


def test_refusal_is_the_method_s_own_words(path):
    def client():
        with pytest.raises(ControlError, match=r"^wait: is too long; give less$"):
            ControlClient(str(path)).call("refuse")

    serve(path, client)


def test_fault_of_the_agent_itself_is_said_and_the_agent_goes_on(path, caplog):
    def client():
        with pytest.raises(ControlError, match="could not carry out 'fail'"):
            ControlClient(str(path)).call("fail")
        return ControlClient(str(path)).call("echo")

    assert serve(path, client) == {"params": {}}
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello\n", "the request is not JSON"),
        (b"[]\n", "the request is not {"),
        (b'{"method": 1}\n', "the request is not {"),
        (b'{"method": "echo", "params": []}\n', "params: expected an object"),
        (b'{"method": "eat"}\n', "method: 'eat' is not one of echo, fail, hang, refuse"),
        (b"[" * 100000 + b"\n", "the request is not JSON"),
        (b"x" * (LONGEST_REQUEST + 2) + b"\n", "longer than"),
    ],
    ids=["text", "list", "number", "params", "unknown", "deep", "long"],
)
def test_bad_request_gets_one_line_that_says_why(path, line, message):
    answer = json.loads(serve(path, lambda: raw(path, line)))
    assert message in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_gets_errors_and_nothing_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "control.sock"
    for line in serve(path, lambda: raw(path, data + b"\n")).splitlines():
        assert set(json.loads(line)) == {"error"}


def test_client_that_goes_away_disturbs_nobody(path):
    def client():
        gone = socket.socket(socket.AF_UNIX)
        gone.connect(str(path))
        gone.sendall(b'{"method": "ec')
        gone.close()
        return ControlClient(str(path)).call("echo")

    assert serve(path, client) == {"params": {}}


def test_slow_request_does_not_hold_up_others(path):
    def client():
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(path))
            slow.sendall(b'{"method": "hang"}\n')
            return ControlClient(str(path)).call("echo")

    assert serve(path, client) == {"params": {}}


def test_socket_is_for_root_and_the_group_alone(path):
    group = os.getgid()

    def client():
        status = path.stat()
        return status.st_mode & 0o777, status.st_gid

    assert serve(path, client, group) == (0o660, group)


def test_socket_of_a_dead_agent_is_replaced_and_ours_goes_with_us(path):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    assert serve(path, lambda: ControlClient(str(path)).call("echo")) == {"params": {}}
    assert list(path.parent.iterdir()) == []


def test_place_that_does_not_exist_is_a_fault(tmp_path):
    with pytest.raises(SystemFault, match=r"cannot listen on .*nowhere/control\.sock"):
        serve(tmp_path / "nowhere/control.sock", lambda: None)


def test_one_agent_a_directory(tmp_path):
    first = SingleInstance(tmp_path)
    with pytest.raises(SystemFault, match=rf"process {os.getpid()}\) already works in {tmp_path}"):
        SingleInstance(tmp_path)
    first.release()
    SingleInstance(tmp_path).release()

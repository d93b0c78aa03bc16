"""Answers that clients do not take, by uvicorn itself on real sockets: who stands still is cut off, who is slow not."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from api import serving
from api.__main__ import _server, listen, port_of

BODY = 24 * 2**20
STALL_SECONDS = 0.5


async def large(_scope, _receive, send):
    """An app whose every answer is large."""
    head = [(b"content-length", str(BODY).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": bytes(BODY)})


@pytest.fixture
def port(monkeypatch):
    """Of a server of that app, which runs in a thread."""
    monkeypatch.setattr(serving, "STALL_SECONDS", STALL_SECONDS)
    listening = listen("127.0.0.1", 0, "API_PORT")
    server = _server(large)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    yield port_of(listening)
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@contextmanager
def asking(port):
    """A client with little room that has asked and taken nothing but the first bytes."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        one.settimeout(30)
        one.connect(("127.0.0.1", port))
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert one.recv(15) == b"HTTP/1.1 200 OK"
        yield one


def taken(one, pause_seconds=0.0):
    """Bytes that still come, read with a pause after each piece."""
    count = 0
    try:
        while part := one.recv(64 * 1024):
            count += len(part)
            time.sleep(pause_seconds)
    except ConnectionResetError:
        pass
    return count


def test_who_takes_nothing_of_an_answer_is_cut_off(port):
    with asking(port) as stuck:
        time.sleep(STALL_SECONDS * 4)
        assert taken(stuck) < BODY


def test_who_takes_it_slowly_gets_all_of_it(port):
    with asking(port) as slow:
        began = time.monotonic()
        assert taken(slow, 0.005) > BODY - 15
        assert time.monotonic() - began > STALL_SECONDS * 2, "it was not slow"


def test_what_nobody_takes_has_a_bound_over_all_clients(port, monkeypatch):
    monkeypatch.setattr(serving, "STALL_SECONDS", 60.0)
    monkeypatch.setattr(serving, "UNREAD_BYTES", 2 * BODY)
    with asking(port) as first, asking(port) as second:
        with asking(port) as third:
            assert taken(third) < BODY, "no room for a third"
        for one in (first, second):
            assert taken(one) > BODY - 15
    with asking(port) as again:
        assert taken(again) > BODY - 15

"""Clients that begin a request and do not go on: each is ended in time, and holds nobody else up."""

import socket
import time
from contextlib import ExitStack, closing

import pytest

from api.limits import BODY_SECONDS
from api.serving import HEAD_SECONDS
from tests.api_keys import alone

NO_SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_PORT": "1"}
SLACK_SECONDS = 10
BODY = b"POST /v1/replay/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def api(timescale, tmp_path_factory):
    with alone(timescale, tmp_path_factory.mktemp("api"), **NO_SERVERS) as (api, _):
        yield api


def begun(api, port, *parts):
    """A connection on which these bytes were sent, an answer awaited after each part but the last."""
    one = socket.create_connection(("127.0.0.1", port))
    for part in parts[:-1]:
        one.sendall(part)
        answer = one.recv(65_536)
        while not answer.endswith(b'{"live":true}'):
            answer += one.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200")
    one.sendall(parts[-1])
    return closing(one)


def rest_of(one):
    """All that still comes, until the other side closes."""
    one.settimeout(max(HEAD_SECONDS, BODY_SECONDS) + SLACK_SECONDS)
    found = b""
    try:
        while part := one.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_half_a_request_is_ended_in_time_and_holds_nothing_up(api):
    with ExitStack() as stack:
        began = time.monotonic()
        body = stack.enter_context(begun(api, api.port, BODY + b"{"))
        unheard = stack.enter_context(begun(api, api.port, BODY))
        silent = [stack.enter_context(begun(api, port, b"")) for port in (api.port, api.ws_port)]
        head = stack.enter_context(begun(api, api.port, b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-"))
        further = stack.enter_context(begun(api, api.port, WHOLE, b"GET"))
        trickling = stack.enter_context(begun(api, api.port, b"GET /"))
        while time.monotonic() < began + HEAD_SECONDS / 2:  # bytes that come are no reason to wait longer
            trickling.sendall(b"a")
            assert api.get("/v1/symbols").status_code == 200
            time.sleep(0.2)
        for late in (body, unheard):
            answer = rest_of(late)
            assert answer.startswith(b"HTTP/1.1 408"), answer
            assert b'"code":"api.body_late"' in answer
            assert answer.count(b"HTTP/1.1") == 1
        for late in (*silent, head, further, trickling):
            assert rest_of(late) == b""
        took = time.monotonic() - began
        assert min(HEAD_SECONDS, BODY_SECONDS) <= took < max(HEAD_SECONDS, BODY_SECONDS) + SLACK_SECONDS


def test_a_body_that_is_too_large_ends_its_connection(api):
    """What of it is still on its way is not taken for a further request."""
    with begun(api, api.port, BODY.replace(b": 10", b": 70000") + WHOLE) as large:
        answer = rest_of(large)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.1") == 1

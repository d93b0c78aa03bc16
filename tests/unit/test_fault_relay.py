"""The REST relay of the fault tests: bodies on time, late, and old ones again."""

import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from tests.faults import rest_relay
from tests.faults.rest_relay import LATE, OLD, PASS, RestRelay


@pytest.fixture
def relay(monkeypatch):
    """Before an exchange whose every body has another number; /nowhere is a 404."""
    numbers = count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f'{{"url":"{self.path}","number":{next(numbers)}}}'.encode()
            self.send_response(404 if self.path == "/nowhere" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            pass

    monkeypatch.setattr(rest_relay, "LATE_SECONDS", 0.3)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with RestRelay(f"http://127.0.0.1:{server.server_address[1]}") as running:
            yield running
        server.shutdown()
        thread.join()


def get(relay, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{relay.port}{path}", timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def body(path, number):
    return "application/json", f'{{"url":"{path}","number":{number}}}'


def test_bodies_pass_unchanged_with_their_questions_and_states(relay):
    assert get(relay, "/depth?symbol=A&limit=5") == body("/depth?symbol=A&limit=5", 1)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(relay, "/nowhere")
    assert relay.touched == 0


def test_a_late_body_was_fetched_when_it_was_asked_for(relay):
    relay.set(LATE)
    late = []
    asking = threading.Thread(target=lambda: late.append(get(relay, "/a")))
    began = time.monotonic()
    asking.start()
    while not relay.touched:
        time.sleep(0.01)
    relay.set(PASS)
    assert get(relay, "/a") == body("/a", 2)
    asking.join()
    assert late == [body("/a", 1)]
    assert time.monotonic() - began >= 0.3


def test_an_old_body_is_the_last_one_before(relay):
    get(relay, "/a")
    assert get(relay, "/a") == body("/a", 2)
    relay.set(OLD)
    assert [get(relay, "/a"), get(relay, "/a")] == [body("/a", 2)] * 2
    assert get(relay, "/b") == body("/b", 3), "it never had an answer before"
    relay.set(PASS)
    assert get(relay, "/a") == body("/a", 4)
    assert relay.touched == 2


def test_an_exchange_that_is_not_there_is_a_bad_gateway():
    with RestRelay("http://127.0.0.1:1") as relay, pytest.raises(urllib.error.HTTPError, match="502"):
        get(relay, "/a")


def test_a_mode_that_there_is_not_is_refused(relay):
    with pytest.raises(ValueError, match="late"):
        relay.set("fire")

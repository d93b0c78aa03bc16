"""SIGTERM ends `python -m api` in order within END_SECONDS, whatever it waits for: servers, workers, clients."""

import asyncio
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from deploy.local.ports import free_port
from tests.api_server import api_server
from tests.integration.replay_world import working
from tests.integration.verify_run import SECONDS, SYMBOLS, Made, Run, frames, started_ns, told
from tests.integration.ws_world import world
from tests.waiting import until
from tests.ws_client import client

PREFIX = "tapiends"
END_SECONDS = 20.0


@pytest.fixture(scope="module")
def there(kafka, timescale, redis_session, tmp_path_factory):
    """(settings, a function that gives a running API, first ms of a run of 75 s)."""
    more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS)}
    folder = tmp_path_factory.mktemp("api")
    with world(kafka, timescale, redis_session, folder, PREFIX, **more) as (cfg, started):
        log = frames(started_ns())
        Run(cfg, log, Made(log, cfg).outputs, told(cfg))
        yield cfg, started, log.records[0].timestamp


def end(api):
    """The names of what its end did not wait for; it was an orderly one, in time."""
    began = time.monotonic()
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(END_SECONDS) == 0
    print(f"ended after {time.monotonic() - began:.1f} s")
    return [line.get("what", line["event"]) for line in api.log() if line["event"].startswith("left_")]


@contextmanager
def asking(api, *requests):
    """These requests are under way, whatever becomes of them: (method, path, more for httpx)."""

    def ask(method, path, more):
        with suppress(httpx.HTTPError):
            httpx.request(method, f"{api.url}{path}", timeout=60, trust_env=False, **more)

    threads = [threading.Thread(target=ask, args=request) for request in requests]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


@contextmanager
def frozen(kafka):
    """The broker hangs."""
    if kafka.server is None:
        pytest.skip("a broker in a container is not paused")
    kafka.server.pause()
    try:
        yield
    finally:
        kafka.server.resume()


@contextmanager
def stalled(api, span):
    """A client that asks for a range and takes nothing of it but the first bytes."""
    query = "&".join(f"{name}={value}" for name, value in span.items())
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", api.port))
        slow.sendall(f"GET /v1/replay?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        yield


def whole(first_ms):
    return {"from": first_ms, "to": first_ms + 1000 * SECONDS}


def sessions(api):
    return [one["id"] for one in api.get("/v1/replay/sessions").json()["data"]]


def test_while_it_still_waits_for_the_database(there, kafka, redis_session, tmp_path):
    away = {"DB_HOST": "127.0.0.1", "DB_PORT": str(free_port()), "TOPIC_PREFIX": PREFIX}
    with api_server({**kafka.env, **redis_session.env, **away}, tmp_path, waits=False) as api:
        began = time.monotonic()
        while not api.log_path.exists() or "waiting_for_keys" not in api.log_path.read_text():
            assert time.monotonic() < began + 60
            time.sleep(0.1)
        assert end(api) == []


async def test_with_kafka_frozen_questions_under_way_and_a_client_that_does_not_read(there, kafka):
    _, started, first_ms = there
    requests = [
        ("GET", "/v1/lag", {}),
        ("GET", "/v1/replay/sessions", {}),
        ("GET", "/v1/replay", {"params": whole(first_ms)}),
        ("POST", "/v1/replay/sessions", {"json": whole(first_ms)}),
    ]
    with started() as api:
        async with client(api.ws_url) as one, client(api.ws_url) as stuck:
            for each in (one, stuck):
                await each.subscribe("trade:BTCUSDT", "heatmap:BTCUSDT")
                await each.until(lambda message: message["type"] == "snapshot")
            assert api.get("/v1/lag").status_code == 200
            assert sessions(api) == []
            stuck.socket.transport.pause_reading()
            with frozen(kafka), asking(api, *requests):
                await one.subscribe("trade:ETHUSDT", "ohlcv:ETHUSDT")
                await asyncio.sleep(3)  # each of them waits for Kafka by now
                assert "replays" in await asyncio.to_thread(end, api)
            stuck.socket.transport.abort()


async def test_with_an_order_that_no_worker_carries_out_then_with_a_range_that_none_sends(there):
    _, started, first_ms = there
    with started() as api, asking(api, ("POST", "/v1/replay/sessions", {"json": whole(first_ms)})):
        await until(lambda: sessions(api))
        assert end(api) == []
    with started() as another:
        assert sessions(another) == [], "it was taken away again"
        with asking(another, ("GET", "/v1/replay", {"params": whole(first_ms)})):
            await until(lambda: sessions(another))
            assert end(another) == []


def test_with_a_range_whose_client_takes_nothing(there):
    cfg, started, first_ms = there
    with working(cfg), started() as api, stalled(api, whole(first_ms)):
        time.sleep(2)  # until nothing fits between the two any more
        assert end(api) == []


def test_with_a_range_whose_worker_has_gone(there):
    cfg, started, first_ms = there
    worker = ExitStack()
    with started() as api, worker:
        worker.enter_context(working(cfg))
        with stalled(api, whole(first_ms)):
            worker.close()
            assert end(api) == ["replays"]

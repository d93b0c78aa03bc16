"""Replay over REST on a real broker, with a worker: sessions, and ranges as lines of JSON."""

import json
import re
import socket
import time

import psutil
import pytest

from COBY.codec import decode
from COBY.jsonform import plain
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from COBY.utils.intervals import format_us
from sinks.schema import migrate
from tests.api_server import api_server
from tests.conftest import delete_topics
from tests.integration.replay_world import all_of, by_sequence, derived_topics, within, working
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SECONDS, SYMBOLS, Made, Run, frames, started_ns, told
from tests.servers import eventually

PREFIX = "tapireplay"


@pytest.fixture(scope="module")
def served(kafka, timescale, redis_session, tmp_path_factory):
    """(api, first ms of a run of 75 s, its records by sequence)."""
    with timescale.database() as database:
        more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "REPLAY_SESSIONS": "3"}
        cfg = settings(kafka, database, redis_session, prefix=PREFIX, **more)
        apply_topics(cfg)
        with connect(cfg) as conn:
            migrate(conn)
        log = frames(started_ns())
        Run(cfg, log, Made(log, cfg).outputs, told(cfg))
        live = by_sequence(all_of(kafka.bootstrap_servers, *derived_topics(PREFIX)))
        env = {**kafka.env, **database.env, **redis_session.env, **more, "TOPIC_PREFIX": PREFIX}
        with working(cfg), api_server(env, tmp_path_factory.mktemp("api")) as api:
            yield api, log.records[0].timestamp, live
        delete_topics(kafka.bootstrap_servers, PREFIX)


def span(first_ms, first, last):
    return {"from": int(first_ms + 1000 * first), "to": int(first_ms + 1000 * last)}


def no_session(api):
    return eventually(lambda: api.get("/v1/replay/sessions").json()["data"] == [], 30)


def test_a_range_comes_line_by_line_as_it_was_and_leaves_nothing_behind(served):
    api, first_ms, live = served
    answer = api.get("/v1/replay", params=span(first_ms, 20, 50))
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"type": "end", "records": len(lines), "missing": [], "error": None}
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    got = {}
    for line in lines:
        if not line["prelude"]:
            got.setdefault((line["data"]["topic"], line["data"]["source"]), []).append(line["data"])
    expected = {}
    for (topic, _, source), ones in within(live, first_ms + 20_000, first_ms + 50_000).items():
        expected.setdefault((topic, source), []).extend(plain(decode(one[1])) for one in ones)
    assert {key: len(ones) for key, ones in got.items()} == {key: len(ones) for key, ones in expected.items()}
    added = ("source", "position", "topic", "partition", "offset")
    for key, ones in got.items():
        bare = [json.dumps({name: value for name, value in one.items() if name not in added}) for one in ones]
        assert sorted(bare) == sorted(json.dumps(one) for one in expected[key])
    assert no_session(api)


def test_a_range_of_some_channels_and_symbols(served):
    api, first_ms, _ = served
    symbol = next(iter(SYMBOLS))
    query = {**span(first_ms, 0, SECONDS), "symbol": symbol, "channel": ["trade", "gap"]}
    *lines, end = [json.loads(line) for line in api.get("/v1/replay", params=query).text.splitlines()]
    assert {(line["channel"], line["data"]["symbol"]) for line in lines} <= {
        ("trade", symbol),
        ("gap", symbol),
    }
    assert end["records"] == len(lines) > 0


def test_numbers_may_be_floats_here_too(served):
    api, first_ms, _ = served
    query = {**span(first_ms, 20, 40), "channel": ["trade", "book", "heatmap"]}
    exact, floats = (
        [json.loads(line) for line in api.get("/v1/replay", params=query | more).text.splitlines()]
        for more in ({}, {"numbers": "float"})
    )
    assert len(exact) > 100
    assert floats == with_floats(exact)
    assert floats != exact
    wrong = api.get("/v1/replay", params=query | {"numbers": "text"})
    assert (wrong.status_code, wrong.json()["where"]) == (422, "query.numbers")


def with_floats(value):
    """The same with a float wherever there is a decimal, which is a text of digits and eight places."""
    if isinstance(value, dict):
        return {name: with_floats(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_floats(one) for one in value]
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d{8}", value) else value


def test_a_client_that_goes_away_leaves_no_session(served):
    api, first_ms, _ = served
    with api.stream("GET", "/v1/replay", params=span(first_ms, 0, SECONDS)) as answer:
        next(answer.iter_lines())
    assert no_session(api)
    assert [line for line in api.log() if line["event"] == "range_broken_off"]


def test_a_slow_reader_costs_no_memory(served):
    api, first_ms, _ = served
    process = psutil.Process(api.process.pid)
    before = process.memory_info().rss
    query = "&".join(f"{name}={value}" for name, value in span(first_ms, 0, SECONDS).items())
    with socket.create_connection(("127.0.0.1", api.port)) as slow:
        slow.sendall(f"GET /v1/replay?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert process.memory_info().rss < before + 64 * 2**20
            time.sleep(0.2)
    assert no_session(api)


@pytest.mark.long
def test_a_client_that_takes_nothing_for_a_minute_is_cut_off(served):
    api, first_ms, _ = served
    query = "&".join(f"{name}={value}" for name, value in span(first_ms, 0, SECONDS).items())
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", api.port))
        stuck.sendall(f"GET /v1/replay?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert stuck.recv(15) == b"HTTP/1.1 200 OK"
        began = time.monotonic()
        assert eventually(lambda: api.get("/v1/replay/sessions").json()["data"] == [], 240)
        assert time.monotonic() > began + 55, "it had a minute"
        stuck.settimeout(60)
        came = b""
        try:
            while more := stuck.recv(65_536):
                came += more
        except ConnectionResetError:
            pass
        assert b'"type":"end"' not in came


def test_a_session_is_made_moved_and_deleted(served):
    api, first_ms, _ = served
    body = {
        **span(first_ms, 0, 60),
        "speed": 1,
        "channels": ["heatmap"],
        "symbols": ["BTCUSDT"],
        "start": True,
    }
    made = api.post("/v1/replay/sessions", json=body)
    assert made.status_code == 201, made.text
    one = made.json()
    assert made.headers["Location"] == f"/v1/replay/sessions/{one['id']}"
    assert (one["topic"], one["speed"], one["state"]) == (f"{PREFIX}.replay.{one['id']}.v1", 1.0, "running")
    assert one["from"] == format_us(first_ms * 1000)
    where = made.headers["Location"]
    for change, state in (
        ({"state": "paused"}, "paused"),
        ({"state": "paused"}, "paused"),
        ({"speed": 0.5}, "paused"),
    ):
        assert api.patch(where, json=change).json()["state"] == state
    moved = api.patch(where, json={"position": first_ms + 30_000, "state": "running"}).json()
    assert (moved["state"], moved["run"], moved["speed"]) == ("running", 1, 0.5)
    outside = api.patch(where, json={"position": first_ms - 1})
    assert (outside.status_code, outside.json()["where"]) == (422, "body.position")
    assert api.patch(where, json={"state": "stopped"}).json()["state"] == "stopped"
    assert api.patch(where, json={"state": "running"}).status_code == 409
    assert [session["id"] for session in api.get("/v1/replay/sessions").json()["data"]] == [one["id"]]
    assert api.delete(where).status_code == 204
    gone = api.get(where)
    assert (gone.status_code, gone.json()["code"]) == (404, "replay.unknown_session")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.to"),
        ({"from": "2026-01-02T03:04:05"}, "body.from"),
        ({"from": 1, "to": 0}, "body.to"),
        ({"from": 0, "to": 10**14}, "body.to"),
        ({"from": 0, "to": 1, "speed": -1}, "body.speed"),
        ({"from": 0, "to": 1, "speed": 0.01}, "body.speed"),
        ({"from": 0, "to": 1, "symbols": "BTCUSDT"}, "body.symbols"),
        ({"from": 0, "to": 1, "channels": ["nothing"]}, "body.channels"),
        ({"from": 0, "to": 1, "source": "dream"}, "body.source"),
        ({"from": 0, "to": 1, "settings": {"HEATMAP_DEPTH": "3"}}, "body.settings"),
        ({"from": 0, "to": 1, "more": 1}, "body.more"),
        ({"from": 0, "to": 1, "ttl_seconds": 0}, "body.ttl_seconds"),
        ({"offsets": {"other.trade.v1": {"0": [0, 1]}}}, "body.offsets"),
        ({"offsets": {f"{PREFIX}.trade.v1": {"0": [5, 1]}}}, "body.offsets"),
    ],
)
def test_a_wrong_order_names_its_field(served, body, where):
    answer = served[0].post("/v1/replay/sessions", json=body)
    assert (answer.status_code, answer.json()["where"]) == (422, where), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_range_too_long_is_refused_at_once(served):
    took = []
    for _ in range(5):
        began = time.monotonic()
        answer = served[0].get(
            "/v1/replay", params={"from": "2016-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
        )
        took.append(time.monotonic() - began)
        assert (answer.status_code, answer.json()["where"]) == (422, "query.to")
        assert "21600" in answer.json()["allowed"]
    # The best of five: work that the refusal does itself is in each of them, other people's is not.
    assert min(took) < 1


def test_lag_is_that_of_the_groups(served):
    rows = served[0].get("/v1/lag").json()
    assert rows["meta"]["total"] == sum(row["lag"] for row in rows["data"])
    unknown = served[0].get("/v1/lag", params={"group": "nobody"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "kafka.unknown_group")

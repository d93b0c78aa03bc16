"""What takes too long: ranges that are refused unread, and queries that are ended. No row is needed for it."""

import asyncio
import re
import time
from contextlib import contextmanager

import psycopg
import pytest

from api import services
from tests.api_data import api, moment, prepare
from tests.integration.sink_helpers import settings

RANGES = {
    "/v1/trades": {"symbol": "BTCUSDT"},
    "/v1/flow": {"symbol": "BTCUSDT"},
    "/v1/ohlcv": {"symbol": "BTCUSDT", "timeframe": "1d"},
    "/v1/heatmap": {"symbol": "BTCUSDT"},
    "/v1/metrics/binance/BTCUSDT": {},
    "/v1/gaps": {},
    "/v1/continuity": {},
    "/v1/quality": {},
}
"""Each route with a range of the tables -> what it wants beside one."""
TEN_YEARS = {"from": "2016-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}


@pytest.fixture
def cfg(database, redis_server, topic_prefix):
    cfg = settings(database, redis_server, prefix=topic_prefix, EXCHANGES="binance")
    prepare(cfg)
    return cfg


@contextmanager
def locked(dsn):
    """No table can be read."""
    with psycopg.connect(dsn) as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert len(tables) >= 10
        conn.execute(f"LOCK TABLE {', '.join(name for (name,) in tables)} IN ACCESS EXCLUSIVE MODE")
        yield


async def test_these_are_all_ranges_that_there_are(cfg):
    async with api(cfg) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    found = {
        path.format(exchange="binance", symbol="BTCUSDT")
        for path, item in paths.items()
        if {"from", "cursor"} <= {one["name"] for one in item.get("get", {}).get("parameters", ())}
    }
    assert found == set(RANGES)


async def test_ten_years_are_refused_in_less_than_a_second_without_a_look_at_any_table(cfg, database):
    async with api(cfg) as client:
        with locked(database.dsn):
            for path, query in RANGES.items():
                took = []
                for _ in range(5):
                    began = time.monotonic()
                    answer = await client.get(path, params=query | TEN_YEARS)
                    took.append(time.monotonic() - began)
                    assert (answer.status_code, answer.json()["code"]) == (422, "api.range_too_long"), path
                    unit = "hours" if path == "/v1/flow" else "days"  # trades are added up for the question
                    assert re.match(rf"at most \d+ {unit} in", answer.json()["allowed"]), path
                # The best of five: work that the refusal does itself is in each of them, other people's is not.
                assert min(took) < 1, path


async def test_a_query_that_takes_too_long_is_ended_and_the_next_one_answered(cfg, database, monkeypatch):
    monkeypatch.setattr(services, "STATEMENT_SECONDS", 1)  # ten are what is documented
    span = {"from": moment(0), "to": moment(60)}
    async with api(cfg) as client:
        with locked(database.dsn):
            answers = await asyncio.gather(
                *(client.get(path, params=query | span) for path, query in RANGES.items())
            )
        for path, answer in zip(RANGES, answers, strict=True):
            assert (answer.status_code, answer.json()["code"]) == (503, "db.timeout"), path
            assert answer.json()["allowed"] == "a smaller range"
            assert int(answer.headers["Retry-After"]) > 0
        for path, query in RANGES.items():
            assert (await client.get(path, params=query | span)).status_code == 200, path

"""What the tests of the data routes share: the app in this process, records as the sinks write them, SQL by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
from prometheus_client import CollectorRegistry

from api.app import make_app
from api.services import open_services
from api.ws.sockets import open_sockets
from COBY.config import Config
from COBY.runtime.database import connect
from COBY.runtime.metrics import Metrics
from COBY.utils.timing import from_us
from sinks.schema import migrate

SECOND_US = 1_000_000
START_US = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z
START = from_us(START_US)


def prepare(cfg: Config) -> None:
    """Tables."""
    with connect(cfg) as conn:
        migrate(conn)


@asynccontextmanager
async def api(cfg: Config) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole app, guard and all."""
    async with (
        open_services(cfg, Metrics(CollectorRegistry()), asyncio.Event()) as services,
        open_sockets(services) as sockets,
    ):
        transport = httpx.ASGITransport(make_app(services, sockets), client=("127.0.0.1", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


def moment(seconds: float) -> str:
    """RFC 3339, so many seconds after START."""
    return from_us(START_US + round(seconds * SECOND_US)).isoformat().replace("+00:00", "Z")


def stamp(seconds: float) -> str:
    """The same as answers have it."""
    return from_us(START_US + round(seconds * SECOND_US)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def insert(dsn: str, table: str, *rows: dict[str, Any]) -> None:
    """Rows by plain SQL; dicts and lists as JSON."""
    with psycopg.connect(dsn, autocommit=True) as conn, conn.cursor() as cursor:
        for row in rows:
            names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
            values = [json.dumps(one) if isinstance(one, dict | list) else one for one in row.values()]
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)


def ticks(dsn: str, first: int, end: int, symbol: str = "BTCUSDT", **missing: str) -> None:
    """Stored ticks of the seconds first … end - 1 after START, all exchanges there but ``missing``."""
    exchanges = json.dumps([{"exchange": "binance", "covered_low": None, "covered_high": None}])
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO heatmap_ticks SELECT %s, %s + second * interval '1 second', 10, %s, %s, 90, 110"
            " FROM generate_series(%s::int, %s::int) AS second",
            [symbol, START, exchanges, json.dumps(missing), first, end - 1],
        )

"""Whether a process of the API can answer: each server that it needs, within a time of its own, and fresh data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import NamedTuple

import psycopg
import redis
from confluent_kafka import KafkaException
from psycopg_pool import PoolTimeout

from api.services import Services
from COBY.runtime.redis import latest_key
from COBY.utils.exceptions import CobyError
from COBY.utils.intervals import parse_time, to_us
from COBY.utils.timing import utc_now

CHECK_SECONDS = 2.0
FRESH_SECONDS = 10.0
"""A heatmap comes each tick; one that is older than this is no live one."""
_TROUBLE = (psycopg.Error, PoolTimeout, redis.RedisError, KafkaException, CobyError, TimeoutError, OSError)


class Result(NamedTuple):
    """What one check has found."""

    name: str
    ok: bool
    text: str


async def examine(services: Services) -> list[Result]:
    """Every check, all at once."""
    checks = {"database": _database(services), "redis": _redis(services), "kafka": _kafka(services)}
    checks |= {f"heatmap {symbol}": _heatmap(services, symbol) for symbol in services.cfg.symbols}
    return list(await asyncio.gather(*(_result(name, check) for name, check in checks.items())))


async def _result(name: str, check: Awaitable[str]) -> Result:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Result(name, True, await check)
    except _StaleError as error:
        return Result(name, False, str(error))
    except TimeoutError:
        return Result(name, False, f"no answer within {CHECK_SECONDS:g} s")
    except _TROUBLE as error:
        return Result(name, False, type(error).__name__)  # its text may name hosts and users


async def _database(services: Services) -> str:
    async with services.pool.connection() as connection:
        await connection.execute("SELECT FROM schema_version")
    return "answers"


async def _redis(services: Services) -> str:
    await services.redis.get(latest_key(services.cfg.topic_prefix, "status"))
    return "answers"


async def _kafka(services: Services) -> str:
    await asyncio.to_thread(services.kafka.list_topics, timeout=CHECK_SECONDS)
    return "answers"


class _StaleError(Exception):
    pass


async def _heatmap(services: Services, symbol: str) -> str:
    text = await services.redis.get(latest_key(services.cfg.topic_prefix, "heatmap", symbol))
    if text is None:
        raise _StaleError("none yet")
    age_seconds = (to_us(utc_now()) - parse_time(json.loads(text)["timestamp"])) / 1_000_000
    if age_seconds > FRESH_SECONDS:
        raise _StaleError(f"{age_seconds:.1f} s old, allowed are {FRESH_SECONDS:g}")
    return f"{age_seconds:.1f} s old"

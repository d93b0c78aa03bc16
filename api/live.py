"""The newest records, from Redis, with their age. A book that is not proven is told without levels, never as empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.history.holes import NOT_LISTED
from COBY.jsonform import with_floats
from COBY.runtime.redis import AsyncClient, built_key, latest_key
from COBY.utils.exceptions import StorageError
from COBY.utils.intervals import US_PER_SECOND, parse_time

STALE_US = 5 * US_PER_SECOND
"""What is older is told as stale; a status that old says nothing any more."""
SCAN_KEYS = 1_000

Record = dict[str, Any]


async def newest(client: AsyncClient, prefix: str, channel: str, *parts: str) -> Record:
    """The newest record of that key, as JSON. redis.RedisError; StorageError `redis.not_built`, `redis.no_value`."""
    (found,) = await all_newest(client, prefix, channel, [parts])
    if found is None and not await client.exists(built_key(prefix)):
        text = "Redis is empty, or just being filled by its sink"
        raise StorageError("redis.not_built", text, allowed="asking again")
    if found is None:
        raise StorageError(
            "redis.no_value",
            f"nothing is known of {channel} {' '.join(parts)} yet",
            where=latest_key(prefix, channel, *parts),
            allowed="asking again: it comes with the next record of its topic, if the pipeline runs",
        )
    return found


async def all_newest(
    client: AsyncClient, prefix: str, channel: str, keys: Sequence[Sequence[str]]
) -> list[Record | None]:
    """The newest records of these keys; None where there is none. redis.RedisError."""
    names = [latest_key(prefix, channel, *parts) for parts in keys]
    values = await client.mget(names) if names else []
    return [None if value is None else json.loads(value) for value in values]


async def statuses(client: AsyncClient, prefix: str) -> list[Record]:
    """The newest status of every slot that ever had one, by slot. redis.RedisError."""
    pattern = latest_key(prefix, "status", "*")
    names = [name async for name in client.scan_iter(match=pattern, count=SCAN_KEYS)]
    values = await client.mget(names) if names else []
    found: list[Record] = [json.loads(value) for value in values if value is not None]
    return sorted(found, key=lambda record: str(record["slot"]))


def age_ms(record: Mapping[str, Any], now_us: int, field: str = "timestamp") -> int:
    """Milliseconds since the record's time; a clock that is ahead of ours makes nothing younger than now."""
    return max(0, now_us - parse_time(record[field])) // 1_000


def said(record: Mapping[str, Any], now_us: int, missing: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`meta` of a newest record: its age, and who is missing in it and why: (exchange, reason)."""
    age = age_ms(record, now_us)
    stale = age * 1_000 > STALE_US
    gaps = [
        {
            "symbol": record["symbol"],
            "exchange": exchange,
            "from": record["timestamp"],
            "to": None,
            "reason": reason,
        }
        for exchange, reason in missing
        if reason != NOT_LISTED
    ]
    return {
        "complete": not gaps and not stale,
        "gaps": gaps,
        "more_gaps": False,
        "age_ms": age,
        "stale": stale,
    }


def shown(schema: str, record: Record, *, floats: bool) -> Record:
    """The record, with floats for its decimals if they are wanted."""
    return with_floats(schema, record) if floats else record


def cut(record: Record, depth: int) -> Record:
    """A book with at most ``depth`` levels a side; one that is not proven has null for them: it is not empty."""
    if not record.get("live", record.get("exchanges")):
        hidden = record.keys() & {"bids", "asks", "bid_buckets", "ask_buckets"}
        return record | dict.fromkeys(hidden)
    return record | {side: record[side][:depth] for side in ("bids", "asks")}

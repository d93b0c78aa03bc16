"""What a record becomes in Redis: keys, JSON, position. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from COBY.records import Record
from COBY.runtime.redis import feed_key, latest_key, positions_key
from COBY.values import key_parts, value_of

CHANNELS = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv", "status")
"""Names of the topics that are cached."""

TAILS = {"ohlcv": 50_000, "gap": 10_000, "quality": 10_000, "continuity": 10_000, "status": 10_000}
TAIL = 2_000
"""Records of a partition read back into an empty Redis. The channels of TAILS have keys that change rarely."""

FEED_LENGTHS = {"trade": 10_000, "gap": 10_000, "quality": 10_000, "continuity": 10_000}
FEED_LENGTH = 1_000
"""Entries a live feed keeps (about): minutes for the channels of every tick."""

Position = tuple[int, int]

_JSON = msgspec.json.Encoder()


class Entry(NamedTuple):
    """One record for Redis: what the script writes, if ``position`` is newer than the last of ``field``."""

    latest: str
    feed: str
    positions: str
    field: str
    position: Position
    value: bytes
    feed_length: int


class Origin(NamedTuple):
    """Where a record came from."""

    topic: str
    partition: int
    offset: int


def entry_of(
    prefix: str, channel: str, record: Record, source: str, position: Position, origin: Origin
) -> Entry:
    """The entry of a record of that channel."""
    parts = key_parts(record)
    latest = latest_key(prefix, channel, *parts)
    value = value_of(record, source, position, *origin)
    return Entry(
        latest,
        feed_key(prefix, channel, parts[0]),
        positions_key(prefix, origin.topic, origin.partition),
        f"{latest}|{source}",
        position,
        _JSON.encode(value),
        FEED_LENGTHS.get(channel, FEED_LENGTH),
    )

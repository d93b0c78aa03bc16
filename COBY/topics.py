"""The one table of topics: names, keys, partitions, retention, cleanup. ``coby topics apply`` makes Kafka follow it."""

from __future__ import annotations

from typing import NamedTuple

RAW_PARTITIONS = 4
PARTITIONS = 12
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""On brokers, topics and clients: one exchange's snapshots are megabytes, Kafka's default of 1 MiB refuses them."""

STAGES = ("normalize", "aggregate")

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
FOREVER = -1


class Topic(NamedTuple):
    """One row. ``{}`` in ``pattern`` stands for an exchange, a stage or a session."""

    name: str
    pattern: str
    key: str
    schema: str | None
    partitions: int
    retention_ms: int
    cleanup: str
    sentence: str
    also: tuple[str, ...] = ()
    """Schemas of further records that lie in it under keys of their own."""


TOPICS: dict[str, Topic] = {
    row.name: row
    for row in (
        Topic("raw", "raw.{}", "slot", None, RAW_PARTITIONS, 7 * DAY_MS, "delete", "frames as received"),
        Topic("trade", "trade", "symbol", "trade", PARTITIONS, 7 * DAY_MS, "delete", "accepted trades"),
        Topic(
            "book",
            "book",
            "symbol",
            "book",
            PARTITIONS,
            2 * DAY_MS,
            "delete",
            "one book per exchange and tick",
        ),
        Topic("gap", "gap", "symbol", "gap", PARTITIONS, 30 * DAY_MS, "delete", "holes, from-to and why"),
        Topic(
            "quality", "quality", "symbol", "quality", PARTITIONS, 30 * DAY_MS, "delete", "quality by minute"
        ),
        Topic(
            "continuity",
            "continuity",
            "symbol",
            "continuity",
            PARTITIONS,
            30 * DAY_MS,
            "delete",
            "when books were proven",
        ),
        Topic(
            "heatmap",
            "heatmap",
            "symbol",
            "heatmap",
            PARTITIONS,
            2 * DAY_MS,
            "delete",
            "cross-exchange heatmaps",
        ),
        Topic(
            "consolidated",
            "consolidated",
            "symbol",
            "consolidated",
            PARTITIONS,
            2 * DAY_MS,
            "delete",
            "one book",
        ),
        Topic(
            "ohlcv",
            "ohlcv",
            "symbol",
            "ohlcv",
            PARTITIONS,
            30 * DAY_MS,
            "delete",
            "candles of all timeframes",
        ),
        Topic("status", "status", "slot", "status", PARTITIONS, FOREVER, "compact", "connection states"),
        Topic("control", "control", "exchange", "control", PARTITIONS, DAY_MS, "delete", "resync requests"),
        Topic(
            "settings", "settings", "hash", "settings", 1, FOREVER, "compact", "settings that shape results"
        ),
        Topic(
            "session",
            "session",
            "session",
            "session",
            PARTITIONS,
            FOREVER,
            "compact",
            "replay sessions and their places",
            ("place",),
        ),
        *(
            Topic(
                f"state.{stage}",
                f"state.{stage}",
                "task and number mod 4",
                None,
                PARTITIONS,
                FOREVER,
                "compact",
                f"recovery snapshots of {stage}",
            )
            for stage in STAGES
        ),
        *(
            Topic(
                f"checkpoint.{stage}",
                f"checkpoint.{stage}",
                "task and number mod 4",
                None,
                PARTITIONS,
                7 * DAY_MS,
                "delete",
                f"hourly snapshots of {stage}",
            )
            for stage in STAGES
        ),
        Topic(
            "dlq", "dlq", "original key", None, PARTITIONS, 30 * DAY_MS, "delete", "what could not be used"
        ),
    )
}


REPLAY = Topic(
    "replay", "replay.{}", "symbol", None, 1, FOREVER, "delete", "what a replay session has released"
)
"""The topic of one session: made and deleted with it, so it is in no table of what must be there."""


def topic_name(prefix: str, name: str, part: str | None = None) -> str:
    """``topic_name("coby", "heatmap")`` -> ``coby.heatmap.v1``; ``part`` fills the pattern. KeyError: no such row."""
    return f"{prefix}.{TOPICS[name].pattern.format(part)}.v1"


def all_topics(prefix: str, exchanges: tuple[str, ...]) -> dict[str, Topic]:
    """Full name -> row of every topic that a system with these exchanges has."""
    names = {topic_name(prefix, "raw", exchange): TOPICS["raw"] for exchange in exchanges}
    return names | {topic_name(prefix, name): row for name, row in TOPICS.items() if name != "raw"}


def topic_config(row: Topic) -> dict[str, str]:
    """Kafka's settings of a topic of this row."""
    config = {
        "cleanup.policy": row.cleanup,
        "retention.ms": str(row.retention_ms),
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
        # Kafka refuses times more than an hour ahead: a refused record would be a lost one.
        "message.timestamp.after.max.ms": str(2**63 - 1),
    }
    if row.cleanup == "compact":
        config |= {"segment.bytes": str(16 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.1"}
        # What is read at each start is to be short: rolled and cleaned soon also where little is written.
        config |= {"segment.ms": str(10 * MINUTE_MS), "max.compaction.lag.ms": str(20 * MINUTE_MS)}
    if row.name == "raw":
        config["retention.bytes"] = str(8 * 1024**3)
    return config


def partition_of(key: bytes, count: int) -> int:
    """The partition of a key, as librdkafka's ``partitioner=murmur2_random`` and the Java client choose it."""
    return (murmur2(key) & 0x7FFFFFFF) % count


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 (seed 0x9747b28c) as an unsigned 32-bit int."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    value = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        part = int.from_bytes(data[at : at + 4], "little") * factor & mask
        part = (part ^ part >> 24) * factor & mask
        value = value * factor & mask ^ part
    if tail := data[whole:]:
        value = (value ^ int.from_bytes(tail, "little")) * factor & mask
    value = (value ^ value >> 13) * factor & mask
    return value ^ value >> 15

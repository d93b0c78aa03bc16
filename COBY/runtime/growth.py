"""What fills the disks, and how fast: topics by their offsets and newest records, tables by their chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from COBY.config import Config
from COBY.forecast import Growth
from COBY.runtime.database import Connection
from COBY.topics import Topic, all_topics

SAMPLE_SECONDS = 600
"""A topic's rate is measured over the last ten minutes."""
SAMPLE_RECORDS = 200
"""And the size of a record over this many of the newest."""
_CHUNKS = """
SELECT h.hypertable_name, extract(epoch FROM c.chunk_creation_time)::float8, s.total_bytes::float8
FROM timescaledb_information.hypertables h,
    chunks_detailed_size(format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass) s
    JOIN timescaledb_information.chunks c ON (c.chunk_schema, c.chunk_name) = (s.chunk_schema, s.chunk_name)
WHERE h.hypertable_schema = current_schema()
ORDER BY 1, 2
"""


def of_topics(config: Config, timeout: float) -> list[Growth]:
    """Each topic from which retention deletes. Records are counted uncompressed: an upper bound.

    `timeout`: seconds a question. KafkaException where Kafka does not answer.
    """
    settings: dict[str, Any] = {"group.id": "coby-growth", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer({**config.kafka_client_settings(), **settings})
    try:
        there = consumer.list_topics(timeout=timeout).topics
        rows = all_topics(config.topic_prefix, config.exchanges)
        return [
            _of_topic(consumer, [TopicPartition(name, part) for part in there[name].partitions], row, config)
            for name, row in rows.items()
            if row.cleanup == "delete" and name in there
        ]
    finally:
        consumer.close()


def _of_topic(consumer: Consumer, partitions: list[TopicPartition], row: Topic, config: Config) -> Growth:
    since_ms = int((time.time() - SAMPLE_SECONDS) * 1_000)
    asked = [TopicPartition(each.topic, each.partition, since_ms) for each in partitions]
    held = came = 0
    ends: list[tuple[TopicPartition, int, int]] = []
    for start in consumer.offsets_for_times(asked, 5.0):
        low, high = consumer.get_watermark_offsets(start, 5.0)
        held += high - low
        came += high - max(low, start.offset) if start.offset >= 0 else 0
        ends.append((start, low, high))
    size = _mean_bytes(consumer, ends) if held else 0.0
    keep = config.retention_raw if row.name == "raw" else row.retention_ms / 1_000
    return Growth(partitions[0].topic, came * size / SAMPLE_SECONDS, held * size, max(0.0, keep))


def _mean_bytes(consumer: Consumer, ends: list[tuple[TopicPartition, int, int]]) -> float:
    """Of the newest records."""
    each = max(1, SAMPLE_RECORDS // len(ends))
    consumer.assign(
        [
            TopicPartition(at.topic, at.partition, max(low, high - each))
            for at, low, high in ends
            if high > low
        ]
    )
    sizes = [_size(record) for record in consumer.consume(SAMPLE_RECORDS, 2.0) if not record.error()]
    return sum(sizes) / len(sizes) if sizes else 0.0


def _size(record: Any) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers() or ())
    return len(record.value() or b"") + len(record.key() or b"") + headers


def of_tables(conn: Connection, config: Config, candles: str = "ohlcv_data") -> list[Growth]:
    """Each hypertable: what its two newest chunks took since the older of them was made. psycopg.Error."""
    chunks: dict[str, list[tuple[float, float]]] = {}
    for name, made_at, size in conn.execute(_CHUNKS):
        assert isinstance(made_at, float)
        assert isinstance(size, float)
        chunks.setdefault(str(name), []).append((made_at, size))
    return [
        Growth(
            name,
            sum(size for _, size in found[-2:]) / max(1.0, time.time() - found[-2:][0][0]),
            sum(size for _, size in found),
            config.retention_candles if name == candles else config.retention_tables,
        )
        for name, found in chunks.items()
    ]


def lines(growths: list[Growth]) -> Iterator[str]:
    """The fastest first, as a person reads them: `coby.raw.x.v1 1.2 GiB a day`."""
    for growth in sorted(growths, key=lambda growth: -growth.bytes_per_second):
        yield f"{growth.name} {growth.bytes_per_second * 86_400 / 2**30:.2f} GiB a day"

"""What fills the disks, and how fast: topics by their offsets and newest records, tables by their chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # re-exported without __all__

from COBY.config import Config
from COBY.forecast import Growth
from COBY.runtime.database import Connection
from COBY.runtime.kafka import admin
from COBY.runtime.offsets import Partition, offsets_at
from COBY.runtime.topics_admin import wanted_config
from COBY.topics import Topic, all_topics

SAMPLE_SECONDS = 600
"""A topic's rate is measured over the last ten minutes."""
SAMPLE_RECORDS = 200
"""And the size of a record over this many of the newest."""
READ_SECONDS = 2.0
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

    `timeout`: seconds for the first answer. KafkaException or TimeoutError where Kafka does not answer.
    """
    client = admin(config)
    there = client.list_topics(timeout=timeout).topics
    rows = {
        name: row
        for name, row in all_topics(config.topic_prefix, config.exchanges).items()
        if row.cleanup == "delete" and name in there
    }
    every = [(name, number) for name in rows for number in there[name].partitions]
    since_ms = int((time.time() - SAMPLE_SECONDS) * 1_000)
    low = offsets_at(client, every, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
    high = offsets_at(client, every, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    then = offsets_at(client, every, OffsetSpec.for_timestamp(since_ms))
    spans = [Span(each, low[each], then[each], high[each]) for each in every]
    settings: dict[str, Any] = {"group.id": "coby-growth", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer({**config.kafka_client_settings(), **settings})
    try:
        return [
            _of_topic(consumer, name, [span for span in spans if span.partition[0] == name], row, config)
            for name, row in rows.items()
        ]
    finally:
        consumer.close()


class Span(NamedTuple):
    """One partition: its oldest offset, the first of the sample's time (-1: none came since), its end."""

    partition: Partition
    low: int
    then: int
    high: int


def _of_topic(consumer: Consumer, name: str, spans: list[Span], row: Topic, config: Config) -> Growth:
    held = sum(span.high - span.low for span in spans)
    came = sum(span.high - max(span.low, span.then) for span in spans if span.then >= 0)
    size = _mean_bytes(consumer, spans) if held else 0.0
    rate = came * size / SAMPLE_SECONDS
    return Growth(name, rate, held * size, _keep_seconds(wanted_config(row, config), rate, len(spans)))


def _keep_seconds(settings: dict[str, str], rate: float, partitions: int) -> float:
    """How long a topic keeps what comes at this rate, by time and by size; 0: for ever."""
    seconds = max(0.0, int(settings["retention.ms"]) / 1_000)
    size = int(settings.get("retention.bytes", -1))
    if size < 0 or not rate:
        return seconds
    full = size * partitions / rate
    return min(seconds, full) if seconds else full


def _mean_bytes(consumer: Consumer, spans: list[Span]) -> float:
    """Of the newest records."""
    each = max(1, SAMPLE_RECORDS // len(spans))
    first = {span.partition: max(span.low, span.high - each) for span in spans if span.high > span.low}
    wanted = sum(span.high - first[span.partition] for span in spans if span.partition in first)
    consumer.assign([TopicPartition(*partition, offset) for partition, offset in first.items()])
    records = consumer.consume(wanted, READ_SECONDS)
    sizes = [_size(record) for record in records if not record.error()]
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

"""Where a partition starts: what sink_progress says, compared with what Kafka has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from COBY.runtime.database import Connection
from COBY.utils.exceptions import StorageError
from sinks.intake import Partition


class Start(NamedTuple):
    """Where partitions start, by the database, and the positions taken before."""

    offsets: dict[Partition, int]
    positions: dict[Partition, dict[str, str]]


def read_start(
    conn: Connection, partitions: list[Partition], bounds: Mapping[Partition, tuple[int, int]]
) -> Start:
    """The starting offsets of these partitions; those never seen begin at Kafka's oldest record.

    ``bounds``: (oldest offset, end offset) in Kafka.

    StorageError `db.progress_ahead` where the database is ahead of Kafka: the topic is not the one it was.
    """
    start = Start({}, {})
    for partition in partitions:
        low, end = bounds[partition]
        with conn.transaction():
            next_offset, positions = _stored(conn, partition, low)
        if next_offset > end:
            text = (
                f"the database has stored {partition[0]}/{partition[1]} up to {next_offset}, it ends at {end}"
            )
            allowed = (
                "the topic it was stored from; for a new one another TOPIC_PREFIX or an empty sink_progress"
            )
            raise StorageError("db.progress_ahead", text, allowed=allowed)
        start.offsets[partition] = next_offset
        start.positions[partition] = positions
    return start


def _stored(conn: Connection, partition: Partition, low: int) -> tuple[int, dict[str, str]]:
    conn.execute(
        "INSERT INTO sink_progress (topic, partition, next_offset, positions) VALUES (%s, %s, %s, '{}') "
        "ON CONFLICT DO NOTHING",
        [*partition, low],
    )
    row = conn.execute(
        "SELECT next_offset, positions FROM sink_progress WHERE topic = %s AND partition = %s",
        list(partition),
    ).fetchone()
    assert row is not None
    return row  # type: ignore[return-value]  # bigint and jsonb, as declared in the migration

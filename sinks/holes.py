"""What Kafka's retention took before it was stored becomes a gap record: an explicit one, never silence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from COBY.utils.logging import get_logger
from sinks.batch import Hole
from sinks.tables import GAPS
from sinks.writer import Cursor, write_rows

ANY_SYMBOL = "*"
REASON = "retention"

log = get_logger(__name__)


def write_holes(cursor: Cursor, holes: Sequence[Hole]) -> None:
    """A row in gaps per hole: symbol `*`, exchange `<topic>/<partition>`, from the last write until now."""
    now = datetime.now(UTC)
    for hole in holes:
        topic = hole.topic.split(".", 1)[1].rsplit(".", 1)[0]
        cursor.execute(
            "SELECT updated_at FROM sink_progress WHERE topic = %s AND partition = %s",
            [hole.topic, hole.partition],
        )
        row = cursor.fetchone()
        since = now if row is None else row[0]
        detail = (
            f"{hole.topic}/{hole.partition}: offsets {hole.first} to {hole.end - 1} were gone before stored"
        )
        values = (ANY_SYMBOL, f"{topic}/{hole.partition}", since, now, REASON, None, detail, now, None)
        write_rows(cursor, GAPS, [values])
        log.error("records_lost", topic=hole.topic, partition=hole.partition, first=hole.first, end=hole.end)

"""What a task has found out that a person may ask for: gaps, under the id of the connection they happened on."""

from __future__ import annotations

from collections.abc import Iterable

from COBY.codec import decode
from COBY.records import Gap
from COBY.stage import Output
from COBY.utils.logging import get_logger

log = get_logger(__name__)


def tell(outputs: Iterable[Output]) -> None:
    """Log each gap as it begins and as it ends; the producer's lines of its connection have the same id."""
    for output in outputs:
        if output.topic != "gap":
            continue
        gap = decode(output.value)
        assert isinstance(gap, Gap)
        event = "gap_begins" if gap.until_time is None else "gap_ends"
        where = {"exchange": gap.exchange, "symbol": gap.symbol, "reason": gap.reason}
        log.info(event, **where, detail=gap.detail, correlation_id=gap.conn)

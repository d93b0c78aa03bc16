"""From the tasks' totals to the process's metrics."""

from __future__ import annotations

from COBY.runtime.metrics import BLIND, LIVE, Metrics
from streams.saving import Reader

Key = tuple[str, ...]


def count(reader: Reader, metrics: Metrics) -> None:
    """Add what a task has counted since the last call."""
    totals = reader.task.counters()
    grown = {key: total - reader.counted.get(key, 0) for key, total in totals.items()}
    reader.counted = totals
    stage, exchange = reader.source.stage, reader.source.exchange
    for key, increase in grown.items():
        if increase > 0:
            _add(metrics, stage, exchange, key, increase)
    if exchange is not None:
        _show_books(metrics, exchange, grown)


def _add(metrics: Metrics, stage: str, exchange: str | None, key: Key, increase: int) -> None:
    match key:
        case ("rejected", code):
            metrics.dead_letters.labels(stage, code).inc(increase)
            if exchange is not None:
                metrics.rejected.labels(exchange, code).inc(increase)
        case ("frames", *_) if exchange is not None:
            metrics.frames.labels(exchange).inc(increase)
        case ("clock_skew",) if exchange is not None:
            metrics.skew.labels(exchange).inc(increase)
        case ("gaps", symbol, reason) if exchange is not None:
            metrics.gaps.labels(exchange, symbol, reason).inc(increase)


def _show_books(metrics: Metrics, exchange: str, grown: dict[Key, int]) -> None:
    """A book is shown live if all its ticks since the last call were."""
    symbols = {key[1] for key, increase in grown.items() if key[0] == "ticks" and len(key) == 3 and increase}
    for symbol in symbols:
        state = BLIND if grown.get(("ticks", symbol, "blind")) else LIVE
        metrics.book_state.labels(exchange, symbol).set(state)

"""From the tasks' totals to the process's metrics: once a second, so that a record costs a task one addition."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from faust.types import TP

from COBY.runtime.metrics import BLIND, LIVE, NOT_LISTED, Metrics
from streams.saving import Reader

Key = tuple[str, ...]
Book = tuple[str, str]
"""Exchange, symbol."""
MICROSECONDS = 1_000_000


class Shown:
    """Which books this worker tells of. One that another worker has now is blind here: the rules take the best."""

    def __init__(self) -> None:
        self._books: dict[TP, set[Book]] = {}

    def count(self, readers: Iterable[tuple[TP, Reader]], metrics: Metrics, now_seconds: float) -> None:
        """Take over what all tasks have counted; ``now_seconds``: of the clock in `Reader.saved_at`."""
        ours = dict(readers)
        for tp, reader in ours.items():
            self._books.setdefault(tp, set()).update(count(reader, metrics))
        for tp in self._books.keys() - ours.keys():
            for exchange, symbol in self._books.pop(tp):
                metrics.book_state.labels(exchange, symbol).set(BLIND)
        for stage in {reader.source.stage for reader in ours.values()}:
            metrics.snapshot_age.labels(stage).set(snapshot_age(stage, ours.values(), now_seconds))


def snapshot_age(stage: str, readers: Collection[Reader], now_seconds: float) -> float:
    """Seconds since the oldest of the stage's last snapshots; a task that has not gone on since needs no newer one."""
    since = [
        reader.saved_at
        for reader in readers
        if reader.source.stage == stage and reader.saved != reader.next_offset
    ]
    return max(0.0, now_seconds - min(since, default=now_seconds))


def count(reader: Reader, metrics: Metrics) -> set[Book]:
    """Add what a task has counted since the last call; the books whose state it told."""
    totals = reader.task.counters()
    grown = {key: total - reader.counted.get(key, 0) for key, total in totals.items()}
    reader.counted = totals
    stage, exchange = reader.source.stage, reader.source.exchange
    for key, increase in grown.items():
        if increase > 0:
            _add(metrics, stage, exchange, key, increase)
    if exchange is None:
        return set()
    trades = sum(increase for key, increase in grown.items() if key[0] == "trades")
    if trades:
        # The mean of a second: each trade by itself would cost the worker more than it tells.
        metrics.hops.labels("receive").observe(max(0.0, grown.get(("delay_us",), 0) / trades / MICROSECONDS))
    return _show_books(metrics, exchange, grown)


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
        case ("quality", name, symbol) if exchange is not None:
            unit = MICROSECONDS if name.endswith("_us") else 1
            metrics.by_book[name].labels(exchange, symbol).inc(increase / unit)


def _show_books(metrics: Metrics, exchange: str, grown: dict[Key, int]) -> set[Book]:
    """A book is shown live if all its ticks since the last call were."""
    symbols = {key[1] for key, increase in grown.items() if key[0] == "ticks" and len(key) == 3 and increase}
    for symbol in symbols:
        state = LIVE
        if grown.get(("ticks", symbol, "blind")):
            state = BLIND
        elif grown.get(("ticks", symbol, "not_listed")):
            state = NOT_LISTED
        metrics.book_state.labels(exchange, symbol).set(state)
    return {(exchange, symbol) for symbol in symbols}

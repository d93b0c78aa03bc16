"""Messages, live or replayed, into what models train on. Pure but for waiting for messages."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Collection, Sequence
from datetime import datetime
from typing import TypeVar

import numpy as np

from COBY.ohlcv import TIMEFRAMES_US
from COBY.orchestrator.cutting import Ticks, candle_tensor, holes, proven
from COBY.orchestrator.messages import Message, Missed, Moved
from COBY.orchestrator.ticks import Cells, Middle, cells_of, middle_of
from COBY.orchestrator.training import TrainingSet
from COBY.records import Candle, Consolidated, Continuity, Gap, Heatmap, Record
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import format_us, to_us

T = TypeVar("T")

KEEP_TICKS = 50_000
KEEP_EVENTS = 50_000
KEEP_MISSED = 1_000
GRACE_US = 2_000_000
"""Live, other topics' records of a time may be read by so much later than its heatmap."""


class DataAdapter:
    """Keeps what has come of one symbol and cuts training sets from it. One task uses it.

    It needs the channels heatmap, consolidated (mid price, imbalances), and for what hangs on them ohlcv, gap and
    continuity: `CHANNELS`. Order between channels does not matter; live and replay give the same.
    """

    CHANNELS = ("heatmap", "consolidated", "ohlcv", "gap", "continuity")

    def __init__(
        self,
        symbol: str,
        *,
        step_seconds: float = 0.5,
        depth: int = 25,
        timeframes: Sequence[str] = ("1m",),
        candles: int = 10,
        required: Collection[str] | None = None,
        keep_ticks: int = KEEP_TICKS,
    ) -> None:
        """Rows each ``step_seconds`` (a multiple of UPDATE_FREQUENCY) with ``depth`` buckets below and from the mid on.

        ``candles`` of each of ``timeframes``. ``required``: exchanges without which a tick is unknown; None: all that
        list the symbol; an empty one: whoever is there. ``keep_ticks``: the oldest beyond it go, and `cut` says so.
        ValidationError `value.adapter`.
        """
        self._step_us = round(step_seconds * 1_000_000)
        for is_right, what, allowed in (
            (self._step_us > 0, f"step_seconds {step_seconds}", "above 0"),
            (depth > 0, f"depth {depth}", "1 or more"),
            (candles > 0, f"candles {candles}", "1 or more"),
            (keep_ticks > 0, f"keep_ticks {keep_ticks}", "1 or more"),
            (set(timeframes) <= set(TIMEFRAMES_US), f"timeframes {timeframes}", " ".join(TIMEFRAMES_US)),
        ):
            if not is_right:
                raise ValidationError("value.adapter", what, allowed=allowed)
        self.symbol = symbol
        self._depth = depth
        self._timeframes = tuple(timeframes)
        self._count = candles
        self._required = None if required is None else frozenset(required)
        self._keep_ticks = keep_ticks
        self._clear()

    def _clear(self) -> None:
        self._cells: dict[int, Cells] = {}
        self._middles: dict[int, Middle] = {}
        self._candles: deque[Candle] = deque(maxlen=KEEP_EVENTS)
        self._gaps: deque[Gap] = deque(maxlen=KEEP_EVENTS)
        self._proof: deque[Continuity] = deque(maxlen=KEEP_EVENTS)
        self._missed: deque[Missed] = deque(maxlen=KEEP_MISSED)
        self._dropped: dict[str, int] = {}
        self.newest_us: int | None = None
        """Stream time of the newest tick taken."""

    def add(self, message: Message) -> None:
        """Take a message; of other symbols, and what only sets the scene, nothing is kept. `Moved` forgets all."""
        if isinstance(message, Moved):
            self._clear()
        elif isinstance(message, Missed):
            self._append("missed", self._missed, message)
        elif message.symbol == self.symbol and not message.prelude:
            self._take(message.record)

    def _take(self, record: Record) -> None:
        match record:
            case Heatmap():
                self._put("heatmap", self._cells, record.timestamp, cells_of(record))
                self.newest_us = max(self.newest_us or 0, record.timestamp)
            case Consolidated():
                self._put("consolidated", self._middles, record.timestamp, middle_of(record))
            case Candle() if record.timeframe in self._timeframes:
                self._append("ohlcv", self._candles, record)
            case Gap():
                self._append("gap", self._gaps, record)
            case Continuity():
                self._append("continuity", self._proof, record)

    def _put(self, channel: str, kept: dict[int, T], time_us: int, one: T) -> None:
        kept[time_us] = one
        if len(kept) > self._keep_ticks:
            del kept[next(iter(kept))]
            self._drop(channel)

    def _append(self, channel: str, kept: deque[T], one: T) -> None:
        if len(kept) == kept.maxlen:
            self._drop(channel)
        kept.append(one)

    def _drop(self, channel: str) -> None:
        self._dropped[channel] = self._dropped.get(channel, 0) + 1

    async def collect(self, messages: AsyncIterable[Message], until: datetime | None = None) -> None:
        """Take messages until they end; live ones, which never do, until two seconds after the time ``until``."""
        until_us = None if until is None else to_us(until) + GRACE_US
        async for message in messages:
            self.add(message)
            if until_us is not None and self.newest_us is not None and self.newest_us >= until_us:
                return

    def cut(
        self, start: datetime, end: datetime, at: datetime | None = None, *, since: datetime | None = None
    ) -> TrainingSet:
        """The rows of [start, end), of what was received in [since, at).

        ``at``: the cut, by default the end: nothing received then or later shows. ``since``: by default the start; an
        earlier one lets the first rows see candles from before them, where these were taken. ValidationError
        `value.adapter` for no range, and for more rows than ticks are kept; `time.naive`.
        """
        start_us, end_us = to_us(start), to_us(end)
        at_us = end_us if at is None else to_us(at)
        since_us = start_us if since is None else to_us(since)
        times_us = range(-(-start_us // self._step_us) * self._step_us, end_us, self._step_us)
        if not 0 < len(times_us) <= self._keep_ticks:
            what = f"{len(times_us)} rows from {format_us(start_us)} to {format_us(end_us)}"
            raise ValidationError("value.adapter", what, allowed=f"1 to {self._keep_ticks} (keep_ticks)")
        ticks = Ticks.of(self._cells, self._middles, times_us, since_us, at_us)
        within = range(since_us, at_us)
        candles = [one for one in self._candles if one.received_at in within]
        return TrainingSet(
            self.symbol,
            self._depth,
            np.array(times_us, "datetime64[us]"),
            *ticks.rows(self._depth, self._required),
            {name: candle_tensor(candles, name, self._count, times_us, at_us) for name in self._timeframes},
            ticks.exchanges,
            ticks.present(),
            holes(self._gaps, within, start_us, end_us),
            proven(self._proof, within, start_us, end_us),
            (*self._missed, *self._not_kept()),
        )

    def _not_kept(self) -> list[Missed]:
        return [
            Missed("not_kept", f"{count} of {channel} were dropped", channel, count)
            for channel, count in sorted(self._dropped.items())
        ]

"""normalize: one raw partition -> trades, book ticks, gaps, quality, continuity, resync requests, dead letters.

Stream time (DESIGN.md, "Time is in the log"): the highest so far of min(received_ns, newest mark + 1 s). Until the
first mark it is the first record's received_ns and no tick is emitted; the first mark sets it, even backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import msgspec

from COBY.codec import encode
from COBY.exchanges import load
from COBY.records import NAMES as TOPIC_OF
from COBY.records import BookTick, Gap, Quality, Record, Resync, TradeEvent
from COBY.slot import SlotState
from COBY.slot_state import Frame, SavedSlot
from COBY.slots import slots_of
from COBY.stage import InRecord, Output, dead_letter, position_headers
from COBY.symbol_states import DeadLetter
from COBY.topics import RAW_PARTITIONS, partition_of
from COBY.trades import SECOND_US

if TYPE_CHECKING:  # settings are passed in: a pure file never reads them by itself
    from COBY.config import Config

AHEAD_US = 1 * SECOND_US
"""A producer's clock may run ahead of the newest mark by so much; more is clamped and counted as clock skew."""
JUMP_US = 2 * SECOND_US
KINDS = ("ws", "http", "event", "mark")
COUNTED = (
    "events",
    "rejected",
    "duplicates",
    "anomalies",
    "checksum_failures",
    "skewed",
    "crossed_us",
    "blind_us",
)
"""Of a minute's quality, into the task's totals."""
LIMIT = 2**63
"""Of ints that are saved and written."""


class Emitted(msgspec.Struct, frozen=True, gc=False):
    """What a record led to, before it is encoded: ``offset`` and ``place`` are its position."""

    offset: int
    place: int
    record: Record | DeadLetter
    cause: InRecord


class State(msgspec.Struct):
    """The task's state as saved."""

    next_offset: int | None
    stream_us: int | None
    mark_us: int | None
    slots: dict[str, SavedSlot]
    gone: Gone | None


class Gone(msgspec.Struct):
    """Records that retention took, from that stream time until the next mark tells how late it has become."""

    from_us: int
    detail: str


class NormalizeTask:
    """The task of one partition of one raw topic."""

    def __init__(self, config: Config, exchange: str, partition: int) -> None:
        """``exchange`` is one of COBY.exchanges; the partition serves the slots whose key falls on it."""
        self.next_offset: int | None = None
        self._source = f"raw.{exchange}.v1/{partition}".encode()
        self._settings = config.settings_hash.encode()
        self._grid_us = config.update_frequency_us
        self._stream_us: int | None = None
        self._mark_us: int | None = None
        self._gone: Gone | None = None
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._emitted: list[Emitted] = []
        self._cause: InRecord
        self._place = 0
        self._make_slots = partial(_slots, config, exchange, partition)
        self._slots = self._make_slots()

    def process(self, records: Sequence[InRecord]) -> list[Output]:
        """See `Task.process`."""
        return [self._output(emitted) for emitted in self.step(records)]

    def step(self, records: Sequence[InRecord]) -> list[Emitted]:
        """The records' consequences, not yet encoded."""
        self._emitted = []
        for record in records:
            expected = self.next_offset
            if expected is not None and record.offset < expected:
                continue
            self._cause, self._place = record, 0
            if expected is not None and record.offset > expected:
                self._hole(record, expected)
            self.next_offset = record.offset + 1
            self._take(record)
        return self._emitted

    def save(self) -> bytes:
        """See `Task.save`."""
        saved = {name: slot.save() for name, slot in self._slots.items()}
        return msgspec.msgpack.encode(
            State(self.next_offset, self._stream_us, self._mark_us, saved, self._gone)
        )

    def load(self, state: bytes) -> None:
        """See `Task.load`."""
        loaded = msgspec.msgpack.decode(state, type=State)
        self.next_offset, self._stream_us, self._mark_us = (
            loaded.next_offset,
            loaded.stream_us,
            loaded.mark_us,
        )
        self._gone = loaded.gone
        self._slots = self._make_slots()
        for name, slot in self._slots.items():
            if name in loaded.slots:
                slot.load(loaded.slots[name])

    def counters(self) -> dict[tuple[str, ...], int]:
        """See `Task.counters`."""
        return dict(self._counts)

    # --- one record ------------------------------------------------------------------------------------------------

    def _take(self, record: InRecord) -> None:
        headers = dict(record.headers)
        try:
            received_us, conn, seq, kind = _told(headers)
        except (KeyError, ValueError, TypeError, AttributeError) as error:  # of a header's value may be None
            self._reject("record.headers", f"{type(error).__name__}: {error}")
            return
        if kind == "mark":
            self._mark(received_us)
            return
        clamped = self._mark_us is not None and received_us > self._mark_us + AHEAD_US
        if clamped:
            self._counts["clock_skew",] += 1
        if self._mark_us is not None:
            self._advance(min(received_us, self._mark_us + AHEAD_US))
        elif self._stream_us is None:
            self._stream_us = received_us  # a producer's clock alone does not move time: it waits for a mark
        slot = self._slots.get(record.key.decode(errors="replace") if record.key else "")
        if slot is None:
            self._reject("record.unknown_slot", f"key {record.key!r} is no slot of this partition")
        elif record.value is None:
            self._reject("frame.null", "a record without a value")
        else:
            self._counts["events" if kind == "event" else "frames", kind] += 1
            symbol, url = _text(headers.get("symbol")), _text(headers.get("url"))
            frame = Frame(record.offset, conn, seq, kind, record.value, symbol, url, received_us, clamped)
            slot.take(frame, self._now(), self._emit)

    def _mark(self, time_us: int) -> None:
        if self._mark_us is None:
            # Nothing has been emitted by the clock of a producer alone, so time may be set back here, once.
            shift_us = time_us - (time_us if self._stream_us is None else self._stream_us)
            self._mark_us = self._stream_us = time_us
            for slot in self._slots.values():
                slot.shift(shift_us, self._emit)
            return
        self._mark_us = max(self._mark_us, time_us)
        self._advance(time_us)
        self._found()

    def _now(self) -> int:
        assert self._stream_us is not None
        return self._stream_us

    def _advance(self, time_us: int) -> None:
        """Bring stream time to ``time_us``; the ticks up to it show the books as they were before this record."""
        before = self._now()
        if time_us <= before:
            return
        first, last = before // self._grid_us + 1, time_us // self._grid_us
        if first <= last:
            self._ticks(first, last, before, time_us)
        self._stream_us = time_us

    def _ticks(self, first: int, last: int, before: int, time_us: int) -> None:
        if time_us - before > JUMP_US:
            detail = f"stream time went from {before} to {time_us} us"
            for slot in self._slots.values():
                slot.symbols.lost("time_jump", detail, before, time_us, time_us, self._emit)
                slot.symbols.left_out(first * self._grid_us, last * self._grid_us, self._emit)
            first = last
        for number in range(first, last + 1):
            for slot in self._slots.values():
                slot.tick(number * self._grid_us, time_us, self._emit)

    def _hole(self, record: InRecord, expected: int) -> None:
        """Offsets are missing: retention was faster than this task. What was built on them can't be continued."""
        self._found()
        detail = f"offsets {expected} to {record.offset - 1} are gone"
        now = record.timestamp * 1000 if self._stream_us is None else self._stream_us
        # Without a mark so far time may still be set back, and so would be where this gap began.
        until_us = now if self._mark_us is None else None
        if until_us is None:
            self._gone = Gone(now, detail)
        for slot in self._slots.values():
            slot.symbols.lost("retention", detail, now, until_us, now, self._emit)
            slot.forget_connections(now, self._emit)

    def _found(self) -> None:
        """Close the gap of records that are gone: stream time is beyond them."""
        if self._gone is not None:
            gone, now, self._gone = self._gone, self._now(), None
            for slot in self._slots.values():
                slot.symbols.lost("retention", gone.detail, gone.from_us, now, now, self._emit, is_told=True)

    # --- what comes out --------------------------------------------------------------------------------------------

    def _reject(self, code: str, detail: str) -> None:
        self._emit(DeadLetter(code, detail))

    def _emit(self, emitted: Record | DeadLetter) -> None:
        cause = self._cause
        self._emitted.append(Emitted(cause.offset, self._place, emitted, cause))
        self._place += 1
        kind = type(emitted)
        if kind is TradeEvent:
            trade = cast(TradeEvent, emitted)
            self._counts["trades", trade.symbol] += 1
            self._counts["delay_us",] += trade.received_at - trade.timestamp
        elif isinstance(emitted, BookTick):
            unlisted = emitted.reason == "not_listed"
            state = "live" if emitted.live else "not_listed" if unlisted else "blind"
            self._counts["ticks", emitted.symbol, state] += 1
        elif isinstance(emitted, DeadLetter):
            self._counts["rejected", emitted.code] += 1
        elif isinstance(emitted, Gap) and (emitted.until_time is None or emitted.reason == "time_jump"):
            self._counts["gaps", emitted.symbol, emitted.reason] += 1
        elif isinstance(emitted, Quality):
            for name in COUNTED:
                self._counts["quality", name, emitted.symbol] += getattr(emitted, name)

    def _output(self, emitted: Emitted) -> Output:
        record, cause = emitted.record, emitted.cause
        headers = position_headers(self._source, emitted.offset, emitted.place, self._settings)
        if isinstance(record, DeadLetter):
            return dead_letter(cause, headers, "normalize", record.code, record.detail)
        key = record.exchange if isinstance(record, Resync) else record.symbol  # type: ignore[attr-defined]
        # All but trades carry T or the stream time at which they were written as their own time.
        time_us = record.received_at if isinstance(record, TradeEvent) else record.timestamp  # type: ignore[attr-defined]
        return Output(TOPIC_OF[type(record)], key.encode(), encode(record), time_us // 1000, headers)


def _told(headers: Mapping[str, bytes]) -> tuple[int, str, int, str]:
    """received (microseconds), conn, seq and kind; raises what a header that is missing or odd brings."""
    received_ns, seq = int(headers["received_ns"]), int(headers["seq"])
    kind = headers["kind"].decode()
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}, allowed: {' '.join(KINDS)}")
    if not 0 < received_ns < LIMIT:
        raise ValueError(f"received_ns {received_ns}, allowed: nanoseconds since 1970")
    if not 0 < seq < LIMIT and kind != "mark":
        raise ValueError(f"seq {seq}, allowed: 1, 2, 3 …")
    return received_ns // 1000, headers["conn"].decode(), seq, kind


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _slots(config: Config, name: str, partition: int) -> dict[str, SlotState]:
    exchange = load(name)
    return {
        slot.name: SlotState(
            exchange, slot, config.bucket_size_units, config.heatmap_depth, config.update_frequency_us
        )
        for slot in slots_of(config, name)
        if partition_of(slot.name.encode(), RAW_PARTITIONS) == partition
    }

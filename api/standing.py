"""How exchanges stand: statuses of slots and newest books as rows of /v1/status. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from COBY.exchanges.base import Slot
from COBY.utils.intervals import US_PER_SECOND, parse_time

OLD_US = 5 * US_PER_SECOND
"""What was told longer ago says nothing any more (DESIGN.md, Topics: status)."""
UNKNOWN = "unknown"
NO_STATUS, NO_BOOK, TOO_OLD = "no_status", "no_book", "too_old"
_TOLD = ("conn", "state", "since", "last_message_at", "reconnects", "breaker", "error", "observed_at")

Record = Mapping[str, Any]
Pair = tuple[str, str]
"""symbol, exchange."""


def books_of(ticks: Mapping[Pair, Record | None], now_us: int) -> dict[Pair, dict[str, Any]]:
    """The standing of each book: live, blind, or unknown where its newest tick is old or not there."""
    return {pair: _book(pair[0], tick, now_us) for pair, tick in ticks.items()}


def slot_rows(
    slots: Iterable[Slot], told: Sequence[Record], books: Mapping[Pair, dict[str, Any]], now_us: int
) -> list[dict[str, Any]]:
    """A row for each producer of each slot (its status names it behind an @); one row where none has told anything.

    Of several producers those that have been silent for long are left out if another is not: it has gone.
    """
    rows: list[dict[str, Any]] = []
    for slot in slots:
        mine = [record for record in told if _slot_of(record) == slot.name]
        fresh = [record for record in mine if _age_us(record, "observed_at", now_us) <= OLD_US]
        shown = [books[symbol, slot.exchange] for symbol in sorted(slot.symbols.values())]
        head = {"exchange": slot.exchange}
        found = [_status(record, now_us) for record in fresh or mine[:1]] or [_nothing(slot.name)]
        rows.extend({**head, **one, "books": shown} for one in found)
    return rows


def _slot_of(record: Record) -> str:
    return str(record["slot"]).partition("@")[0]


def _status(record: Record, now_us: int) -> dict[str, Any]:
    observed_us = _age_us(record, "observed_at", now_us)
    is_known = observed_us <= OLD_US
    frame_us = None if record["last_message_at"] is None else _age_us(record, "last_message_at", now_us)
    return {
        "slot": record["slot"],
        "state": record["state"] if is_known else UNKNOWN,
        "reason": record["error"] if is_known else TOO_OLD,
        "last_frame_age_ms": None if frame_us is None else frame_us // 1_000,
        "observed_age_ms": observed_us // 1_000,
        "told": {name: record[name] for name in _TOLD},
    }


def _nothing(slot: str) -> dict[str, Any]:
    return {
        "slot": slot,
        "state": UNKNOWN,
        "reason": NO_STATUS,
        "last_frame_age_ms": None,
        "observed_age_ms": None,
        "told": None,
    }


def _book(symbol: str, tick: Record | None, now_us: int) -> dict[str, Any]:
    if tick is None:
        return {"symbol": symbol, "state": UNKNOWN, "reason": NO_BOOK, "timestamp": None, "age_ms": None}
    age_us = _age_us(tick, "timestamp", now_us)
    state = UNKNOWN if age_us > OLD_US else "live" if tick["live"] else "blind"
    reason = TOO_OLD if state == UNKNOWN else tick["reason"]
    return {
        "symbol": symbol,
        "state": state,
        "reason": reason,
        "timestamp": tick["timestamp"],
        "age_ms": age_us // 1_000,
    }


def _age_us(record: Record, field: str, now_us: int) -> int:
    return max(0, now_us - parse_time(record[field]))

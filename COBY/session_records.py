"""The records of replay sessions, one struct per schema. See records.py. Pure."""

from __future__ import annotations

from COBY.record import Record


class Session(Record, frozen=True):
    """What a replay session is asked to do: its range, and the newest order."""

    id: str
    created_at: int
    start_time: int | None
    end_time: int | None
    offsets: str
    origin: str
    channels: list[str]
    symbols: list[str]
    exchanges: list[str]
    settings: str
    ttl_seconds: int
    number: int
    state: str
    speed_milli: int
    run: int
    seek_time: int | None
    ordered_at: int


class Place(Record, frozen=True):
    """How far a replay session is; beside the session under a key of its own."""

    id: str
    obeyed: int
    state: str
    run: int
    n: int
    position: int | None
    records: int
    speed_milli: int
    error: str | None
    missing: list[str]
    plan: str
    cursors: str
    worker: str
    observed_at: int
    failure: str | None = None

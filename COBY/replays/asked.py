"""What may be asked of a session, checked before anything is made. Pure: the time is an argument."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from COBY.models.sessions import SPEEDS, is_speed
from COBY.records import Session
from COBY.replays.sessions import CHANNELS, offsets_text
from COBY.utils.exceptions import ConfigurationError, ReplayError
from COBY.utils.intervals import format_us

if TYPE_CHECKING:
    from COBY.config import Config

SOURCES = ("auto", "topics", "database", "recompute")


class Asked(NamedTuple):
    """Times in microseconds; ``offsets``: topic -> partition -> (from, to)."""

    start_us: int | None
    end_us: int | None
    speed: float
    offsets: Mapping[str, Mapping[int, tuple[int, int]]]
    symbols: tuple[str, ...]
    exchanges: tuple[str, ...]
    channels: tuple[str, ...]
    source: str
    settings: Mapping[str, str]


def checked(cfg: Config, asked: Asked, now_us: int) -> None:
    """ReplayError replay.range, .future, .offsets, .speed, .source, .channel, .settings; ConfigurationError."""
    if asked.offsets:
        _check_offsets(cfg, asked)
    else:
        _check_times(asked, now_us)
    speed_milli(asked.speed)
    _among("replay.source", "source", [asked.source], SOURCES)
    _among("replay.channel", "channels", asked.channels, CHANNELS)
    for values, known, code in (
        (asked.symbols, cfg.symbols, "config.unknown_symbol"),
        (asked.exchanges, cfg.exchanges, "config.unknown_exchange"),
    ):
        if strangers := sorted(set(values) - set(known)):
            raise ConfigurationError(code, " ".join(strangers), allowed=" ".join(known))
    if asked.settings and asked.source != "recompute":
        raise ReplayError(
            "replay.settings", f"settings with source {asked.source}", allowed="source recompute"
        )


def session_of(asked: Asked, name: str, now_us: int, ttl_seconds: int) -> Session:
    """The first order of a session."""
    return Session(
        name,
        now_us,
        asked.start_us,
        asked.end_us,
        offsets_text(asked.offsets),
        asked.source,
        list(asked.channels),
        list(asked.symbols),
        list(asked.exchanges),
        json.dumps(dict(asked.settings), sort_keys=True),
        ttl_seconds,
        number=1,
        state="created",
        speed_milli=speed_milli(asked.speed),
        run=0,
        seek_time=None,
        ordered_at=now_us,
    )


def speed_milli(speed: float) -> int:
    """The speed in thousandths. ReplayError `replay.speed`."""
    if not is_speed(speed):
        raise ReplayError("replay.speed", f"speed {speed:g}", allowed=SPEEDS)
    return round(speed * 1000)


def _check_times(asked: Asked, now_us: int) -> None:
    if asked.start_us is None or asked.end_us is None:
        raise ReplayError("replay.range", "no range", allowed="start_time and end_time, or offsets")
    start, end = format_us(asked.start_us), format_us(asked.end_us)
    if asked.start_us >= asked.end_us:
        raise ReplayError("replay.range", f"from {start} to {end}", allowed="a start before the end")
    if asked.end_us > now_us:
        allowed = f"an end until now, {format_us(now_us)}"
        raise ReplayError("replay.future", f"the range ends at {end}", allowed=allowed)


def _check_offsets(cfg: Config, asked: Asked) -> None:
    if asked.start_us is not None or asked.end_us is not None:
        raise ReplayError("replay.range", "both times and offsets", allowed="one of them")
    if asked.source not in ("auto", "topics"):
        raise ReplayError("replay.source", f"offsets of {asked.source}", allowed="topics")
    for topic, parts in asked.offsets.items():
        if not topic.startswith(f"{cfg.topic_prefix}."):
            raise ReplayError("replay.offsets", f"topic {topic}", allowed=f"topics of {cfg.topic_prefix}")
        for number, (first, end) in parts.items():
            if number < 0 or not 0 <= first < end:
                allowed = "a partition, and offsets from below to"
                raise ReplayError("replay.offsets", f"{topic}/{number} {first} to {end}", allowed=allowed)


def _among(code: str, what: str, values: tuple[str, ...] | list[str], known: tuple[str, ...]) -> None:
    if strangers := sorted(set(values) - set(known)):
        raise ReplayError(code, f"{what} {' '.join(strangers)}", allowed=" ".join(known))

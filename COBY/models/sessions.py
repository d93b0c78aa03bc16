"""The public models of things that go on: connections and replays."""

from dataclasses import dataclass
from datetime import datetime

from COBY.models.core import _check, _check_not_negative, _set_utc

SLOWEST, FASTEST = 0.1, 1000.0
FULL = 0
"""The speed of a replay that goes as fast as it can."""
SPEEDS = "0.1 to 1000, or 0: as fast as can be"
REPLAY_STATES = ("created", "running", "paused", "stopped", "finished", "failed")


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """How a producer's connection to an exchange stands.

    `state` since `since`; `breaker` is the circuit breaker's; `error` the last error's text; `observed_at`
    when this was written: older than 5 s means unknown. Times are in UTC.
    """

    exchange: str
    state: str
    since: datetime
    last_message_at: datetime | None
    reconnects: int
    breaker: str
    error: str | None
    slot: str | None = None
    observed_at: datetime | None = None

    def __post_init__(self) -> None:
        """Checks the count; the times go to UTC."""
        _check_not_negative(self, "reconnects", self.reconnects)
        _set_utc(self, "since", *_given(self, "last_message_at", "observed_at"))


@dataclass(frozen=True, slots=True)
class ReplaySession:
    """What a replay plays: stream time [`start_time`, `end_time`) at `speed`, 1.0 being as it was, 0 as fast as can be.

    `offsets`: instead of times, topic -> partition -> (from, to).
    """

    id: str
    start_time: datetime | None
    end_time: datetime | None
    speed: float
    created_at: datetime | None = None
    offsets: dict[str, dict[int, tuple[int, int]]] | None = None

    def __post_init__(self) -> None:
        """Checks range and speed; the times go to UTC."""
        _set_utc(self, *_given(self, "start_time", "end_time", "created_at"))
        if self.start_time is None or self.end_time is None:
            _check(self, "offsets", self.offsets is not None, "offsets, or start_time and end_time")
        else:
            _check(self, "end_time", self.end_time > self.start_time, "a time after start_time")
        _check(self, "speed", is_speed(self.speed), SPEEDS)


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """Where a replay stands: `position` is the stream time it has reached, `records` how many it has sent.

    `run` rises at each seek, `n` counts the records of a run; `missing` names what nobody has any more.
    """

    id: str
    state: str
    position: datetime | None
    speed: float
    records: int
    error: str | None
    run: int = 0
    n: int = 0
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks state and count; the time goes to UTC."""
        _check(self, "state", self.state in REPLAY_STATES, " ".join(REPLAY_STATES))
        _check_not_negative(self, "records", self.records)
        _set_utc(self, *_given(self, "position"))


def is_speed(speed: float) -> bool:
    """Whether a replay may go at that speed."""
    return speed == FULL or SLOWEST <= speed <= FASTEST


def _given(model: object, *field_names: str) -> list[str]:
    return [field_name for field_name in field_names if getattr(model, field_name) is not None]

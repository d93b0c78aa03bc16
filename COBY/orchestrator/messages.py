"""What a subscription gives, live or replayed, from Kafka or through the API. Pure.

Records are those of COBY/records.py: exact, prices and sizes as ints of 1e-8 (`UNITS`), times as ints of microseconds
UTC. The public models are floats and lack what a model must know (covered ranges, revisions, times of receipt).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from COBY.records import NAMES, Record

Position = tuple[int, int]


class Place(NamedTuple):
    """Where a message lies in what is being read, for whoever goes on after it: topic, partition and offset."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Update:
    """One record of a channel, once.

    ``source`` and ``position`` say where it stands in the sequence of what made it (None where a replay took it from
    the database). Two updates of the same record are equal, live or replayed: what differs does not take part.
    """

    channel: str
    record: Record
    source: str | None = None
    position: Position | None = None
    prelude: bool = field(default=False, compare=False)
    """It only sets the scene: the newest of its kind before what was asked for."""
    session: str | None = field(default=None, compare=False)
    run: int | None = field(default=None, compare=False)
    n: int | None = field(default=None, compare=False)
    """Of a replay: its session, run and number in it."""
    place: Place | None = field(default=None, compare=False)
    cursor: str | None = field(default=None, compare=False)

    @property
    def symbol(self) -> str:
        """Its symbol; of a connection's status its slot."""
        return str(getattr(self.record, "symbol", None) or getattr(self.record, "slot", ""))

    @property
    def exchange(self) -> str | None:
        """Its exchange; None of what is over all exchanges."""
        found: str | None = getattr(self.record, "exchange", None)
        return found

    @property
    def received_us(self) -> int:
        """Stream time of its receipt in microseconds: what a cut goes by."""
        return received_us(self.record)


@dataclass(frozen=True, slots=True)
class Missed:
    """Something that was asked for did not come and will not: never silence.

    ``reason``: `retention` (gone before it was read), `hole` (offsets that were passed over), `unusable` (a record that
    can't be read), `slow` (this reader was too slow, and the server went on), `range` (a part of a replayed range that
    nobody has any more), `not_kept` (what a DataAdapter had to drop). ``detail`` says it to people.
    """

    reason: str
    detail: str
    channel: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The replay goes on from elsewhere (seek): what was built from its records so far is to be thrown away."""

    session: str
    run: int


Message = Update | Missed | Moved


def channel_of(record: Record) -> str:
    """The channel of a record: the name of its schema and of its topic."""
    return NAMES[type(record)]


def received_us(record: Record) -> int:
    """When a record was known, in stream time: its receipt, or the tick T that it is of."""
    for name in ("received_at", "timestamp", "observed_at"):
        if (time_us := getattr(record, name, None)) is not None:
            return int(time_us)
    raise TypeError(f"{type(record).__name__} has no time of receipt")

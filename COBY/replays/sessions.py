"""Sessions as they stand in `coby.session.v1`: what was ordered of one, and how far it is. Pure.

A session has two keys, its id and `<id>/place`, in the partition of its id: managers write orders, the one worker that
reads the partition writes places, so neither ever overwrites the other's. The newest of each key counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from COBY.codec import decode
from COBY.models import ReplaySession, ReplayStatus
from COBY.records import Place, Session
from COBY.topics import PARTITIONS, REPLAY, partition_of
from COBY.utils.exceptions import CobyError, ReplayError, error_of
from COBY.utils.intervals import from_us

PLACE = "/place"
CHANNELS = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv")
"""What can be replayed: the derived topics whose key is a symbol."""
ENDED = ("stopped", "finished", "failed")
"""States in which nothing more is released."""
Offsets = dict[str, dict[int, tuple[int, int]]]
"""Topic -> partition -> [from, to)."""


class Known(NamedTuple):
    """What is known of a session."""

    session: Session
    place: Place | None

    @property
    def state(self) -> str:
        """Its state: what its worker says, or what was ordered while no worker has said anything."""
        if self.place is None or self.place.obeyed == 0:
            return "created" if self.session.state != "deleted" else "stopped"
        return self.place.state

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be released."""
        return self.place is not None and self.place.state in ENDED


class Sessions:
    """All sessions of some partitions, as their records come."""

    def __init__(self) -> None:
        """None."""
        self.sessions: dict[str, Session] = {}
        self.places: dict[str, Place] = {}

    def take(self, key: bytes | None, value: bytes | None) -> str | None:
        """One record of the topic: the id it concerns; None for one that is none of ours.

        ProcessingError `codec.…`.
        """
        name = (key or b"").decode(errors="replace")
        name, is_place = name.removesuffix(PLACE), name.endswith(PLACE)
        if value is None:
            (self.places if is_place else self.sessions).pop(name, None)
            return name
        record = decode(value)
        if isinstance(record, Session) and not is_place:
            self.sessions[name] = record
        elif isinstance(record, Place) and is_place:
            self.places[name] = record
        else:
            return None
        return name

    def find(self, name: str) -> Known:
        """ReplayError `replay.unknown_session`."""
        session = self.sessions.get(name)
        if session is None or session.state == "deleted":
            allowed = " ".join(sorted(known.session.id for known in self.all())) or "none exist"
            raise ReplayError("replay.unknown_session", f"no session {name!r}", allowed=allowed)
        return Known(session, self.places.get(name))

    def all(self) -> list[Known]:
        """Those that are not deleted, the oldest first."""
        known = [
            Known(session, self.places.get(name))
            for name, session in self.sessions.items()
            if session.state != "deleted"
        ]
        return sorted(known, key=lambda one: (one.session.created_at, one.session.id))


def session_key(name: str) -> bytes:
    """The key of a session's orders."""
    return name.encode()


def place_key(name: str) -> bytes:
    """The key of its places."""
    return f"{name}{PLACE}".encode()


def session_partition(name: str) -> int:
    """Where both lie."""
    return partition_of(session_key(name), PARTITIONS)


def replay_topic(prefix: str, name: str) -> str:
    """The topic that a session writes to."""
    return f"{prefix}.{REPLAY.pattern.format(name)}.v1"


def offsets_text(offsets: Mapping[str, Mapping[int, tuple[int, int]]]) -> str:
    """Offsets as a session keeps them; of none the empty text."""
    plain = {
        topic: {str(part): list(ends) for part, ends in parts.items()} for topic, parts in offsets.items()
    }
    return json.dumps(plain, sort_keys=True) if plain else ""


def offsets_of(session: Session) -> Offsets:
    """The offsets of a session; of one over a range of time none."""
    plain = json.loads(session.offsets or "{}")
    return {
        topic: {int(part): (int(ends[0]), int(ends[1])) for part, ends in parts.items()}
        for topic, parts in plain.items()
    }


def settings_of(session: Session) -> dict[str, str]:
    """The settings to recompute under; none: those of then."""
    found: dict[str, str] = json.loads(session.settings)
    return found


def failure_text(error: CobyError) -> str:
    """An error as a place keeps it."""
    return json.dumps(
        {"code": error.code, "message": error.message, "where": error.where, "allowed": error.allowed}
    )


def failure_of(place: Place) -> CobyError | None:
    """The error that ended a session; None of one that goes on, or whose worker told only a text."""
    if place.failure is None:
        return None
    parts: dict[str, str | None] = json.loads(place.failure)
    return error_of(str(parts["code"]), str(parts["message"]), where=parts["where"], allowed=parts["allowed"])


def status(known: Known) -> ReplayStatus:
    """As the public model."""
    session, place = known
    if place is None:
        return ReplayStatus(session.id, known.state, None, session.speed_milli / 1000, 0, None)
    return ReplayStatus(
        session.id,
        known.state,
        None if place.position is None else from_us(place.position),
        place.speed_milli / 1000,
        place.records,
        place.error,
        place.run,
        place.n,
        tuple(place.missing),
    )


def model(known: Known) -> ReplaySession:
    """As the public model; of a range of offsets without times."""
    session = known.session
    return ReplaySession(
        session.id,
        _time(session.start_time),
        _time(session.end_time),
        session.speed_milli / 1000,
        from_us(session.created_at),
        offsets_of(session) or None,
    )


def _time(time_us: int | None) -> datetime | None:
    return None if time_us is None else from_us(time_us)

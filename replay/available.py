"""Whether there is anything of a range at all: an empty session would only look like a quiet market."""

from __future__ import annotations

from COBY.config import Config
from COBY.records import Session
from COBY.replays.sessions import offsets_of
from COBY.utils.exceptions import ReplayError
from replay.log import Log
from replay.plan import channels_of, chosen_of, places_of, range_of, recomputed
from replay.stored import Stored


def require_records(cfg: Config, session: Session) -> None:
    """ReplayError `replay.empty`, `replay.offsets`, those of `Again`; BrokerError; StorageError where only the database
    could have it.
    """
    if session.origin == "recompute":
        recomputed(cfg, session, {})
        return
    log = Log(cfg)
    try:
        if session.offsets:
            _require_offsets(log, session)
        elif not (_has_records(cfg, log, session) or _is_stored(cfg, session)):
            message = "nothing of the range is there"
            raise ReplayError(
                "replay.empty", message, allowed="a range that topics or database reach back to"
            )
    finally:
        log.close()


def _require_offsets(log: Log, session: Session) -> None:
    count = 0
    for topic, parts in offsets_of(session).items():
        there = log.partitions(topic)
        for number, (first, end) in parts.items():
            if number not in there:
                allowed = f"partitions {there}" if there else "a topic that is there"
                raise ReplayError("replay.offsets", f"there is no {topic}/{number}", allowed=allowed)
            oldest, newest = log.bounds(topic, number)
            count += max(0, min(end, newest) - max(first, oldest))
    if not count:
        raise ReplayError("replay.empty", "no record lies between these offsets")


def _is_stored(cfg: Config, session: Session) -> bool:
    """Whether the database is asked and has rows of the range."""
    if session.origin not in ("auto", "database"):
        return False
    stored = Stored(cfg, range_of(session), chosen_of(cfg, session))
    try:
        return bool(stored.parts(channels_of(session), None))
    finally:
        stored.close()


def _has_records(cfg: Config, log: Log, session: Session) -> bool:
    if session.origin == "database":
        return False
    within = range_of(session)
    places = places_of(cfg, session)
    firsts = log.all_first_since(dict.fromkeys(places, within.from_ms))
    ends = log.all_first_since(dict.fromkeys(places, within.to_ms))
    return any(firsts[place] < ends[place] for place in places)

"""Cursors: where a subscription stands, as text that any API process understands. Opaque to clients. Pure.

Live: the sequence number of the message, the next offset of each partition that the subscription reads, and the ids of
the topics that these are offsets of. Replay: the same number, the run and n of the record, and the next offset of the
session's topic.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from COBY.utils.exceptions import ValidationError

_LIVE = re.compile(r"live\.(\d{1,19})\.(\d{1,19}(?:\.\d{1,19})*)((?:~[\w+/-]{1,22}){0,2})", re.ASCII)
_REPLAY = re.compile(r"replay\.([0-9a-z]{1,64})\.(\d{1,19})\.(\d{1,19})\.(\d{1,19})\.(\d{1,19})", re.ASCII)
_HIGHEST = 2**63


class LiveCursor(NamedTuple):
    """``offsets``: the next of each partition, in the order of `Selection.partitions`; ``topics``: ids, in that of
    `Selection.topics`. A cursor made by hand may be without: it is of the topics as they are.
    """

    seq: int
    offsets: tuple[int, ...]
    topics: tuple[str, ...] = ()

    def text(self) -> str:
        """As sent."""
        topics = "".join(f"~{one}" for one in self.topics)
        return f"live.{self.seq}.{'.'.join(map(str, self.offsets))}{topics}"


class ReplayCursor(NamedTuple):
    """After the record (``run``, ``n``); ``offset``: the next of the session's topic."""

    session: str
    seq: int
    run: int
    n: int
    offset: int

    def text(self) -> str:
        """As sent."""
        return f"replay.{self.session}.{self.seq}.{self.run}.{self.n}.{self.offset}"


def live_cursor(text: str, partitions: int, where: str) -> LiveCursor:
    """The cursor of a live subscription that reads so many partitions. ValidationError `cursor.invalid`."""
    match = _LIVE.fullmatch(text)
    if match is not None:
        seq, offsets = int(match[1]), tuple(map(int, match[2].split(".")))
        if len(offsets) == partitions and max(seq, *offsets) < _HIGHEST:
            return LiveCursor(seq, offsets, tuple(match[3].split("~")[1:]))
    raise _invalid(text, where, "a cursor of this live subscription, as it came")


def replay_cursor(text: str, session: str, where: str) -> ReplayCursor:
    """The cursor of a subscription to that session. ValidationError `cursor.invalid`."""
    match = _REPLAY.fullmatch(text)
    if match is not None and match[1] == session:
        numbers = tuple(map(int, match.groups()[1:]))
        if max(numbers) < _HIGHEST:
            return ReplayCursor(session, *numbers)
    raise _invalid(text, where, "a cursor of this subscription to this session, as it came")


def _invalid(text: str, where: str, allowed: str) -> ValidationError:
    return ValidationError(
        "cursor.invalid", f"{text[:80]!r} is no cursor of it", where=where, allowed=allowed
    )

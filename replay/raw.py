"""The raw topics themselves: per connection `seq` rises by one, or a `dropped` event covers the hole."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from confluent_kafka import Message

from replay.checkpoints import Work
from replay.contents import SHOWN_HASH, WHOLE, Difference, Line, Verdict, verdict_text
from replay.log import Range, stored

Headers = Mapping[str, bytes]


class RawCheck:
    """Sees every raw record read, also those before the range, and judges those in it."""

    def __init__(self, within: Range) -> None:
        self._within = within
        self._counts: Counter[str] = Counter()
        self._hashes: dict[str, Any] = defaultdict(sha256)
        self._seqs: dict[tuple[str, int, str, str], int] = {}
        self._found: dict[str, list[Difference]] = defaultdict(list)

    def see(self, work: Work, message: Message) -> None:
        """One record, in order of offset."""
        if work.stage != "normalize":
            return
        headers: Headers = dict(stored(message).headers)
        is_within = self._within.holds(message.timestamp()[1])
        if is_within:
            self._counts[work.topic] += 1
            self._hashes[work.topic].update(sha256(message.value() or b"").digest())
        if headers.get("kind") != b"mark":
            self._follow(work, message, headers, is_within)

    def verdicts(self) -> list[Verdict]:
        """One for each topic with records in the range."""
        return [
            Verdict(
                Line(topic, count, self._hashes[topic].hexdigest()[:SHOWN_HASH], verdict_text(len(found), 0)),
                found,
            )
            for topic, count in sorted(self._counts.items())
            for found in [self._found[topic]]
        ]

    def _follow(self, work: Work, message: Message, headers: Headers, is_within: bool) -> None:
        try:
            conn, seq = headers["conn"].decode(), int(headers["seq"])
        except (KeyError, ValueError, AttributeError):
            return  # a stranger's record: normalize has it among the dead letters
        place = (work.topic, work.partition, str(message.key()), conn)
        last = self._seqs.get(place)
        self._seqs[place] = max(seq, last or 0)
        if last is None or seq == last + 1 or not is_within:
            return
        if seq <= last:
            what = f"seq {seq} of {conn} comes after {last}"
        elif _covers(headers, message.value(), last):
            return
        else:
            what = f"seq {last + 1} to {seq - 1} of {conn} are missing, and no `dropped` event says so"
        where = f"{work.source} at offset {message.offset()}"
        self._found[work.topic].append(Difference(WHOLE, work.topic, where, what))


def _covers(headers: Headers, value: bytes | None, last: int) -> bool:
    """Whether the record is the event that says what follows ``last`` was dropped."""
    if headers.get("kind") != b"event":
        return False
    try:
        event = json.loads(value or b"")
        return event["event"] == "dropped" and int(event["from_seq"]) <= last + 1
    except (ValueError, KeyError, TypeError):
        return False

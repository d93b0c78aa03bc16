"""Recovery snapshots: the state of one task as a record, and which of many to start from (DESIGN.md, Recovery 2, 3).

A record of ``coby.state.<stage>.v1`` (compacted) or ``coby.checkpoint.<stage>.v1`` (kept as long as raw) is: the word
COBYSNAP, one byte for the form, the SHA-256 of what follows, and that: MessagePack with the state compressed. Whatever
is wrong with one (cut, flipped, of a newer form) makes it unusable as a whole; an older one does, or the oldest record.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from typing import Protocol, TypeVar

import msgspec

from COBY.utils.exceptions import ProcessingError

MAGIC = b"COBYSNAP"
FORM = 2
"""Rises when a state of the old form can't be taken up any more. What loads differently is another form."""
KEPT = 4
"""A key ends with the snapshot's number modulo this, so that compaction keeps a task's last four."""
LEVEL = 1  # of compression: the states are texts, the quickest level takes most of it
_HEAD = len(MAGIC) + 1
_BODY = _HEAD + 32
_UNREADABLE = (msgspec.MsgspecError, zlib.error)


class Snapshot(msgspec.Struct, frozen=True):
    """One task's state. ``topic`` is its input without prefix (``book.v1``); ``number`` counts its snapshots.

    ``next_offset``: of the next record that it takes; ``settings``: the hash of those it was made under.
    """

    stage: str
    topic: str
    partition: int
    number: int
    next_offset: int
    settings: str
    state: bytes

    @property
    def task(self) -> tuple[str, str, int]:
        """What it is a snapshot of."""
        return self.stage, self.topic, self.partition


def keys(stage: str, topic: str, partition: int) -> list[bytes]:
    """All keys of a task's snapshots, by number modulo four."""
    return [f"{stage}|{topic}|{partition}|{place}".encode() for place in range(KEPT)]


def key(snapshot: Snapshot) -> bytes:
    """The key that it is written under."""
    return keys(*snapshot.task)[snapshot.number % KEPT]


def pack(snapshot: Snapshot) -> bytes:
    """The record's value."""
    packed = msgspec.structs.replace(snapshot, state=zlib.compress(snapshot.state, LEVEL))
    body = msgspec.msgpack.encode(packed)
    return MAGIC + bytes((FORM,)) + sha256(body).digest() + body


def unpack(value: bytes | None) -> Snapshot:
    """The snapshot. ProcessingError snapshot.format (no snapshot at all), snapshot.form (of another form, perhaps a
    newer one), snapshot.checksum (cut or changed), snapshot.broken (its body is no such record).
    """
    if value is None or len(value) < _BODY or not value.startswith(MAGIC):
        raise ProcessingError(
            "snapshot.format", "no snapshot", allowed=f"{MAGIC.decode()}, form, SHA-256, body"
        )
    if value[_HEAD - 1] != FORM:
        raise ProcessingError("snapshot.form", f"form {value[_HEAD - 1]}", allowed=f"form {FORM}")
    body = value[_BODY:]
    if sha256(body).digest() != value[_HEAD:_BODY]:
        raise ProcessingError("snapshot.checksum", f"{len(body)} bytes are not those that were written")
    try:
        packed = msgspec.msgpack.decode(body, type=Snapshot)
        return msgspec.structs.replace(packed, state=zlib.decompress(packed.state))
    except _UNREADABLE as error:
        raise ProcessingError("snapshot.broken", str(error)) from error


class Kept(Protocol):
    """A record of the state or checkpoint topics; confluent-kafka's Message has this shape."""

    def key(self) -> bytes | str | None: ...
    def value(self) -> bytes | str | None: ...


KeptT = TypeVar("KeptT", bound=Kept)


def usable(
    records: Iterable[KeptT], asked: Collection[bytes], refuse: Callable[[KeptT, ProcessingError], object]
) -> Iterator[Snapshot]:
    """The snapshots under the keys asked for; ``refuse`` is called for each record that can't be used."""
    for record in records:
        if record.key() in asked:
            value = record.value()
            try:
                yield unpack(value if isinstance(value, bytes) else None)
            except ProcessingError as error:
                refuse(record, error)


def candidates(found: Iterable[Snapshot], end: int) -> list[Snapshot]:
    """Of one task's snapshots those to try, in this order: the greatest ``next_offset`` first.

    Not the last written: a worker that was stopped and went on may have written an older one later. One beyond the
    ``end`` of its partition is of a topic that was made anew since.
    """
    usable = [one for one in found if one.next_offset <= end]
    return sorted(usable, key=lambda one: (one.next_offset, one.number), reverse=True)

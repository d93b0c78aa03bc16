"""Records on their way into a replay, and how several streams of them become one. Pure.

A stream gives records of one origin in their own order and never looks at a clock. Merging takes the stream whose
running maximum of times is lowest, ties by name, and never reorders a stream (DESIGN.md, Recovery 8): which order
records come in depends on nothing but the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple, Protocol

Name = tuple[str, int, int]
"""Full topic, partition, and what comes first of the two at the same time: 0 what the database has, 1 the topic."""
DATABASE, TOPIC = 0, 1


class Item(NamedTuple):
    """One record. ``topic``: in full; ``time_ms``: its Kafka timestamp, that is stream time or T.

    ``place`` rises within its stream: an offset, or how many came before.
    """

    time_ms: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    place: int
    source: str | None = None
    position: tuple[int, int] | None = None
    """Of records that may come again: where in its source's sequence it stands."""


class Cursor(NamedTuple):
    """How far a stream was taken: the place of the next item, and the running maximum of times so far."""

    place: int = 0
    reached_ms: int = 0


class Stream(Protocol):
    """Records of one origin."""

    @property
    def name(self) -> Name:
        """Its name."""

    def since(self, place: int) -> Iterator[Item]:
        """Its items from that place on, 0: all. The same again each time it is asked."""


def merged(streams: Iterable[Stream], cursors: Mapping[Name, Cursor]) -> Iterator[tuple[Name, Cursor, Item]]:
    """All items from the cursors on, in the order of the replay, each with where its stream goes on after it."""
    heads: list[tuple[int, Name, Item, Iterator[Item]]] = []
    for stream in streams:
        cursor = cursors.get(stream.name, Cursor())
        items = stream.since(cursor.place)
        if (first := next(items, None)) is not None:
            heads.append((max(cursor.reached_ms, first.time_ms), stream.name, first, items))
    heapify(heads)
    while heads:
        reached_ms, name, item, items = heads[0]
        yield name, Cursor(item.place + 1, reached_ms), item
        following = next(items, None)
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (max(reached_ms, following.time_ms), name, following, items))

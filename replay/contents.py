"""What topics hold and what they should hold: records by place, hashes, and the differences, smallest first.

Equality (DESIGN.md, Recovery 9): value bytes, key, timestamp and headers, in order per key and source, repeats dropped.
Contents lie in a file meanwhile, hashes in memory: a range may be larger than the process may be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import NamedTuple

import msgspec

from replay.fields import differing_fields

Position = tuple[int, int]
SHOWN_HASH = 16


class Group(NamedTuple):
    """Within a group order counts: one key of one source. A symbol of an exchange has one source."""

    key: bytes
    source: str

    def __str__(self) -> str:
        return f"{self.key.decode(errors='replace')} {self.source}"


class Content(NamedTuple):
    """All of a record that has to be equal."""

    key: bytes
    value: bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes | None]]


class Entry(NamedTuple):
    """The SHA-256 of a content, and where in the spool it lies."""

    digest: bytes
    place: int


class Line(NamedTuple):
    """One row of the verdict."""

    name: str
    records: int
    digest: str
    verdict: str


class Difference(NamedTuple):
    """One record or row that is not as it should be. ``size``: how many fields differ; the whole of one counts more."""

    size: int
    name: str
    place: str
    what: str


class Verdict(NamedTuple):
    """Of one topic or table. ``behind``: what is not there yet, because its writer has not come so far."""

    line: Line
    differences: list[Difference]
    behind: int = 0


WHOLE = 1_000_000
"""The size of a difference that is a whole record."""


class Spool:
    """Contents in a temporary file, by place."""

    def __init__(self) -> None:
        """The file is gone with the process."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self._end = 0

    def put(self, content: bytes) -> Entry:
        """Keep these bytes."""
        place, size = self._end, len(content).to_bytes(8, "big")
        self._file.seek(place)
        self._file.write(size + content)
        self._end = place + 8 + len(content)
        return Entry(sha256(content).digest(), place)

    def get(self, entry: Entry) -> bytes:
        """The bytes of an entry."""
        self._file.seek(entry.place)
        size = int.from_bytes(self._file.read(8), "big")
        return self._file.read(size)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class Side:
    """One topic's records of the range, as recomputed or as found."""

    def __init__(self, name: str, label: str, spool: Spool) -> None:
        """``name``: the topic's in the table of topics; ``label``: in full."""
        self.name = name
        self.label = label
        self.groups: dict[Group, dict[Position, Entry]] = {}
        self.repeats = 0
        self.odd: list[Difference] = []
        """Repeats that are none: another content at a position that was taken, or a position that was passed by."""
        self._spool = spool

    def add(self, group: Group, position: Position, content: Content) -> None:
        """Take one record, in the order of its partition."""
        taken = self.groups.setdefault(group, {})
        packed = msgspec.msgpack.encode(content)
        if not taken or position > next(reversed(taken)):
            taken[position] = self._spool.put(packed)
        elif position not in taken:
            self._strange(group, position, "comes after a later position")
        elif taken[position].digest != sha256(packed).digest():
            self._strange(group, position, "comes again with another content")
        else:
            self.repeats += 1

    def _strange(self, group: Group, position: Position, what: str) -> None:
        self.odd.append(Difference(WHOLE, self.label, f"{group} {text(position)}", what))

    def count(self) -> int:
        """Records, without repeats."""
        return sum(len(taken) for taken in self.groups.values())

    def digest(self, group: Group) -> bytes:
        """SHA-256 of a group's contents, in order."""
        return sha256(b"".join(entry.digest for entry in self.groups.get(group, {}).values())).digest()

    def content(self, entry: Entry) -> Content:
        """What an entry stands for."""
        return msgspec.msgpack.decode(self._spool.get(entry), type=Content)

    def whole_digest(self) -> str:
        """SHA-256 over the groups' hashes, shortened for the eye."""
        whole = sha256()
        for group in sorted(self.groups):
            whole.update(repr(group).encode() + self.digest(group))
        return whole.hexdigest()[:SHOWN_HASH]


def text(position: Position) -> str:
    """As in the header ``position``."""
    return f"{position[0]}:{position[1]}"


def compare(expected: Side, found: Side, is_behind: Callable[[Group, Position], bool]) -> Verdict:
    """Group by group by hash, and record by record where these differ.

    ``is_behind``: whether the writer of that group has not come to this position yet.
    """
    differences, behind = list(found.odd), 0
    for group in sorted(expected.groups.keys() | found.groups.keys()):
        if expected.digest(group) == found.digest(group):
            continue
        wanted, there = expected.groups.get(group, {}), found.groups.get(group, {})
        for position in sorted(wanted.keys() | there.keys()):
            place = f"{group} {text(position)}"
            if position not in there:
                if is_behind(group, position):
                    behind += 1
                else:
                    differences.append(Difference(WHOLE, found.label, place, "is missing"))
            elif position not in wanted:
                differences.append(Difference(WHOLE, found.label, place, "should not be there"))
            elif wanted[position].digest != there[position].digest:
                fields = _differing(expected.content(wanted[position]), found.content(there[position]))
                differences.append(Difference(len(fields), found.label, place, _shown(fields)))
    line = Line(found.label, found.count(), found.whole_digest(), verdict_text(len(differences), behind))
    return Verdict(line, sorted(differences), behind)


def verdict_text(differences: int, behind: int, note: str = "") -> str:
    """`equal`, or how many differ, or how many are not there yet."""
    if differences:
        return f"DIFFERENT: {differences}"
    return f"behind: {behind} not there yet" if behind else f"equal{note}"


def _differing(expected: Content, found: Content) -> list[str]:
    fields = []
    if expected.timestamp_ms != found.timestamp_ms:
        fields.append(f"timestamp {found.timestamp_ms} instead of {expected.timestamp_ms}")
    if expected.headers != found.headers:
        fields.append(f"headers {found.headers} instead of {expected.headers}")
    if expected.value != found.value:
        fields += differing_fields(expected.value, found.value)
    return fields


def _shown(fields: Iterable[str], limit: int = 5) -> str:
    named = list(fields)
    more = f" and {len(named) - limit} more" if len(named) > limit else ""
    return "; ".join(named[:limit]) + more

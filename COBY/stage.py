"""What every stage's task looks like: records in, outputs out, state that can be saved and loaded.

A task belongs to one (stage, input topic, partition) and is a deterministic function of the records fed to it, in
whatever pieces they come. Shells (streams/, tests, replay) feed chunks and forward outputs; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from COBY.topics import MAX_MESSAGE_BYTES

MAX_DETAIL = 500
"""Characters of an error's text that a dead letter or gap carries."""
MAX_LETTER_BYTES = MAX_MESSAGE_BYTES - 64 * 1024

Headers = Sequence[tuple[str, bytes]]


class InRecord(Protocol):
    """A Kafka record as a task sees it; aiokafka's ConsumerRecord has this shape."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # milliseconds
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class StoredRecord(NamedTuple):
    """An InRecord made by hand: for recordings, tests, and clients whose records have other attribute names."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Output(NamedTuple):
    """One record to be produced. ``topic`` is a name of topics.TOPICS, without prefix and version."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: list[tuple[str, bytes]]


class Task(Protocol):
    """One deterministic task."""

    next_offset: int | None
    """Offset of the next record it takes; None before the first."""

    def process(self, records: Sequence[InRecord]) -> list[Output]:
        """Take records of the task's partition, in order of offset, and return what is to be produced, in order."""

    def save(self) -> bytes:
        """The whole state as bytes: equal states give equal bytes."""

    def load(self, state: bytes) -> None:
        """Replace the state by one that ``save`` returned."""

    def counters(self) -> dict[tuple[str, ...], int]:
        """Totals since the task was made, for metrics, as ("rejected", code) or ("gaps", symbol, reason)."""


def position_headers(source: bytes, first: int, index: int, settings: bytes) -> list[tuple[str, bytes]]:
    """Headers of a derived record: where in its source's sequence it stands (DESIGN.md, Recovery 1).

    ``first`` is the raw offset (normalize) or the tick's T in microseconds (aggregate); with ``index`` it gives the
    position ``first:index``, compared as two ints.
    """
    return [("source", source), ("position", b"%d:%d" % (first, index)), ("settings", settings)]


def dead_letter(
    cause: InRecord, headers: list[tuple[str, bytes]], stage: str, code: str, detail: str
) -> Output:
    """A record that could not be used, for the dead letters: its bytes as they came, and what failed, where, why.

    A value so large that the broker would refuse it together with these headers is cut, and says so.
    """
    value = cause.value or b""
    why = [
        ("stage", stage.encode()),
        ("code", code.encode()),
        ("detail", detail[:MAX_DETAIL].encode(errors="replace")),
    ]
    if len(value) > MAX_LETTER_BYTES:
        why.append(("cut_from", b"%d" % len(value)))
    return Output("dlq", cause.key or b"", value[:MAX_LETTER_BYTES], cause.timestamp, headers + why)


def parse_position(value: bytes) -> tuple[int, int]:
    """``b"12:3"`` -> (12, 3); ValueError for anything else."""
    first, index = value.split(b":")
    return int(first), int(index)


def header(headers: Headers, name: str) -> bytes | None:
    """The first header of that name, or None."""
    return next((value for key, value in headers if key == name), None)

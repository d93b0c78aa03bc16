"""Records written to files: as a recording (JSON lines) or as Parquet. Nothing here knows where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from COBY.codec import decode
from COBY.records import NAMES, Gap, Record
from COBY.runtime.files import writing_bytes, writing_folder
from COBY.utils.exceptions import ProcessingError, ValidationError
from replay.items import Item
from replay.lines import line_of

RECORDING, PARQUET = "recording", "parquet"
FORMATS = {RECORDING: (".jsonl", ".jsonl.gz"), PARQUET: (".parquet",)}
"""Format -> the ends of names that mean it."""
TELL_EVERY = 200

Write = Callable[[Item, Record | None], None]


class Progress(NamedTuple):
    """``time_ms``: stream time, or T, of the last record written."""

    records: int
    time_ms: int


@dataclass
class Counts:
    """What was written: records by type, and ``unreadable`` ones, which a recording has as bytes alone.

    ``gaps``: holes by (exchange, symbol). ``left_out``: records that are in no file, as Parquet can't hold them.
    ``from_ms`` and ``to_ms``: lowest and highest time of all.
    """

    by_type: Counter[str] = field(default_factory=Counter)
    gaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: int = 0
    unreadable: int = 0
    from_ms: int | None = None
    to_ms: int | None = None

    @property
    def records(self) -> int:
        """All that are in the files."""
        return self.by_type.total() + self.unreadable


def export(
    items: Iterable[Item],
    path: str,
    file_format: str,
    *,
    force: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> Counts:
    """Write all items to a file (``-``: standard output, recordings alone), or for Parquet to a folder of files.

    ``tell`` is called every TELL_EVERY records. What breaks off leaves nothing under the name.
    ServiceError `file.exists`, `file.unwritable`; whatever the items raise.
    """
    counts, holes = Counts(), set()
    with _writing(path, file_format, force, counts) as write:
        for number, item in enumerate(items, 1):
            record = _record_of(item)
            write(item, record)
            if record is None:
                counts.unreadable += 1
            else:
                counts.by_type[NAMES[type(record)]] += 1
            if isinstance(record, Gap):  # it comes when a hole opens and when it closes: once by its key
                holes.add((record.exchange, record.symbol, record.from_time, record.reason))
            counts.from_ms = item.time_ms if counts.from_ms is None else min(counts.from_ms, item.time_ms)
            counts.to_ms = item.time_ms if counts.to_ms is None else max(counts.to_ms, item.time_ms)
            if tell is not None and number % TELL_EVERY == 0:
                tell(Progress(number, item.time_ms))
    counts.gaps.update((exchange, symbol) for exchange, symbol, _, _ in holes)
    return counts


def format_of(path: str, chosen: str | None) -> str:
    """The format chosen, else the one that the name's end means. ValidationError `replay.format`."""
    by_name = next((each for each, ends in FORMATS.items() if path.endswith(ends)), None)
    meant = chosen or (RECORDING if path == "-" else by_name)
    ends = ", ".join(end for each in FORMATS.values() for end in each)
    if meant is None:
        raise ValidationError("replay.format", f"what is {path} to be?", allowed=f"{ends}, or --format")
    if meant == PARQUET and path == "-":
        raise ValidationError("replay.format", "Parquet on standard output", allowed="a name")
    return meant


@contextmanager
def _writing(path: str, file_format: str, force: bool, counts: Counts) -> Iterator[Write]:
    if file_format == RECORDING:
        with writing_bytes(path, force=force) as file:

            def write(item: Item, record: Record | None) -> None:
                file.write(line_of(item, record))

            yield write
        return
    from replay.parquet import SUFFIX, ParquetFolder  # here: pyarrow is large, and other commands do without

    def left_out(name: str | None) -> None:
        counts.left_out += 1
        if name is None:
            counts.unreadable -= 1
        else:
            counts.by_type[name] -= 1

    with writing_folder(path, SUFFIX, force=force) as folder:
        files = ParquetFolder(folder, left_out)
        try:
            yield files.write
        except BaseException:
            files.abandon()
            raise
        files.close()


def _record_of(item: Item) -> Record | None:
    try:
        return decode(item.value)
    except ProcessingError:
        return None

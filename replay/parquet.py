"""Items as Parquet: a folder with a file for each type of record, written in row groups with bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from COBY.records import NAMES, Record
from COBY.stage import header
from replay.columns import TIME, columns_of
from replay.items import Item

SUFFIX = ".parquet"
WAITING_BYTES = 8 * 1024 * 1024
"""Values as they came that may wait for their row group, all files together; as objects they are ten times that."""
COMPRESSION = "zstd"


class Origin(NamedTuple):
    """What a file says of each record beside its own fields."""

    stream_time: int
    source: str | None
    position: str | None
    settings: str | None


ORIGINS = {"stream_time": TIME, "source": pa.string(), "position": pa.string(), "settings": pa.string()}


class ParquetFolder:
    """Writes into a folder that is there: ``trade.parquet``, ``book.parquet`` …, as records of that type come.

    The columns are the record's fields (columns.py), then ``stream_time`` (the record's Kafka time: stream time, or
    T), and the headers ``source``, ``position`` and ``settings``. OSError where the folder can't be written.
    """

    def __init__(self, folder: Path, left_out: Callable[[str | None], None]) -> None:
        """``left_out`` is told of each record that no file can hold: its type, None for no record of ours."""
        self._folder = folder
        self._left_out = left_out
        self._files: dict[str, _File] = {}
        self._waiting_bytes = 0

    def write(self, item: Item, record: Record | None) -> None:
        """Take an item; None for a value that is no record."""
        if record is None:
            self._left_out(None)
            return
        name = NAMES[type(record)]
        if name not in self._files:
            self._files[name] = _File(self._folder / f"{name}{SUFFIX}", name)
        size = len(item.value or b"")
        self._files[name].add(_origin(item), record, size)
        self._waiting_bytes += size
        if self._waiting_bytes >= WAITING_BYTES:
            # The largest alone: small ones need not be cut into many row groups for its sake.
            self._flush(max(self._files.values(), key=lambda file: file.waiting_bytes))

    def close(self) -> None:
        """Write what waits, and end the files."""
        for file in self._files.values():
            self._flush(file)
            file.writer.close()

    def abandon(self) -> None:
        """End the files as they are: they are going to be removed."""
        for file in self._files.values():
            with suppress(OSError):
                file.writer.close()

    def _flush(self, file: _File) -> None:
        self._waiting_bytes -= file.waiting_bytes
        for _ in range(file.flush()):
            self._left_out(file.name)


class _File:
    """One file, and what waits to become its next row group."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._columns = columns_of(name)
        # A record's own field comes first where one has the same name.
        self._origins = [each for each in ORIGINS if each not in self._columns.names]
        more = [pa.field(each, ORIGINS[each]) for each in self._origins]
        self._schema = pa.schema([*self._columns.fields, *more])
        self._rows: list[tuple[Origin, Record]] = []
        self.waiting_bytes = 0
        self.writer: Any = pq.ParquetWriter(path, self._schema, compression=COMPRESSION)

    def add(self, origin: Origin, record: Record, size: int) -> None:
        self._rows.append((origin, record))
        self.waiting_bytes += size

    def flush(self) -> int:
        """Write a row group of what waits; returns how many records had to be left out."""
        rows, self._rows, self.waiting_bytes = self._rows, [], 0
        left_out = 0
        try:
            batch = self._batch(rows)
        except (ValueError, OverflowError):  # of a stranger: one value is beyond its column's type
            held = [row for row in rows if self._is_held(row)]
            left_out, batch = len(rows) - len(held), self._batch(held)
        if batch.num_rows:
            self.writer.write_batch(batch, row_group_size=batch.num_rows)
        return left_out

    def _batch(self, rows: list[tuple[Origin, Record]]) -> Any:
        records = [record for _, record in rows]
        origins = [
            pa.array([getattr(origin, name) for origin, _ in rows], ORIGINS[name]) for name in self._origins
        ]
        arrays = [*self._columns.arrays(records), *origins]
        return pa.record_batch(arrays, schema=self._schema)

    def _is_held(self, row: tuple[Origin, Record]) -> bool:
        try:
            self._batch([row])
        except (ValueError, OverflowError):
            return False
        return True


def _origin(item: Item) -> Origin:
    def text(name: str) -> str | None:
        value = header(item.headers, name)  # type: ignore[arg-type]  # a header without a value is None, too
        return None if value is None else value.decode(errors="replace")

    return Origin(item.time_ms * 1000, text("source"), text("position"), text("settings"))

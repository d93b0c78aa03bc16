"""Reads recordings: JSON lines, one frame or REST body a line, `.gz` opened. Knows no exchange."""

import gzip
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from simulator.errors import SimulatorError

READ = ("in", "http")


class Row(msgspec.Struct, frozen=True):
    """What was received: `at_us` from the recording's first row on, `is_body` for a REST body. `text` is bytes where
    the recording holds it as base64.
    """

    number: int
    at_us: int
    is_body: bool
    text: str | bytes
    url: str | None = None
    symbol: str | None = None

    @property
    def as_text(self) -> str:
        """A REST body, or a frame that is no binary message."""
        return self.text if isinstance(self.text, str) else self.text.decode(errors="replace")


class _Line(msgspec.Struct):
    # None on a context row at most.
    frame: str | None
    dir: str = "in"
    received_at: float | None = None
    received_at_ns: int | None = None
    encoding: str | None = None
    url: str | None = None
    symbol: str | None = None


def read_recording(path: Path) -> list[Row]:
    """All frames and REST bodies in order; context rows (`out`, `connect`, `meta`, `in-ack`) are left out.

    Times never step back: a row without one, or with an earlier one, has that of the row before.
    Errors: `simulator.recording_invalid` with the line, `simulator.recording_missing`.
    """
    try:
        with _open(path) as file:
            return list(_rows(file, path.name))
    except (OSError, EOFError) as error:
        raise SimulatorError("recording_missing", f"{path}: {error}") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _rows(lines: Iterable[bytes], name: str) -> Iterable[Row]:
    decoder = msgspec.json.Decoder(_Line)
    first_ns: int | None = None
    at_ns = 0
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            line = decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SimulatorError("recording_invalid", f"{name} line {number}: {error}") from error
        if line.dir not in READ:
            continue
        if line.frame is None:
            raise SimulatorError("recording_invalid", f"{name} line {number}: no frame")
        try:
            text = _text(line.frame, line.encoding)
        except ValueError as error:
            raise SimulatorError("recording_invalid", f"{name} line {number}: {error}") from error
        time_ns = _time_ns(line)
        if time_ns is not None:
            first_ns = time_ns if first_ns is None else first_ns
            at_ns = max(at_ns, time_ns - first_ns)
        yield Row(number, at_ns // 1000, line.dir == "http", text, line.url, line.symbol)


def _text(frame: str, encoding: str | None) -> str | bytes:
    if encoding is None:
        return frame
    if encoding != "base64":
        raise ValueError(f"encoding {encoding}")
    return b64decode(frame, validate=True)


def _time_ns(line: _Line) -> int | None:
    if line.received_at_ns is not None:
        return line.received_at_ns
    return None if line.received_at is None else round(line.received_at * 1e9)

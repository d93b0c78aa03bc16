"""Opening recordings and other line files: a path or `-` (standard input, standard output), `.gz` opened."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from secrets import token_hex
from typing import IO, BinaryIO, cast

from COBY.utils.exceptions import ServiceError

GZIP_MAGIC = b"\x1f\x8b"
GZIP_LEVEL = 6
"""Level 9 takes several times as long for a twentieth of the size."""


@contextmanager
def reading_lines(path: str) -> Iterator[Iterator[bytes]]:
    """The lines of a file, or of standard input for `-`; gzip is known by its first bytes, whatever the name.

    ServiceError `file.unreadable` where the file is not there, or broken in the middle.
    """
    try:
        with _source(path) as source:
            yield _lines(source, path)
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def writing_bytes(path: str, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write, or standard output for `-`; compressed where the name ends in `.gz`.

    It is there under its name once it is whole: until then, and where writing breaks off, it is not, and one that
    was there before is untouched. Devices and pipes are written to as they are.
    ServiceError `file.exists` for a file that is there already (unless `force`), `file.unwritable` otherwise.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with _told(path), _whole_file(_regular(Path(path)), force) as file:
        if not path.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, compresslevel=GZIP_LEVEL) as packed:
            yield cast(BinaryIO, packed)


@contextmanager
def writing_folder(path: str, suffix: str, *, force: bool = False) -> Iterator[Path]:
    """A new folder to write files of that suffix into; it takes its name once it is whole, as `writing_bytes` does.

    The same errors. With `force` a folder that holds nothing but such files gives way, any other does not.
    """
    place = _regular(Path(path))
    with _told(path):
        if place.exists() and not (force and _holds_only(place, suffix)):
            raise FileExistsError
        part = _part(place)
        part.mkdir()
        try:
            yield part
            for file in part.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            if place.exists() and not force:  # another program has written it meanwhile
                raise FileExistsError
            _put_folder(part, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        message = f"{path} is there already"
        raise ServiceError("file.exists", message, where=path, allowed="a new file") from error
    except OSError as error:
        if error.errno is None:
            raise  # not of a file: a TimeoutError of who gives what is written
        raise ServiceError("file.unwritable", f"{error.strerror or error}", where=path) from error


@contextmanager
def _whole_file(place: Path, force: bool) -> Iterator[BinaryIO]:
    if place.exists() and not force:
        raise FileExistsError
    if place.exists() and not place.is_file():  # a device or a pipe: nothing may be put in its place
        with place.open("wb") as file:
            yield file
        return
    part = _part(place)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if place.exists() and not force:  # another program has written it meanwhile
            raise FileExistsError
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _regular(path: Path) -> Path:
    """What a link to a file or folder leads to: that is to be replaced, not the link. Devices stay as named."""
    return path.resolve() if path.is_file() or path.is_dir() else path


def _part(place: Path) -> Path:
    """A name beside it that no other program writes to."""
    return place.with_name(f"{place.name}.{token_hex(4)}.part")


def _holds_only(place: Path, suffix: str) -> bool:
    return place.is_dir() and all(file.is_file() and file.suffix == suffix for file in place.iterdir())


def _put_folder(part: Path, place: Path) -> None:
    """Give it its name; a folder that had it is moved away before, and back where that fails."""
    former = _part(place)
    try:
        place.rename(former)
    except FileNotFoundError:
        part.rename(place)
        return
    try:
        part.rename(place)
    except OSError:
        former.rename(place)
        raise
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def _source(path: str) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        plain = sys.stdin.buffer if path == "-" else stack.enter_context(Path(path).open("rb"))
        # Whoever replaces standard input may give a stream that cannot look ahead.
        file = plain if isinstance(plain, BufferedReader) else BufferedReader(cast(RawIOBase, plain))
        if file.peek(2)[:2] == GZIP_MAGIC:
            yield cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=file)))
        else:
            yield file


def _lines(source: IO[bytes], path: str) -> Iterator[bytes]:
    try:
        yield from source
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> ServiceError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    allowed = "a readable file, - for standard input"
    return ServiceError("file.unreadable", reason, where=path, allowed=allowed)

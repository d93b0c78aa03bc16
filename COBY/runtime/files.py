"""Opening recordings and other line files: a path or `-` (standard input, standard output), `.gz` opened."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, BinaryIO, cast

from COBY.utils.exceptions import ServiceError

GZIP_MAGIC = b"\x1f\x8b"


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

    ServiceError `file.exists` for a file that is there already (unless `force`), `file.unwritable` otherwise.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with Path(path).open("wb" if force else "xb") as file:
            if not path.endswith(".gz"):
                yield file
                return
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                yield cast(BinaryIO, packed)
    except FileExistsError as error:
        message = f"{path} is there already"
        raise ServiceError("file.exists", message, where=path, allowed="a new file") from error
    except OSError as error:
        raise ServiceError("file.unwritable", f"{error.strerror or error}", where=path) from error


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

"""Compressed frames: inflated one by one, and never beyond a bound. Pure."""

from __future__ import annotations

import zlib

GZIP = b"\x1f\x8b"
"""What gzip begins with (RFC 1952, 2.3.1)."""
MAX_INFLATED = 4 * 1024 * 1024
"""Bytes; frames of a book are some 30 kB. A small frame can inflate to a thousand times its length."""
_WITH_HEADER = 31
"""zlib's window bits for gzip."""


class InflationError(ValueError):
    """A frame that can't be inflated."""


def inflated(frame: bytes) -> bytes:
    """What a frame of gzip holds; any other is its own content, as recordings may have it.

    InflationError: broken, cut short, more than MAX_INFLATED, or something behind it.
    """
    if not frame.startswith(GZIP):
        return frame
    stream = zlib.decompressobj(_WITH_HEADER)
    try:
        text = stream.decompress(frame, MAX_INFLATED)
    except zlib.error as error:
        raise InflationError(f"no gzip: {error}") from error
    if not stream.eof:
        full = len(text) >= MAX_INFLATED
        raise InflationError(f"more than {MAX_INFLATED} bytes" if full else "gzip that is cut short")
    if stream.unused_data:
        raise InflationError(f"{len(stream.unused_data)} bytes behind the gzip")
    return text


def opening(frame: bytes, count: int) -> bytes:
    """The first ``count`` bytes of `inflated`, at the cost of those; empty where there are none."""
    if not frame.startswith(GZIP):
        return frame[:count]
    try:
        return zlib.decompressobj(_WITH_HEADER).decompress(frame, count)
    except zlib.error:
        return b""

"""Pages by key, never by number: an opaque cursor that says behind which row of which query the next page begins. Pure.

A cursor holds the range that was asked for (so that `to` stays where it was, though it was "now") and the key of the
last row, and belongs to the query by a digest of its other parameters. Its checksum finds damage. It is no signature,
and need not be one: whoever makes a cursor by hand gets what the same parameters would have given.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from api.times import Span
from COBY.utils.exceptions import ValidationError

USUAL_ROWS = 1_000
MOST_ROWS = 10_000
LONGEST_CURSOR = 2_000
_VERSION = 1
_CHECK_BYTES = 6

Part = str | int
Key = tuple[Part, ...]
"""What orders the rows: times in microseconds, decimals as text."""


class Cursor(NamedTuple):
    """Where a walk stands: its range, and the key behind which it goes on."""

    span: Span
    key: Key


def encode(cursor: Cursor, query: Mapping[str, Any]) -> str:
    """The text of a cursor for ``query``: the parameters that say which rows are asked for, of which page none."""
    body = json.dumps(
        [_VERSION, _digest(query), *cursor.span, list(cursor.key)], separators=(",", ":")
    ).encode()
    return base64.urlsafe_b64encode(_check(body) + body).decode().rstrip("=")


def decode(text: str, query: Mapping[str, Any], types: tuple[type, ...]) -> Cursor:
    """The cursor of that text; ``types`` are those of its key.

    ValidationError `api.cursor` for what is no cursor of ours or was changed, `api.cursor_other` for one of
    another query.
    """
    version, digest, since_us, until_us, key = _content(text)
    if version != _VERSION or len(key) != len(types):
        raise _invalid()
    if digest != _digest(query):
        raise ValidationError(
            "api.cursor_other",
            "the cursor belongs to another query",
            where="query.cursor",
            allowed="the parameters of the request that gave it; only limit may differ",
        )
    for part, kind in zip(key, types, strict=True):
        if type(part) is not kind or (isinstance(part, str) and "\0" in part):
            raise _invalid()
    return Cursor(Span(since_us, until_us), tuple(key))


def _content(text: str) -> list[Any]:
    if len(text) > LONGEST_CURSOR:
        raise _invalid()
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, body = whole[:_CHECK_BYTES], whole[_CHECK_BYTES:]
        # The canonical form only: the last character of base64 has bits that say nothing.
        if check != _check(body) or base64.urlsafe_b64encode(whole).decode().rstrip("=") != text:
            raise _invalid()
        content = json.loads(body)
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid() from None
    if not isinstance(content, list) or len(content) != 5:
        raise _invalid()
    if not all(type(part) is int for part in (content[0], *content[2:4])) or not isinstance(content[4], list):
        raise _invalid()
    return content


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES, person=b"coby.cursor").digest()


def _digest(query: Mapping[str, Any]) -> str:
    text = json.dumps(query, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _invalid() -> ValidationError:
    text = "the cursor is not one of ours, or was changed"
    return ValidationError(
        "api.cursor", text, where="query.cursor", allowed="next_cursor of the page before, as it is"
    )

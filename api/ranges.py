"""What every route with a range of time has in common: its parameters, its pages, its forms."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Depends, Header, Query, Response

from api.formats import (
    ARROW,
    COMPLETE_HEADER,
    CSV,
    CURSOR_HEADER,
    JSON,
    Body,
    Page,
    packed,
    render,
    takes_gzip,
    wanted,
)
from api.history.reading import Walk
from api.pages import LONGEST_CURSOR, MOST_ROWS, USUAL_ROWS, Cursor, decode
from api.shapes import Column, schema_of
from api.times import check_span, parse_span
from COBY.utils.timing import to_us, utc_now

Numbers = Annotated[
    Literal["exact", "float"],
    Query(description="Decimals as strings of eight decimals (in Arrow as decimal128), or as floats."),
]
_TIME = "RFC 3339 with an offset, or integer milliseconds since 1970"
# For the document alone: what does not fit is told by codes of its own, which say more than a pattern.
_TIME_PATTERN: dict[str, Any] = {
    "pattern": r"^(\d{1,14}|[12]\d{3}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-][01]\d:[0-5]\d))$"
}


class Asked(NamedTuple):
    """The parameters of a range as they came; ``is_plain``: none that names a range or a page of one."""

    since: str | None
    until: str | None
    limit: int
    cursor: str | None
    floats: bool
    media_type: str
    packs: bool
    """Whether gzip is understood."""

    @property
    def is_plain(self) -> bool:
        return self.since is self.until is self.cursor is None

    def walk(self, names: Mapping[str, Any], types: tuple[type, ...], usual_us: int, longest_us: int) -> Walk:
        """The page that is asked for. ``names``: the parameters that say of what; ``types``: those of the cursor's key.

        ValidationError: see api/times.py and api/pages.py.
        """
        query = {**names, "from": self.since, "to": self.until}
        if self.cursor is None:
            span = parse_span(self.since, self.until, now_us(), usual_us, longest_us)
            return Walk(Cursor(span, ()), self.limit, query)
        cursor = decode(self.cursor, query, types)
        check_span(cursor.span, longest_us)
        return Walk(cursor, self.limit, query)


def asked(
    since: Annotated[
        str | None,
        Query(
            alias="from",
            description=f"First moment: {_TIME}.",
            max_length=64,
            json_schema_extra=_TIME_PATTERN,
        ),
    ] = None,
    until: Annotated[
        str | None,
        Query(
            alias="to",
            description=f"Moment after the last: {_TIME}. Without it: now.",
            max_length=64,
            json_schema_extra=_TIME_PATTERN,
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows of a page, at most.")] = USUAL_ROWS,
    cursor: Annotated[
        str | None,
        Query(
            max_length=LONGEST_CURSOR,
            description="`next_cursor` of the page before; the other parameters stay as they were.",
            json_schema_extra={"pattern": r"^[A-Za-z0-9_-]{40,}$"},
        ),
    ] = None,
    numbers: Numbers = "exact",
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    accept_encoding: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Asked:
    """The dependency of a route with a range."""
    packs = takes_gzip(accept_encoding)
    return Asked(since, until, limit, cursor, numbers == "float", wanted(accept), packs)


Range = Annotated[Asked, Depends(asked)]


def now_us() -> int:
    """The wall clock, in microseconds."""
    return to_us(utc_now())


async def answer(page: Page, wanted: Asked) -> Response:
    """The page in the form that is wanted; made in a thread, as a large one takes a while."""

    def make() -> Body:
        body = render(wanted.media_type, page, floats=wanted.floats)
        return packed(body) if wanted.packs else body

    body = await asyncio.to_thread(make)
    return Response(body.content, headers=body.headers, media_type=body.media_type)


def whole(data: Sequence[Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that is its only page."""
    return {"data": data, "page": {"next_cursor": None, "has_more": False}, "meta": meta}


def documented(columns: Sequence[Column]) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route with a range, for the OpenAPI document."""
    text = {"schema": {"type": "string"}}
    forms = {
        JSON: {"schema": envelope(schema_of(columns), _RANGE_META)},
        CSV: text,
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    }
    headers = {
        CURSOR_HEADER: {"schema": {"type": "string"}, "description": "`page.next_cursor`, if there is one."},
        COMPLETE_HEADER: {
            "schema": {"type": "string", "enum": ["true", "false"]},
            "description": "`meta.complete`.",
        },
    }
    return {200: {"description": "A page, and what its time lacks.", "content": forms, "headers": headers}}


def documented_live(description: str, schema: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers with what is now."""
    return {200: {"description": description, "content": {JSON: {"schema": envelope(schema, _LIVE_META)}}}}


def envelope(row: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of an answer with such rows."""
    page = {
        "type": "object",
        "properties": {"next_cursor": {"type": ["string", "null"]}, "has_more": {"type": "boolean"}},
        "required": ["next_cursor", "has_more"],
    }
    return {
        "type": "object",
        "properties": {"data": {"type": "array", "items": dict(row)}, "page": page, "meta": dict(meta)},
        "required": ["data", "page", "meta"],
    }


_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_HOLE = {
    "type": "object",
    "properties": {
        "symbol": {"type": "string"},
        "exchange": {"type": "string", "description": "`*`: all of them."},
        "from": _MOMENT,
        "to": _MOMENT,
        "reason": {"type": "string"},
    },
    "required": ["symbol", "exchange", "from", "to", "reason"],
}
_META = {
    "complete": {
        "type": "boolean",
        "description": "Whether nothing is missing in the time that this page covers.",
    },
    "gaps": {"type": "array", "items": _HOLE, "description": "What is missing, the first thousand."},
    "more_gaps": {"type": "boolean", "description": "Whether there are more than those."},
}
_RANGE_META = {
    "type": "object",
    "properties": {**_META, "from": _MOMENT, "to": _MOMENT},
    "required": [*_META],
}
_LIVE_META = {
    "type": "object",
    "properties": {
        **_META,
        "age_ms": {"type": "integer", "description": "How old the value is."},
        "stale": {
            "type": "boolean",
            "description": "Whether it is older than five seconds: not what is now.",
        },
    },
    "required": [*_META],
}

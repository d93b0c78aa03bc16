"""Times in bodies and parameters: RFC 3339 with an offset, or integer milliseconds; microseconds inside."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from COBY.utils.exceptions import CobyError
from COBY.utils.intervals import parse_time

EXAMPLE = "2026-01-02T03:04:05Z"


def _parsed(value: Any) -> int:
    """ValueError, which pydantic puts beside the field's name."""
    try:
        return parse_time(value)
    except CobyError as error:
        raise ValueError(error.detail()) from None


Moment = Annotated[
    int,
    BeforeValidator(_parsed),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}],
            "description": "RFC 3339 with an offset, or milliseconds since 1970.",
            "examples": [EXAMPLE, 1767323045000],
        }
    ),
]
"""Microseconds since 1970 of what was sent; of a body, for the validator is not run on what a model holds."""

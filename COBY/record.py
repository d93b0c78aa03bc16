"""The base of all records on topics. Pure."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """Base of all records; ``records.NAMES`` maps a struct to its schema's and topic's name."""

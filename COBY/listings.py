"""What an exchange says it lists, for `Exchange.listed`: rows of a JSON answer; errors say what is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec

from COBY.exchanges.base import UNREADABLE


class Row:
    """An object of the list."""

    def __init__(self, fields: dict[str, Any]) -> None:
        """``fields`` as they came."""
        self._fields = fields

    def text(self, key: str) -> str:
        """The text of that key. ValueError if there is none."""
        value = self._fields.get(key)
        if not isinstance(value, str):
            raise ValueError(f"{key!r} of a listed symbol is {value!r}, allowed: a text")
        return value

    def get(self, key: str) -> Any:
        """Whatever that key holds, None if nothing."""
        return self._fields.get(key)


def rows(body: bytes, *path: str) -> list[Row]:
    """The objects in the list, or the values of the object, that the keys of ``path`` lead to.

    ValueError where they lead to neither, or it is empty: an exchange without any symbol has answered something else.
    """
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE as error:
        raise ValueError(f"the list of symbols is no JSON: {error}") from error
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    values = list(found.values()) if isinstance(found, dict) else found
    if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
        begin = body[:200].decode(errors="replace")
        raise ValueError(f"no list of symbols at {'.'.join(path) or 'the top'} of the answer {begin!r}")
    return [Row(value) for value in values]

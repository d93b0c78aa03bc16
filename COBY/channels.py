"""Which channel of which symbol a frame belongs to, told from its first bytes. For sessions; pure and cheap.

A producer publishes frames unread. It needs no more than this to see that a channel has fallen silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

HEAD_BYTES = 800
"""Where a frame says what it is."""
BLANKS = {b'":': rb'"\s*:\s*', b'","': rb'"\s*,\s*"', rb"\{": rb"\s*\{\s*"}
_NUMBER = re.compile(rb"\s*\[\s*([0-9]{1,18})\s*,")


class Heard(Protocol):
    """A frame -> (symbol, ``book`` or ``trade``), None for any other."""

    def __call__(self, frame: bytes) -> tuple[str, str] | None:
        """See the class."""


def by_head(
    pattern: bytes,
    channels: Mapping[str, str],
    symbols: Mapping[str, str],
    *,
    head: Callable[[bytes, int], bytes] = lambda frame, size: frame[:size],
) -> Heard:
    """By a pattern with the groups ``channel`` and ``name``, laid on what ``head`` takes of a frame.

    ``channels``: the channel there -> book or trade; ``symbols``: exchange symbol -> symbol, compared in capitals.
    Between the signs of JSON there may be blanks in a frame that are not in the pattern.
    """
    for sign, blanks in BLANKS.items():
        pattern = pattern.replace(sign, blanks)
    compiled = re.compile(pattern, re.DOTALL)
    known = {
        (channel.encode(), name.upper().encode()): (symbol, ours)
        for channel, ours in channels.items()
        for name, symbol in symbols.items()
    }

    def heard(frame: bytes) -> tuple[str, str] | None:
        found = compiled.search(head(frame, HEAD_BYTES))
        return None if found is None else known.get((found["channel"], found["name"].upper()))

    return heard


def by_number(
    ids: Mapping[tuple[str, str], int], channels: Mapping[str, str], symbols: Mapping[str, str]
) -> Heard:
    """By the number that an array begins with; ``ids``: (channel, exchange symbol) -> number, as they stand then."""

    def heard(frame: bytes) -> tuple[str, str] | None:
        found = _NUMBER.match(frame[:HEAD_BYTES])
        if found is None:
            return None
        number = int(found[1])
        for (channel, name), one in ids.items():
            if one == number:
                return symbols[name], channels[channel]
        return None

    return heard

"""Where a reader of Kafka goes on, as one opaque text: offsets, and the positions by which repeats are known. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from COBY.utils.exceptions import ReplayError

Partition = tuple[str, int]
Taken = dict[Partition, dict[str, str]]
"""Topic and partition -> source -> position, as COBY.runtime.reader.Reader saves them."""


def cursor_text(offsets: Mapping[Partition, int], taken: Mapping[Partition, Mapping[str, str]]) -> str:
    """``offsets``: the next one of each partition."""
    rows = [
        [topic, number, offset, dict(taken.get((topic, number), {}))]
        for (topic, number), offset in sorted(offsets.items())
    ]
    text = json.dumps(rows, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(text.encode()).decode()


def cursor_of(text: str) -> tuple[dict[Partition, int], Taken]:
    """What `cursor_text` was given. ReplayError `replay.cursor` for a text that it did not make."""
    try:
        offsets: dict[Partition, int] = {}
        taken: Taken = {}
        for topic, number, offset, positions in json.loads(base64.urlsafe_b64decode(text)):
            place = (str(topic), int(number))
            offsets[place] = int(offset)
            taken[place] = {str(source): str(position) for source, position in positions.items()}
    except (binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise ReplayError("replay.cursor", "no cursor of ours", allowed="a subscription's cursor") from error
    return offsets, taken

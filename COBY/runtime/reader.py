"""Dropping repeats: per topic partition and source, what is not newer than the last position taken.

Every writer of derived records may write again what it wrote before a crash, identical and with the same position
(DESIGN.md, Recovery 5 and 6). Every reader goes by this class, and its positions belong to the reader's own state.
"""

from __future__ import annotations

from collections.abc import Mapping

from COBY.stage import Headers, header, parse_position
from COBY.utils.exceptions import ProcessingError

Position = tuple[int, int]


def place_of(headers: Headers) -> tuple[str, Position]:
    """(source, position) of a derived record; of a replayed one (session, (run, n)).

    ProcessingError `reader.no_position` where the headers are missing or of another form.
    """
    try:
        session = header(headers, "session")
        if session is not None:
            run, n = header(headers, "run"), header(headers, "n")
            if run is None or n is None:
                raise ValueError("session without run and n")
            return session.decode(), (int(run), int(n))
        source, position = header(headers, "source"), header(headers, "position")
        if source is None or position is None:
            raise ValueError("no source or no position")
        return source.decode(), parse_position(position)
    except ValueError as error:
        raise ProcessingError(
            "reader.no_position", str(error), allowed="headers source and position (first:index)"
        ) from error


class Reader:
    """The last position taken, by topic partition and source."""

    def __init__(self) -> None:
        """Nothing taken yet: any position is new."""
        self._taken: dict[tuple[str, int], dict[str, Position]] = {}

    def is_new(self, topic: str, partition: int, source: str, position: Position) -> bool:
        """Take a position if it is newer than the last taken of its source; False for a repeat."""
        taken = self._taken.setdefault((topic, partition), {})
        last = taken.get(source)
        if last is not None and position <= last:
            return False
        taken[source] = position
        return True

    def save(self, topic: str, partition: int) -> dict[str, str]:
        """The positions of a topic partition as plain data, sorted: source -> `first:index`."""
        taken = self._taken.get((topic, partition), {})
        return {source: f"{first}:{index}" for source, (first, index) in sorted(taken.items())}

    def load(self, topic: str, partition: int, state: Mapping[str, str]) -> None:
        """Replace the positions of a topic partition by those that `save` returned."""
        self._taken[topic, partition] = {
            source: parse_position(position.encode()) for source, position in state.items()
        }

    def forget(self, topic: str, partition: int) -> None:
        """Drop the positions of a topic partition that is read no more."""
        self._taken.pop((topic, partition), None)

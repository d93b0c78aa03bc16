"""aggregate in the middle of a recomputation: one partition's books, as they are made again, closed tick by tick.

Its settings change where those of the records do: by then all it was fed before had been made under the former ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from COBY.aggregate import AggregateTask, SavedSymbol, State, Waiting
from COBY.snapshots import Snapshot
from COBY.stage import Output, StoredRecord
from replay.items import Item
from replay.settings import Taken
from replay.starts import settings_of


class Closing:
    """One partition."""

    def __init__(self, number: int, taken: list[Taken], snapshot: Snapshot | None) -> None:
        """``taken``: what its task took up; ``snapshot``: what its candles are taken from."""
        self._number = number
        self._configs = [one.config for one in taken]
        self._at: int | None = None
        self._hashes: dict[str, str] = {}
        self._closed_us: dict[bytes, int] = {}
        self._task: AggregateTask | None = None
        self._fed = 0
        if snapshot is not None:
            state = msgspec.msgpack.decode(snapshot.state, type=State)
            self._closed_us = {name.encode(): one.waiting.closed_us for name, one in state.symbols.items()}
            before = [place for place, one in enumerate(taken) if one.next_offset <= snapshot.next_offset]
            self._go_on(max(before, default=0), _candles_alone(state))

    def take(self, item: Item) -> list[Output]:
        """A book record: what its coming closes."""
        if item.time_ms * 1000 <= self._closed_us.get(item.key or b"", 0):
            return []
        self._follow(item.source or "", settings_of(item))
        assert self._task is not None
        record = StoredRecord(self._fed, item.time_ms, item.key, item.value, _present(item.headers))
        self._fed += 1
        return self._task.process([record])

    def _follow(self, source: str, settings: str) -> None:
        """A source has gone over to other settings: so did we, unless another one has brought us there."""
        if self._hashes.get(source) == settings:
            return
        self._hashes[source] = settings
        first = 0 if self._at is None else self._at + 1
        later = [place for place in range(first, len(self._configs)) if self._hash(place) == settings]
        if later:
            self._go_on(later[0], None if self._task is None else self._task.save())
        elif self._task is None:
            self._go_on(0, None)

    def _hash(self, place: int) -> str:
        return self._configs[place].settings_hash

    def _go_on(self, place: int, state: bytes | None) -> None:
        self._at, self._task = place, AggregateTask(self._configs[place], self._number)
        if state is not None:
            self._task.load(state)


def _candles_alone(state: State) -> bytes:
    """The state without what was open in it, and with no place in a book topic: both are made again."""
    symbols = {
        name: SavedSymbol(Waiting({}, {}, one.waiting.closed_us), one.candles)
        for name, one in state.symbols.items()
    }
    return msgspec.msgpack.encode(State(0, {}, symbols))


def _present(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    return [(name, value) for name, value in headers if value is not None]

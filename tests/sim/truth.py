"""The simulator's books as of any update sent, as text, and the comparison of the pipeline's books with them.

A book of thousands of levels is not written anew for each comparison: its texts are brought forward by what each update
changed, and checked against the simulator's own book as a whole now and then. A comparison looks at the levels that
have changed since the last one, and at all of them after a snapshot and each so many updates.
"""

from __future__ import annotations

from typing import NamedTuple

from COBY.book import Book
from COBY.side import Side
from COBY.text import PRICES
from simulator.sources import SeededSource
from simulator.wire import Levels

WHOLE_EACH = 64
CHECKED_EACH = 100
SHOWN = 6
Texts = dict[str, str]


class Entry(NamedTuple):
    """One update: its last number in the market, the number on the wire, the levels that it changed ("" is gone)."""

    last_id: int
    number: int
    bids: Levels
    asks: Levels


class Chronicle:
    """One symbol's book from the start on, cut to the widest window that the exchange offers."""

    def __init__(self, source: SeededSource, symbol: str) -> None:
        self._source, self._symbol = source, symbol
        depths = source.wire.depths
        self._depth = depths[-1] if depths else None
        self.begin()

    def begin(self) -> None:
        """From the present book on: earlier ones are known no more."""
        told, book = self._source.told(self._symbol), self._source.book(self._symbol)
        assert book is not None
        self.first_id = told.sequence
        self.base: tuple[Texts, Texts] = (dict(book.bids), dict(book.asks))
        self.head: tuple[Texts, Texts] = (dict(book.bids), dict(book.asks))
        self.entries: list[Entry] = []
        self._held = [dict(side.pairs(self._depth)) for side in (told.bids, told.asks)]

    def add(self) -> None:
        """An update was taken from the source."""
        told, wire, symbol = self._source.told(self._symbol), self._source.wire, self._symbol
        sides: list[Levels] = []
        for place, side in enumerate((told.bids, told.asks)):
            before = self._held[place]
            if self._depth is None:
                now = {price: side.sizes.get(price, 0) for price, _ in told.touched[place]}
                changed = {price: size for price, size in now.items() if before.get(price, 0) != size}
                for price, size in changed.items():
                    if size:
                        before[price] = size
                    else:
                        del before[price]
            else:
                self._held[place] = after = dict(side.pairs(self._depth))
                changed = dict.fromkeys(before.keys() - after.keys(), 0)
                changed |= {price: size for price, size in after.items() if before.get(price) != size}
            texts = wire.levels(symbol, list(changed.items()))
            sides.append(
                tuple(
                    (price, size if kept else "")
                    for (price, size), kept in zip(texts, changed.values(), strict=True)
                )
            )
        entry = Entry(told.sequence, wire.printed(symbol, told.sequence), sides[0], sides[1])
        self.entries.append(entry)
        apply(self.head, entry)
        if len(self.entries) % CHECKED_EACH == 0:
            self.check()

    def check(self) -> None:
        """What was brought forward is the simulator's own book."""
        book = self._source.book(self._symbol)
        assert book is not None
        assert self.head == (dict(book.bids), dict(book.asks)), f"{self._symbol} at {book.sequence}"


class Reading:
    """One connection's place in a chronicle: how far the exchange has told it of the book."""

    def __init__(self, chronicle: Chronicle, symbol: str) -> None:
        self._chronicle, self._symbol = chronicle, symbol
        self.reached = 0
        """The market's number of the last update, or snapshot, that has arrived."""
        self.top: int | None = None
        """Only so many levels a side are proven: an update is missing that nothing told of."""
        self._base: tuple[Texts, Texts] | None = None
        self._texts: tuple[Texts, Texts] = ({}, {})
        self._place = 0
        self._changed: tuple[set[str], set[str]] = (set(), set())
        self._book: tuple[object, object] = (None, None)
        self._looked = 0

    def differs(self, book: Book) -> str | None:
        """What is wrong with a live book; None: nothing, or it is ahead of what has arrived (a snapshot by REST)."""
        entry = self._move()
        if entry is None:
            return None
        if book.sequence_id is not None and book.sequence_id != entry.number:
            if book.sequence_id > entry.number:
                return None
            return f"{self._symbol} says {book.sequence_id} at {entry.number}"
        book.flush()
        self._looked += 1
        is_new = self._book != (id(book.bids.texts), id(book.asks.texts))
        if is_new:
            self.top = None
        self._book = (id(book.bids.texts), id(book.asks.texts))
        whole = is_new or self._looked % WHOLE_EACH == 0
        for place, side in enumerate((book.bids, book.asks)):
            wrong = self._side(book, side, place, whole=whole)
            if wrong:
                return f"{self._symbol} at {entry.last_id}: {wrong[:SHOWN]}"
        self._changed = (set(), set())
        return None

    def _move(self) -> Entry | None:
        """Bring the texts to the last update that has arrived; None if that is before the chronicle."""
        entries = self._chronicle.entries
        if self._base is not self._chronicle.base or (
            self._place and entries[self._place - 1].last_id > self.reached
        ):
            self._base, self._place, self._book = self._chronicle.base, 0, (None, None)
            self._texts = dict(self._base[0]), dict(self._base[1])
        while self._place < len(entries) and entries[self._place].last_id <= self.reached:
            entry = entries[self._place]
            apply(self._texts, entry)
            for changed, levels in zip(self._changed, entry[2:], strict=True):
                changed.update(price for price, _ in levels)
            self._place += 1
        return entries[self._place - 1] if self._place else None

    def _side(self, book: Book, side: Side, place: int, *, whole: bool) -> list[object]:
        held, expected, sign = side.texts, self._texts[place], (-1 if place else 1)
        if self.top is not None:
            return _best(held, sign, self.top, expected)
        edge = side.edge if book.depth is None else None
        if not whole:
            known = [price for price in self._changed[place] if edge is None or sign * PRICES[price] >= edge]
            return [
                (price, held.get(price), expected.get(price))
                for price in known
                if held.get(price) != expected.get(price)
            ]
        if edge is not None:
            held = {price: size for price, size in held.items() if sign * PRICES[price] >= edge}
            expected = {price: size for price, size in expected.items() if sign * PRICES[price] >= edge}
        return [] if held == expected else sorted(set(held.items()) ^ set(expected.items()))


def apply(texts: tuple[Texts, Texts], entry: Entry) -> None:
    """Change a book by an update."""
    for side, levels in zip(texts, entry[2:], strict=True):
        for price, size in levels:
            if size:
                side[price] = size
            else:
                side.pop(price, None)


def _best(held: Texts, sign: int, count: int, expected: Texts) -> list[object]:
    """What differs among the best levels."""
    found = [
        sorted(texts.items(), key=lambda level: -sign * PRICES[level[0]])[:count]
        for texts in (held, expected)
    ]
    return [] if found[0] == found[1] else sorted(set(found[0]) ^ set(found[1]))

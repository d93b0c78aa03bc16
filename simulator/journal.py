"""What one symbol's book was: the last updates kept, so that a book as of any of them can be made again."""

from array import array
from bisect import bisect_right

from simulator.market import Depth, MarketBook
from simulator.sides import Side

CHUNK = 1_000
CHUNKS_KEPT = 6

Packed = tuple[int, "array[int]", "array[int]"]


class _Chunk:
    """A book, and the updates that followed it."""

    def __init__(self, start: MarketBook) -> None:
        self.start = start
        self.updates: list[Packed] = []


class Journal:
    """At least the last 5,000 updates of a symbol.

    Read from another thread while updates come: the tuple of chunks is replaced, never changed, and a chunk's
    list is only added to.
    """

    def __init__(self, start: MarketBook) -> None:
        self._chunks: tuple[_Chunk, ...] = (_Chunk(start),)

    def add(self, event: Depth) -> bool:
        """Keep an update. True: the chunk is full, and `turn` is due with the book after this update."""
        updates = self._chunks[-1].updates
        # Packed: 5,000 updates as tuples of integers would be some 15 MB a symbol.
        updates.append((event.last_id, _packed(event.bids), _packed(event.asks)))
        return len(updates) >= CHUNK

    def turn(self, book: MarketBook) -> None:
        """Begin a new chunk with the book as it is now; the oldest is forgotten."""
        self._chunks = (*self._chunks[1 - CHUNKS_KEPT :], _Chunk(book))

    def at(self, sequence: int) -> MarketBook | None:
        """The book as of the last update up to `sequence`; None when that is older than what is kept."""
        for chunk in reversed(self._chunks):
            if chunk.start.sequence <= sequence:
                return _replayed(chunk.start, chunk.updates[:], sequence)
        return None


def _packed(changes: tuple[tuple[int, int], ...]) -> "array[int]":
    return array("q", [number for change in changes for number in change])


def _replayed(start: MarketBook, updates: list[Packed], sequence: int) -> MarketBook:
    bids, asks = Side(is_bid=True), Side(is_bid=False)
    bids.fill(start.bids)
    asks.fill(start.asks)
    reached = start.sequence
    count = bisect_right(updates, sequence, key=lambda update: update[0])
    for reached, *sides in updates[:count]:  # noqa: B007 - the last one is the book's sequence
        for side, packed in zip((bids, asks), sides, strict=True):
            for price, size in zip(packed[::2], packed[1::2], strict=True):
                side.set(price, size)
    return MarketBook(reached, bids.pairs(), asks.pairs())

"""What is left while exchanges are away, one after the other until none is there: arithmetic by hand."""

import pytest

from COBY.book import Book
from COBY.exchanges.base import Snapshot
from COBY.merging import consolidated, heatmap
from COBY.records import Cell, MergedLevel, Missing
from COBY.ticks import blind_tick, book_tick

U = 10**8
T = 1_700_000_000_500_000
NAMES = "abcde"
REASONS = ("disconnected", "producer_lost", "stale", "sequence_gap", "never_connected")


def tick(place):
    """One level a side, at 99 and 101, of the size 1, 2, 4, 8 or 16: a sum says who is in it."""
    book, size = Book(U), str(2**place)
    book.snapshot(Snapshot("BTCUSDT", [("99", size)], [("101", size)], 1, None))
    return book_tick("BTCUSDT", NAMES[place], T, 3, U, book, "c1", [])


def ticks(away):
    """Those whose bit is set in ``away`` are blind, each for a reason of its own."""
    return {
        name: blind_tick("BTCUSDT", name, T, U, REASONS[place], []) if away >> place & 1 else tick(place)
        for place, name in enumerate(NAMES)
    }


@pytest.mark.parametrize("away", range(32))
def test_what_is_shown_is_that_of_the_exchanges_that_are_there(away):
    there = [place for place in range(5) if not away >> place & 1]
    volume, count = (31 - away) * U, len(there)
    frame = heatmap("BTCUSDT", T, U, 3, ticks(away))
    assert [one.exchange for one in frame.exchanges] == [NAMES[place] for place in there]
    missing = [Missing(NAMES[place], REASONS[place]) for place in range(5) if away >> place & 1]
    assert frame.missing == missing
    cells = [Cell(99 * U, volume, U, "bid", count), Cell(101 * U, volume, U, "ask", count)]
    assert frame.data == (cells if there else [])
    merged = consolidated("BTCUSDT", T, ticks(away), ())
    assert merged.missing == missing
    assert merged.bids == ([MergedLevel(99 * U, volume, count)] if there else [])
    assert merged.asks == ([MergedLevel(101 * U, volume, count)] if there else [])

"""The smallest possible check of a Binance recording, by itself: rebuild the book, hold it against every bookTicker.

It shares nothing with the rest of the reference, on purpose. `python -m tests.reference.binance_book FILE`
"""

import gzip
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple


class Found(NamedTuple):
    """What a recording showed. common: update ids of depth events that a bookTicker has too."""

    depth_events: int
    book_tickers: int
    common: int
    different: list[int]
    gaps: int
    crossed: int
    trades: int
    distinct_trades: int


def rows(path: Path) -> list[dict]:
    """The recording's rows, `frame` decoded."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    for row in found:
        message = json.loads(row["frame"])
        row["message"] = message.get("data", message)
    return found


def check(path: Path) -> Found:
    """Read a recording with one REST snapshot."""
    messages = [row["message"] for row in rows(path)]
    snapshots = [message for message in messages if "lastUpdateId" in message]
    depths = [message for message in messages if message.get("e") == "depthUpdate"]
    trades = [message["t"] for message in messages if message.get("e") == "trade"]
    tickers = {message["u"]: message for message in messages if "u" in message and "B" in message}
    assert len(snapshots) == 1
    (snapshot,) = snapshots
    bids = {Decimal(price): Decimal(size) for price, size in snapshot["bids"]}
    asks = {Decimal(price): Decimal(size) for price, size in snapshot["asks"]}
    last, gaps, crossed, common, different = snapshot["lastUpdateId"], 0, 0, 0, []
    for number, depth in enumerate([depth for depth in depths if depth["u"] > last]):
        joins = depth["U"] <= last + 1 if number == 0 else depth["U"] == last + 1
        gaps += not joins
        change(bids, depth["b"])
        change(asks, depth["a"])
        last = depth["u"]
        crossed += max(bids) >= min(asks)
        if last in tickers:
            common += 1
            if top(bids, max) + top(asks, min) != told(tickers[last]):
                different.append(last)
    return Found(len(depths), len(tickers), common, different, gaps, crossed, len(trades), len(set(trades)))


def change(side: dict[Decimal, Decimal], levels: list[list[str]]) -> None:
    """Sizes are absolute; 0 removes."""
    for price, size in levels:
        side[Decimal(price)] = Decimal(size)
        if Decimal(size) == 0:
            del side[Decimal(price)]


def top(side: dict[Decimal, Decimal], best: object) -> tuple[Decimal, Decimal]:
    """(price, size) of the best level."""
    return best(side), side[best(side)]


def told(ticker: dict) -> tuple[Decimal, ...]:
    """What a bookTicker says: bid, its size, ask, its size."""
    return tuple(Decimal(ticker[name]) for name in ("b", "B", "a", "A"))


if __name__ == "__main__":
    print(check(Path(sys.argv[1])))

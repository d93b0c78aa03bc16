"""KuCoin's classic messages as text: level2 updates, matches, the REST book. Pure.

Source: EXCHANGES.md §7, its captures and the examples of the exchange's pages: levels of a message sorted by price,
each with a number of its own; a price of "0" where a number belongs to no level; texts without zeros at their end.
"""

import json
from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from simulator.market import Change, Depth, Listing, MarketBook, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, decimal, joined, spaced

SIZE_PLACES = 8
# Far more levels than a snapshot holds (100), so that books cut by it are the normal case.
LISTINGS = {
    "BTCUSDT": Listing(price_decimals=1, levels=900),
    "ETHUSDT": Listing(price_decimals=2, levels=500),
}
LISTING_ELSE = Listing(price_decimals=3, levels=400)
SUBJECTS = {"trade.l2update": "/market/level2", "trade.l3match": "/market/match"}

Numbered = tuple[int, bool, Change]
"""Number of a change, whether it is a bid, (price, size)."""


class Amid(msgspec.Struct):
    """The book before the last update, and that update's changes: what it takes to stop in the middle of it."""

    bids: dict[int, int]
    asks: dict[int, int]
    changes: list[Numbered]
    last_id: int

    def move_on(self) -> None:
        """Those changes are part of the book now."""
        apply(self.bids, self.asks, self.changes)
        self.changes = []


class KucoinWire(Wire):
    """Prices and sizes without zeros at their end."""

    name: ClassVar[str] = "kucoin"

    def __init__(self) -> None:
        self._amid: dict[str, Amid] = {}

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        changes = numbered(event)
        self._remember(event, changes, told)
        name, stream = spaced(event.symbol, "-"), stream_name("/market/level2", event.symbol)
        sides = self.levels(event.symbol, list(event.bids)), self.levels(event.symbol, list(event.asks))
        text = (
            f'{{"topic":"/market/level2:{name}","type":"message","subject":"trade.l2update","data":{{"changes":'
            f'{{"asks":{self._rows(event, changes, is_bid=False)},"bids":{self._rows(event, changes, is_bid=True)}}},'
            f'"sequenceEnd":{event.last_id},"sequenceStart":{event.first_id},"symbol":"{name}",'
            f'"time":{(event.time_us + offset_us) // 1000}}}}}'
        )
        return [Frame(event.symbol, "depth", stream, text, event.first_id, event.last_id, *sides)]

    def trade(self, event: Trade, offset_us: int) -> Frame:
        name, time_us = spaced(event.symbol, "-"), event.time_us + offset_us
        price = _text(event.price, self.listing(event.symbol).price_decimals)
        size = _text(event.size, SIZE_PLACES)
        taker = "sell" if event.taker_sells else "buy"
        text = (
            f'{{"topic":"/market/match:{name}","type":"message","subject":"trade.l3match","data":{{'
            f'"makerOrderId":"{event.update_id:024x}","price":"{price}","sequence":"{event.id}","side":"{taker}",'
            f'"size":"{size}","symbol":"{name}","takerOrderId":"{event.id:024x}","time":"{time_us}000",'
            f'"tradeId":"{event.id}","type":"match"}}}}'
        )
        sent = SentTrade(str(event.id), price, size, taker, time_us // 1000)
        return Frame(event.symbol, "trade", stream_name("/market/match", event.symbol), text, trade=sent)

    def amid(self, symbol: str, last_id: int) -> MarketBook | None:
        """The book in the middle of the update that ended at `last_id`, where it is not crossed, as no exchange's is.

        None if it is not the last one, too short, or crossed all along.
        """
        kept = self._amid.get(symbol)
        if kept is None or kept.last_id != last_id:
            return None
        for count in range(len(kept.changes) // 2, 0, -1):
            bids, asks = dict(kept.bids), dict(kept.asks)
            apply(bids, asks, kept.changes[:count])
            if not bids or not asks or max(bids) < min(asks):
                sequence = kept.changes[count - 1][0]
                return MarketBook(sequence, sorted(bids.items(), reverse=True), sorted(asks.items()))
        return None

    def streams(self, symbol: str) -> frozenset[str]:
        return frozenset(stream_name(topic, symbol) for topic in SUBJECTS.values())

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(_text(price, places), _text(size, SIZE_PLACES)) for price, size in pairs])

    def stream_of(self, text: str) -> str | None:
        try:
            whole = json.loads(text)
            topic = SUBJECTS.get(whole["subject"])
            return None if topic is None else stream_name(topic, joined(whole["data"]["symbol"], "-"))
        except (ValueError, KeyError, TypeError):
            return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        topic, _, symbol = stream.partition(":")
        data = json.loads(text)["data"]
        try:
            if topic == "/market/level2":
                sides = _told(data["changes"]["bids"]), _told(data["changes"]["asks"])
                numbers = int(data["sequenceStart"]), int(data["sequenceEnd"])
                return Frame(symbol, "depth", stream, text, *numbers, *sides)
            return Frame(symbol, "trade", stream, text, trade=_sent(data))
        except (ValueError, KeyError, TypeError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, "depth" if topic == "/market/level2" else "trade", stream, text)

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        try:
            data = json.loads(row.text)["data"]
            sequence, sides = int(data["sequence"]), (_pairs(data["bids"]), _pairs(data["asks"]))
        except (ValueError, KeyError, TypeError):
            return None
        asked = parse_qs(urlsplit(row.url or "").query).get("symbol", [None])[0]
        owner = joined(row.symbol or asked or symbol or "", "-")
        return Book(owner, sequence, *sides, text=str(row.text)) if owner else None

    def _remember(self, event: Depth, changes: list[Numbered], told: Told) -> None:
        kept = self._amid.get(event.symbol)
        if kept is None:
            book = told.book()  # after this update: the next one can be cut
            self._amid[event.symbol] = Amid(dict(book.bids), dict(book.asks), [], event.last_id)
            return
        kept.move_on()
        kept.changes, kept.last_id = changes, event.last_id

    def _rows(self, event: Depth, changes: list[Numbered], *, is_bid: bool) -> str:
        """Sorted by price; where the first number belongs to no level, a price of zero says so."""
        places = self.listing(event.symbol).price_decimals
        own = sorted((price, number, size) for number, on_bids, (price, size) in changes if on_bids is is_bid)
        rows = [(_text(price, places), _text(size, SIZE_PLACES), number) for price, number, size in own]
        if not is_bid and (not changes or changes[0][0] > event.first_id):
            rows.insert(0, ("0", "0", event.first_id))
        return "[" + ",".join(f'["{price}","{size}","{number}"]' for price, size, number in rows) + "]"


def stream_name(topic: str, symbol: str) -> str:
    """The simulator's name for a topic of one symbol."""
    return f"{topic}:{symbol}"


def numbered(event: Depth) -> list[Numbered]:
    """The changes of an update under its last numbers, bids first: as many as there are changes."""
    changes = [(True, change) for change in event.bids] + [(False, change) for change in event.asks]
    first = event.last_id - len(changes) + 1
    assert first >= event.first_id, "each change has a number of its own"
    return [(first + place, is_bid, change) for place, (is_bid, change) in enumerate(changes)]


def apply(bids: dict[int, int], asks: dict[int, int], changes: Iterable[Numbered]) -> None:
    """Sizes are absolute, 0 removes."""
    for _, is_bid, (price, size) in changes:
        side = bids if is_bid else asks
        if size:
            side[price] = size
        else:
            side.pop(price, None)


def book_data(sequence: int, bids: Levels, asks: Levels, now_us: int) -> dict[str, Any]:
    """`data` of a REST book: `time` is the answer's."""
    return {"time": now_us // 1000, "sequence": str(sequence), "bids": bids, "asks": asks}


def _text(number: int, places: int) -> str:
    return decimal(number, places).rstrip("0").rstrip(".")


def _told(rows: list[list[str]]) -> Levels:
    return tuple((price, size) for price, size, _ in rows if price.strip("0."))


def _pairs(rows: list[list[str]]) -> Levels:
    return tuple((price, size) for price, size in rows)


def _sent(data: dict[str, str]) -> SentTrade:
    return SentTrade(
        data["tradeId"], data["price"], data["size"], data["side"], int(data["time"]) // 1_000_000
    )

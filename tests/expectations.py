"""What the makers of other clients expect of the same frames, put into our words.

One table, `WORDS`, from their fields to ours, and one, `LEFT_OUT`, of every entry that says nothing of our channels,
with the one reason for that and a mark by which its frame shows it. Fields of the entries that are left are left out
for the same reasons (`field_reason`), or are formulas (``expr``), which can't be evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests import (
    expectations_bitfinex,
    expectations_bybit,
    expectations_coinbase,
    expectations_gateio,
    expectations_huobi,
    expectations_kucoin,
    expectations_mexc,
)
from tests.expectation_reasons import CHANNEL, DEAD, ENVELOPE, EXPRESSION, all_of

__all__ = ["CHANNEL", "DEAD", "ENVELOPE", "EXPRESSION", "LEFT_OUT", "WORDS"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("binance", "tardis_mappers"): {
        2: (CHANNEL, "@bookTicker"),
        # A stream that the recorder made itself; besides, 375 at 2.246e-05 is in no frame of the file.
        5: (CHANNEL, "@depthSnapshot"),
    },
    ("binance", "cryptomsgparser_spot"): {
        0: (CHANNEL, "@aggTrade"),
        2: (CHANNEL, "@depth20"),
        3: (CHANNEL, "!bookTicker"),
        4: (CHANNEL, "@ticker"),
        5: (CHANNEL, "!ticker@arr"),
        6: (CHANNEL, "@kline_1m"),
    },
    ("binance", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, "@aggTrade", 0, 1, 2, 3),
        4: (CHANNEL, "@TRADE_ALL"),
        **all_of(CHANNEL, "@depth20", 9, 10, 11, 13),
        12: (CHANNEL, "@depth5"),
        **all_of(CHANNEL, "bookTicker", 14, 15, 16, 17),
    },
    ("kraken", "tardis_mappers"): {
        0: (DEAD, '"trade","LTC/XBT"]'),
        1: (DEAD, '"book-1000","XMR/USD"]'),
        2: (DEAD, '"book-1000","BCH/EUR"]'),
        3: (DEAD, '"spread","XBT/USD"]'),
        6: (CHANNEL, '"channel":"ticker"'),
    },
    ("kraken", "cryptomsgparser_spot"): {
        0: (DEAD, '"trade","XBT/USD"]'),
        **all_of(DEAD, '"book-25","XBT/USD"]', 2, 3, 4),
        5: (DEAD, '"spread","XBT/USD"]'),
        6: (DEAD, '"ohlc-1","XBT/USD"]'),
        7: (DEAD, '"ticker","XBT/USD"]'),
        8: (CHANNEL, '"result":{"XXBTZUSD"'),
    },
    ("kraken", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, '"feed":"trade', 0, 1, 2, 3),
        **all_of(CHANNEL, '"feed":"book', 4, 5, 6, 7),
        **all_of(CHANNEL, '"orderBook":{', 8, 9),
    },
    ("okx", "tardis_mappers"): {
        **all_of(DEAD, '{"table":"spot/', 0, 1, 2, 3),
        5: (CHANNEL, '"channel":"books-l2-tbt"'),
        6: (CHANNEL, '"channel":"trades-all"'),
    },
    ("okx", "cryptomsgparser_spot"): {
        1: (CHANNEL, '"channel":"books-l2-tbt"'),
        2: (CHANNEL, '"channel":"books-l2-tbt"'),
        **all_of(CHANNEL, '"channel":"books5"', 3),
        4: (DEAD, '{"table":"spot/depth5"'),
        5: (CHANNEL, '"channel":"bbo-tbt"'),
        6: (CHANNEL, '"channel":"candle1m"'),
        7: (CHANNEL, '"channel":"tickers"'),
        8: (CHANNEL, '{"code":"0"'),
    },
    ("okx", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, '"channel":"books-l2-tbt"', 5, 6, 7),
        **all_of(CHANNEL, '"channel":"books5"', 8, 9, 10, 11, 12),
        **all_of(CHANNEL, '"channel":"bbo-tbt"', 13, 14, 15, 16, 17),
        **all_of(CHANNEL, '{"code":"0"', 18, 19, 20, 21, 22),
    },
    **expectations_bitfinex.LEFT_OUT,
    **expectations_bybit.LEFT_OUT,
    **expectations_coinbase.LEFT_OUT,
    **expectations_gateio.LEFT_OUT,
    **expectations_huobi.LEFT_OUT,
    **expectations_kucoin.LEFT_OUT,
    **expectations_mexc.LEFT_OUT,
}
"""(exchange, file) -> number of the entry, from 0 -> reason and mark."""


class Entry(NamedTuple):
    """One line of a file."""

    exchange: str
    file: str
    number: int
    row: dict[str, Any]

    @property
    def frame(self) -> dict[str, Any]:
        return json.loads(self.row["frame"])

    @property
    def is_future(self) -> bool:
        return self.file.endswith("derivatives")

    def reason(self) -> tuple[str, str] | None:
        """Why it is left out, and the mark."""
        return LEFT_OUT[self.exchange, self.file].get(self.number)

    def fields(self) -> Iterator[tuple[int, str, Any]]:
        """(which of several expected events, their word, value)."""
        expected = self.row["expected"]
        for place, event in enumerate(expected if isinstance(expected, list) else [expected or {}]):
            yield from ((place, word, value) for word, value in event.items())


def is_dead(entry: Entry) -> bool:
    """Whether the frame's own shape is that of a protocol that is spoken no more."""
    if entry.exchange == "bitfinex":
        return False  # it speaks in arrays
    if entry.exchange == "bybit":
        return expectations_bybit.is_dead(entry.frame)
    if entry.exchange == "gateio":
        return expectations_gateio.is_dead(entry.frame)
    if entry.exchange == "mexc":
        return expectations_mexc.is_dead(entry.frame)
    return isinstance(entry.frame, list) or "table" in entry.frame


def entries(folder: Path) -> Iterator[Entry]:
    """All entries of the files; their decimal numbers are exact."""
    for exchange, file in LEFT_OUT:
        with (folder / exchange / f"{file}.jsonl").open() as lines:
            for number, line in enumerate(lines):
                yield Entry(exchange, file, number, json.loads(line, parse_float=Decimal))


def field_reason(entry: Entry, word: str, value: Any) -> str | None:
    """Why a field of an entry that is compared is left out, None if it is not."""
    if isinstance(value, dict) and _holds_expression(value):
        return EXPRESSION
    if entry.is_future and re.search(r"quantity_(base|quote)$|prev_seq_id$", word):
        return CHANNEL  # what a contract is worth, and ``pu``, belong to the futures' own channels
    if entry.is_future and word == "symbol" and value != "NONE":
        return CHANNEL
    if entry.exchange == "huobi" and word == "timestamp_ms":
        return ENVELOPE  # when the message was made, a millisecond after the trade
    times = ("timestamp", "timestamp_ms", "orderbook.timestamp")
    if word in times and is_body(entry) and value is not None:
        return ENVELOPE  # a spot snapshot has no time of its own
    if (
        word == "timestamp_ms"
        and entry.exchange == "bitfinex"
        and expectations_bitfinex.is_history(entry.frame)
    ):
        return ENVELOPE  # of several trades the newest one's
    return None


def _holds_expression(value: Any) -> bool:
    return isinstance(value, dict) and ("expr" in value or _holds_expression(value.get("round")))


def is_body(entry: Entry) -> bool:
    """Whether it is a REST body, bare or wrapped as a stream of the recorder's own."""
    frame = entry.frame
    if entry.exchange == "kucoin":
        return expectations_kucoin.is_body(frame)
    return isinstance(frame, dict) and "lastUpdateId" in (frame["data"] if "stream" in frame else frame)


def arithmetic(value: Any) -> Any:
    """The value of {"product": [a, b]} and {"round": …} (to the 8th decimal), any other as it is."""
    if isinstance(value, dict) and "product" in value:
        first, second = map(Decimal, value["product"])
        return first * second
    if isinstance(value, dict) and "round" in value:
        return round(arithmetic(value["round"]), 8)
    return value


class Ours(NamedTuple):
    """Rows of `coby decode` after the entry's frame, and which of several trades is meant."""

    entry: Entry
    rows: list[dict[str, Any]]
    place: int

    @property
    def row(self) -> dict[str, Any]:
        """The trade or change of the book; of a snapshot the whole book."""
        kinds = {"trade", "book" if is_body(self.entry) else "delta"}
        found = [row for row in self.rows if row["type"] in kinds]
        return found[-1] if is_body(self.entry) else found[self.place]

    @property
    def pair(self) -> str:
        """Our symbol without what a future's name has after its pair."""
        symbol = self.row["symbol"].replace("F0USTF0", "USDT")
        rest = r"(USDT?)(?:[-_]?(?:PERP|SWAP|[0-9]{6}).*)?$"
        return re.sub(rest, r"\1", symbol) if self.entry.is_future else symbol

    def milliseconds(self) -> int | None:
        """The row's time, cut to milliseconds."""
        time = self.row["timestamp"]
        return None if time is None else (datetime.fromisoformat(time) - EPOCH) // timedelta(milliseconds=1)

    @property
    def symbol(self) -> str:
        """NONE for a body that names none (whoever asked for it says so)."""
        return "NONE" if is_body(self.entry) and "stream" not in self.entry.frame else self.row["symbol"]

    def contracts(self, size: str) -> Decimal | None:
        """A future's size is a number of contracts."""
        return Decimal(size) if self.entry.is_future else None


Word = Callable[[Ours, int], Any]


def _side(name: str) -> dict[str, Word]:
    def level(at: int) -> Word:
        return lambda ours, place: Decimal(ours.row[name][place][at])

    def contracts(ours: Ours, place: int) -> Decimal | None:
        return ours.contracts(ours.row[name][place][1])

    price, size = level(0), level(1)
    return {
        f"orderbook.{name}.len()": lambda ours, _: len(ours.row[name]),
        f"orderbook.{name}[].price": price,
        f"orderbook.{name}[].quantity_base": size,
        f"orderbook.{name}[].quantity_quote": lambda ours, place: price(ours, place) * size(ours, place),
        f"orderbook.{name}[].quantity_contract": contracts,
        f"orderbook.{name}[].quantity_contract.unwrap()": contracts,
        name: lambda ours, _: [tuple(map(Decimal, level)) for level in ours.row[name]],
    }


WORDS: dict[str, Word] = {
    "type": lambda ours, _: {"trade": "trade"}.get(ours.row["type"], "book_change"),
    "symbol": lambda ours, _: ours.symbol,
    "pair": lambda ours, _: ours.pair,
    "exchange": lambda ours, _: ours.row["exchange"],
    "id": lambda ours, _: ours.row["trade_id"],
    "price": lambda ours, _: Decimal(ours.row["price"]),
    "amount": lambda ours, _: Decimal(ours.row["size"]),
    "side": lambda ours, _: ours.row["side"],
    "isSnapshot": lambda ours, _: any(row.get("snapshot") for row in ours.rows),
    "timestamp": lambda ours, _: ours.row["timestamp"],
    "bidPrice": lambda ours, _: Decimal(ours.row["bids"][0][0]),
    "bidAmount": lambda ours, _: Decimal(ours.row["bids"][0][1]),
    "askPrice": lambda ours, _: Decimal(ours.row["asks"][0][0]),
    "askAmount": lambda ours, _: Decimal(ours.row["asks"][0][1]),
    "localTimestamp": lambda ours, _: ours.row["received_at"],
    "timestamp_ms": lambda ours, _: ours.milliseconds(),
    "trades.len()": lambda ours, _: sum(row["type"] == "trade" for row in ours.rows),
    "trade.timestamp": lambda ours, _: ours.milliseconds(),
    "trade.price": lambda ours, _: Decimal(ours.row["price"]),
    "trade.quantity_base": lambda ours, _: Decimal(ours.row["size"]),
    "trade.quantity_contract": lambda ours, _: ours.contracts(ours.row["size"]),
    "trade.quantity_quote": lambda ours, _: Decimal(ours.row["price"]) * Decimal(ours.row["size"]),
    "trade.side": lambda ours, _: ours.row["side"],
    "orderbook.timestamp": lambda ours, _: ours.milliseconds(),
    "orderbook.seq_id": lambda ours, _: ours.row["sequence_id"],
    "orderbook.prev_seq_id": lambda ours, _: None,
    **_side("bids"),
    **_side("asks"),
}
"""Their words, without the numbers of levels and trades -> our value, given the number."""


def _of_several(word: Word) -> Word:
    return lambda ours, place: word(ours._replace(place=place), 0)


WORDS |= {
    word.replace("trade.", "trades[]."): _of_several(of_one)
    for word, of_one in WORDS.items()
    if word.startswith("trade.")
}


def as_ours(word: str, value: Any) -> Any:
    """Their value in the form ours has."""
    value = arithmetic(value)
    if word in ("symbol", "pair"):
        return re.sub(r"[/-]|_(?=(?:USDT|BTC)$)", "", value)
    if word == "exchange":
        return {"okex": "okx", "bybit-spot": "bybit", "gate-io": "gateio"}.get(value, value)
    if word == "type" and value == "book_ticker":
        return "book_change"  # a book of one level
    if word in ("timestamp", "localTimestamp"):
        return value[:-1].ljust(26, "0") + "Z"
    if word in ("bids", "asks"):
        return [(Decimal(level["price"]), Decimal(level["amount"])) for level in value]
    return value

"""OKX: what a frame says, and one connection's book of one symbol (EXCHANGES.md §5)."""

import json
import re
import zlib
from dataclasses import dataclass
from decimal import Decimal

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import (
    UNREADABLE,
    Levels,
    NotListed,
    Trade,
    WindowedBook,
    pair_of,
    taker_side,
    whole,
)

BOOK_LEVELS = 400
CHECKED_LEVELS = 25
WRONG_ARGUMENT = "60018"
NO_CHECKSUM = 0  # what the field has held since 2026


@dataclass(frozen=True)
class Message:
    """One entry of a books message. None stands for a field that the frame does not have."""

    symbol: str
    is_snapshot: bool
    bids: Levels
    asks: Levels
    last: int | None
    previous: int | None
    checksum: int | None


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTC-USDT."""
    return "-".join(pair_of(symbol))


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record says; the keep-alive's bare `pong` is no JSON and says nothing."""
    if record["kind"] != "ws":
        return []
    try:
        message = json.loads(record["value"])
        if message.get("event") == "error":
            return read_refusal(message, symbols)
        if "data" not in message or message["arg"]["instId"] not in symbols:
            return []
        symbol = symbols[message["arg"]["instId"]]
        if message["arg"]["channel"] == "books":
            is_snapshot = {"snapshot": True, "update": False}[message["action"]]
            return [read_book(entry, symbol, is_snapshot) for entry in message["data"]]
        if message["arg"]["channel"] == "trades":
            return [read_trade(entry, symbol) for entry in message["data"]]
        return []
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_refusal(message: dict, symbols: dict[str, str]) -> list:
    """An argument of a subscription that is wrong. Its instId stands in the text only: `… instId:BTC-USDT …`."""
    named = re.search(r"instId:\s*([\w-]+)", message["msg"])
    if message["code"] != WRONG_ARGUMENT or named is None or named[1] not in symbols:
        return []
    return [NotListed(symbols[named[1]])]


def read_book(entry: dict, symbol: str, is_snapshot: bool) -> Message:
    """{"bids": [[price, size, "0", orders]], "asks", "seqId", "prevSeqId", "checksum"}; 2022 without the numbers."""
    numbers = [whole(entry[name]) if name in entry else None for name in ("seqId", "prevSeqId", "checksum")]
    return Message(symbol, is_snapshot, read_levels(entry["bids"]), read_levels(entry["asks"]), *numbers)


def read_levels(rows: list) -> Levels:
    """[[price, size, …], …] in the order sent."""
    return [(positive(row[0]), not_negative(row[1])) for row in rows]


def read_trade(entry: dict, symbol: str) -> Trade:
    """Fills of one taker's order at one price; the id is the last fill's, so ids skip."""
    price, size, side = positive(entry["px"]), positive(entry["sz"]), taker_side(entry["side"])
    trade_id = entry["tradeId"]
    if not isinstance(trade_id, str) or not trade_id:
        raise ValueError(f"not an id: {trade_id!r}")
    if not re.fullmatch("[0-9]+", entry["ts"]):
        raise ValueError(f"not a time: {entry['ts']!r}")
    return Trade(symbol, trade_id, price, size, side, int(entry["ts"]) * 1000)


class Book(WindowedBook):
    """A book proven by the link from each update to the one before it, and by the checksum where there is one."""

    window = BOOK_LEVELS

    def take(self, item: object) -> None:
        """One books message or refusal."""
        if not isinstance(item, Message):
            super().take(item)
        elif item.is_snapshot:
            self.replace(item.bids, item.asks)
            self.continue_from(item)
        elif self.takes_updates:
            self.update(item)

    def update(self, message: Message) -> None:
        """Only the link counts: numbers may repeat (idle keep-alive) and go down (maintenance)."""
        if message.previous is not None and message.previous != self.last:
            self.reason = "sequence_gap"
            return
        self.change(message.bids, message.asks)
        self.continue_from(message)

    def continue_from(self, message: Message) -> None:
        """The book is now as after this message, if the exchange agrees."""
        self.last = message.last
        self.reason = None
        if message.checksum is not None and message.checksum != NO_CHECKSUM:
            found = checksum(self.best_bids(CHECKED_LEVELS), self.best_asks(CHECKED_LEVELS))
            self.reason = None if found == message.checksum else "checksum"


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32 of the 25 best of both sides, bid and ask in turn, as a signed number."""
    parts = []
    for place in range(CHECKED_LEVELS):
        for side in (bids, asks):
            if place < len(side):
                parts += [text_of(number) for number in side[place]]
    found = zlib.crc32(":".join(parts).encode())
    return found - 2**32 if found >= 2**31 else found


def text_of(number: Decimal) -> str:
    """The number as the exchange wrote it, which never uses an exponent."""
    return format(number, "f")

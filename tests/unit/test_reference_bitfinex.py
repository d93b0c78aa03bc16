"""The reference's Bitfinex: the published checksum, the capture of 2021, and small books by hand."""

import json
import zlib
from decimal import Decimal

import pytest

from tests.reference import bitfinex
from tests.reference.by_hand import START_US, Log, at_us, settings
from tests.reference.run import compute

ONE = settings(exchanges=("bitfinex",), heatmap_depth=3)
ROWS = "[98,2,1.5],[97.5,1,2],[101.5,1,-0.25]"
BOOK, TRADES = 17, 19


class BitfinexLog(Log):
    """Bitfinex's frames in a raw partition; numbers are given as texts and stand in the frames as they are."""

    exchange = "bitfinex"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def begin(self) -> None:
        """Flags and subscriptions."""
        self.marks(0)
        self.write(0.1, "ws", {"event": "conf", "status": "OK", "flags": 196608})
        self.subscribed(0.1, "book", BOOK, prec="P0", freq="F0", len="250")
        self.subscribed(0.1, "trades", TRADES)

    def subscribed(self, second: float, channel: str, number: int, **more: str) -> None:
        """A confirmed subscription."""
        head = {"event": "subscribed", "channel": channel, "chanId": number, "symbol": "tBTCUST"}
        self.write(second, "ws", head | more)

    def data(self, second: float, number: int, payload: str, skip: int = 0) -> None:
        """A counted frame."""
        self.count += 1 + skip
        self.write(second, "ws", f"[{number},{payload},{self.count}]".encode())

    def deal(self, second: float, word: str, trade_id: int, amount: str, price: str) -> None:
        """A trade at the time it was received."""
        self.data(second, TRADES, f'"{word}",[{trade_id},{at_us(second) // 1000},{amount},{price}]')


def live_log() -> BitfinexLog:
    """Proven before the tick of 0.5."""
    log = BitfinexLog()
    log.begin()
    log.data(0.2, BOOK, f"[{ROWS}]")
    return log


def reasons(log: BitfinexLog) -> list[str | None]:
    return [tick["reason"] for tick in compute(log.records(), ONE)["book"]]


def signed(text: str) -> int:
    found = zlib.crc32(text.encode())
    return found if found < 2**31 else found - 2**32


def best(log: BitfinexLog) -> tuple[list, ...]:
    """The best levels of the last tick, without needless zeros."""
    tick = compute(log.records(), ONE)["book"][-1]
    return tuple(
        [tuple(f"{level[name].normalize():f}" for name in ("price", "size")) for level in tick[side]]
        for side in ("bids", "asks")
    )


def test_the_published_vector_gives_its_checksum(frames_dir):
    lines = (frames_dir / "checksum_vectors.jsonl").read_text().splitlines()
    (vector,) = [row for row in map(json.loads, lines) if row["exchange"] == "bitfinex"]
    number = bitfinex.Number.of
    sides = [
        [(number(price), number(size)) for price, size in vector["book"][name]] for name in ("bids", "asks")
    ]
    assert bitfinex.checksum(*sides) == vector["expected"]["crc32_signed"] == -1582707309


def test_the_capture_gives_books_that_stay_proven_and_within_their_window(frames_dir):
    lines = (frames_dir / "bitfinex" / "cryptofeed_ws_11_0.jsonl").read_text().splitlines()
    names = {name: name for name in ("tIOTETH", "tDOGUSD", "tODEUSD", "tMNABTC", "tTESTBTC:TESTUSD")}
    books = {name: bitfinex.Book() for name in names}
    proven = 0
    for row in map(json.loads, lines):
        if row["dir"] == "in" and row["frame"]:
            for item in bitfinex.read({"kind": "ws", "value": row["frame"].encode()}, names):
                assert {trade.history for trade in books[item.symbol].take(item)} <= {True}
        proven += sum(book.reason is None for book in books.values())
    assert {book.reason for book in books.values()} == {None}
    assert {len(book.bids) <= 100 >= len(book.asks) for book in books.values()} == {True}
    assert proven > 2_000


def test_a_small_book_and_its_trades_are_stated_as_computed_by_hand():
    log = live_log()
    log.data(0.3, BOOK, "[97.5,0,1]")
    log.data(0.3, BOOK, "[111,1,-4]")
    log.data(0.3, BOOK, f'"cs",{signed("98:1.5:101.5:-0.25:111:-4")}')
    log.deal(0.4, "te", 77, "-0.5", "98")
    log.deal(0.41, "tu", 77, "-0.5", "98")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    (tick,), (trade,) = results["book"], results["trade"]
    assert (tick["live"], tick["reason"], tick["sequence_id"]) == (True, None, None)
    assert (tick["timestamp"], tick["mid_price"]) == (START_US + 500_000, Decimal("99.75"))
    assert best(log) == ([("98", "1.5")], [("101.5", "0.25"), ("111", "4")])
    assert (trade["side"], trade["trade_id"], trade["price"], trade["size"]) == (
        "sell",
        "77",
        98,
        Decimal("0.5"),
    )


def test_the_last_trades_are_history():
    log = BitfinexLog()
    log.begin()
    log.data(0.2, TRADES, "[[6,1700000040000,1,100],[5,1700000040000,-1,100]]")
    log.deal(0.3, "te", 7, "1", "100")
    log.data(0.4, TRADES, "[[9,1700000040000,1,100],[8,1700000040000,-1,100],[7,1700000040000,1,100]]")
    assert [trade["trade_id"] for trade in compute(log.records(), ONE)["trade"]] == ["7", "8", "9"]


@pytest.mark.parametrize("number", [BOOK, TRADES, 999])
def test_a_frame_out_of_turn_blinds_until_the_next_snapshot(number):
    log = live_log()
    log.marks(0.5)
    log.data(0.6, number, '"hb"', skip=1)
    log.data(0.7, BOOK, "[98,1,1]")
    log.marks(1.0)
    log.data(1.1, BOOK, "[[50,1,1]]")
    log.marks(1.5)
    assert reasons(log) == [None, "sequence_gap", None]
    assert best(log) == ([("50", "1")], [])


def test_the_checksum_is_of_the_texts_as_written():
    log = live_log()
    log.data(0.3, BOOK, "[[5.6e-7,1,1e-8],[0.0000011,1,2],[0.00000111,1,-3]]")
    log.data(0.4, BOOK, f'"cs",{signed("0.0000011:2:0.00000111:-3:5.6e-7:1e-8")}')
    log.marks(0.5)
    log.data(0.6, BOOK, f'"cs",{signed("0.0000011:2:0.00000111:-3:0.00000056:0.00000001")}')
    log.marks(1.0)
    log.data(1.1, BOOK, "[0.000001,1,2]")
    log.marks(1.5)
    assert reasons(log) == [None, "checksum", "checksum"]


def test_ids_mean_what_was_said_last():
    log = live_log()
    log.subscribed(0.3, "book", 31, prec="P0", freq="F0", len="250")
    log.marks(0.5)
    log.data(0.6, 31, "[[50,1,1]]")
    log.data(0.7, BOOK, f"[{ROWS}]")
    log.marks(1.0)
    log.write(1.1, "ws", {"event": "unsubscribed", "status": "OK", "chanId": 31})
    log.data(1.2, 31, f"[{ROWS}]")
    log.marks(1.5)
    log.subscribed(1.6, "book", 32, prec="P1", freq="F0", len="250")
    log.data(1.7, 32, f"[{ROWS}]")
    log.marks(2.0)
    assert reasons(log) == ["sequence_gap", None, "sequence_gap", "sequence_gap"]


def test_a_pause_blinds_until_a_snapshot():
    log = live_log()
    log.write(0.3, "ws", {"event": "info", "code": 20051, "msg": "x"})
    log.marks(0.5)
    log.write(0.6, "ws", {"event": "info", "code": 20060, "msg": "x"})
    log.data(0.7, BOOK, "[98,1,1]")
    log.marks(1.0)
    assert reasons(log) == [None, "sequence_gap"]


def test_an_invalid_symbol_is_not_listed():
    log = BitfinexLog()
    log.marks(0)
    refused = {"event": "error", "code": 10300, "channel": "book", "symbol": "tBTCUST"}
    log.write(0.1, "ws", refused | {"msg": "len: invalid"})
    log.write(0.1, "ws", refused | {"msg": "symbol: invalid", "symbol": "tETHUST"})
    log.marks(0.5)
    log.write(0.6, "ws", refused | {"msg": "symbol: invalid"})
    log.marks(1.0)
    assert reasons(log) == ["never_connected", "not_listed"]


@pytest.mark.parametrize(
    "frame", ["[17,[98,1,", "[17,[98,1,1]]", "[17]", "null", '[17,[98,1,1],"3"]', "[17,[98,1,1],-2]"]
)
def test_what_can_not_be_read_may_have_been_an_update(frame):
    log = live_log()
    log.write(0.3, "ws", frame.encode())
    log.marks(0.5)
    log.data(0.6, BOOK, f"[{ROWS}]", skip=5)
    log.marks(1.0)
    assert reasons(log) == ["sequence_gap", None]


@pytest.mark.parametrize(
    "payload",
    [
        "[98,1,0]",
        "[98,0,2]",
        "[0,1,1]",
        "[98,-1,1]",
        "[98,1.5,1]",
        '["98",1,1]',
        "[98,1]",
        "[[98,0,1]]",
        "{}",
    ],
)
def test_an_update_that_is_none_blinds(payload):
    log = live_log()
    log.data(0.3, BOOK, payload)
    log.marks(0.5)
    assert reasons(log) == ["sequence_gap"]


def test_what_is_something_else_changes_nothing():
    log = live_log()
    for event in (
        {"event": "info", "version": 2, "platform": {"status": 1}},
        {"event": "pong", "cid": 1},
        {},
    ):
        log.write(0.3, "ws", event)
    log.data(0.3, 999, "[98,1,1]")
    log.data(0.3, BOOK, '"hb"')
    log.deal(0.4, "te", 1, "0", "98")
    log.deal(0.4, "te", 2, "1", "-98")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert (results["trade"], results["book"][0]["reason"]) == ([], None)
    assert best(log) == ([("98", "1.5"), ("97.5", "2")], [("101.5", "0.25")])


@pytest.mark.parametrize(
    ("symbol", "name"), [("BTCUSDT", "tBTCUST"), ("DOGEUSD", "tDOGE:USD"), ("ETHUSDC", "tETHUDC")]
)
def test_names(symbol, name):
    assert bitfinex.exchange_symbol(symbol) == name

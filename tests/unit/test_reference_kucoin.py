"""The reference's KuCoin: small books by hand, and the recorded frames."""

import gzip
import json
from decimal import Decimal

import pytest

from tests.reference import kucoin
from tests.reference.by_hand import Log, at_us, settings
from tests.reference.exchange import NotListed, Trade
from tests.reference.run import compute

ONE = settings(exchanges=("kucoin",), heatmap_depth=3)
BIDS, ASKS = [["98", "1.5"], ["97.50", "2"]], [["101.5", "0.25"]]
NAMES = {"BTC-USDT": "BTCUSDT"}


class KucoinLog(Log):
    """KuCoin's frames and bodies in a raw partition."""

    exchange = "kucoin"

    def update(self, second: float, first: int, last: int, bids: list, asks: list) -> None:
        """A level2 message; levels of price, size, number."""
        data = {"symbol": "BTC-USDT", "sequenceStart": first, "sequenceEnd": last,
                "changes": {"bids": bids, "asks": asks}}  # fmt: skip
        self.write(
            second, "ws", {"subject": "trade.l2update", "topic": "/market/level2:BTC-USDT", "data": data}
        )

    def body(self, second: float, sequence: int, bids: list, asks: list, levels: int = 100) -> None:
        """A REST body."""
        data = {"time": 1, "sequence": str(sequence), "bids": bids, "asks": asks}
        url = f"http://localhost/api/v1/market/orderbook/level2_{levels}?symbol=BTC-USDT"
        self.write(second, "http", {"code": "200000", "data": data}, url=url, symbol=self.symbol)

    def deal(self, second: float, trade_id: str, side: str, price: str, size: str) -> None:
        """A trade at the time it was received."""
        data = {"symbol": "BTC-USDT", "side": side, "price": price, "size": size, "tradeId": trade_id,
                "time": f"{at_us(second)}789"}  # fmt: skip
        self.write(
            second, "ws", {"subject": "trade.l3match", "topic": "/market/match:BTC-USDT", "data": data}
        )


def live_log() -> KucoinLog:
    """Proven at 10 before the tick of 0.5."""
    log = KucoinLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.body(0.2, 10, BIDS, ASKS)
    return log


def ticks(log: KucoinLog) -> list[dict]:
    return compute(log.records(), ONE)["book"]


def shown(log: KucoinLog) -> list[tuple[str | None, int | None]]:
    """(reason, sequence_id) of each tick."""
    return [(tick["reason"], tick["sequence_id"]) for tick in ticks(log)]


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.update(0.3, 11, 14, [["97.5", "0", "12"]], [["0", "7", "11"], ["111", "4", "14"]])
    log.deal(0.4, "11067996711960577", "sell", "98", "0.5")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    (tick,), (trade,) = results["book"], results["trade"]
    assert (tick["live"], tick["sequence_id"], tick["mid_price"]) == (True, 14, Decimal("99.75"))
    assert tick["bids"] == [{"price": Decimal(98), "size": Decimal("1.5")}]
    assert [(level["price"], level["size"]) for level in tick["asks"]] == [
        (Decimal("101.5"), Decimal("0.25")),
        (Decimal(111), Decimal(4)),
    ]
    assert (trade["trade_id"], trade["side"], trade["size"]) == ("11067996711960577", "sell", Decimal("0.5"))


def test_a_message_amid_which_the_body_falls_gives_only_what_is_beyond_it():
    log = KucoinLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.update(0.15, 8, 12, [["98", "9", "9"], ["96", "5", "12"]], [])
    log.body(0.2, 10, BIDS, ASKS)
    log.marks(0.5)
    (tick,) = ticks(log)
    assert (tick["reason"], tick["sequence_id"]) == (None, 12)
    sizes = {level["price"]: level["size"] for level in tick["bids"]}
    assert sizes == {Decimal(98): Decimal("1.5"), Decimal("97.50"): Decimal(2), Decimal(96): Decimal(5)}


def test_a_gap_ends_with_a_body_that_joins():
    log = live_log()
    log.update(0.3, 12, 13, [], [])
    log.marks(0.5)
    log.body(0.6, 10, BIDS, ASKS)  # too old
    log.marks(1)
    log.body(1.1, 11, BIDS, ASKS)
    log.update(1.2, 14, 14, [], [])
    log.marks(1.5)
    assert shown(log) == [("sequence_gap", None), ("sequence_gap", None), (None, 14)]


@pytest.mark.parametrize(
    "change", [["x", "1", "11"], ["99", "-1", "11"], ["99", "1", "12"], ["99", "1"], ["99", "1", "x"]]
)
def test_a_message_that_cant_be_used_is_missed_by_the_next(change):
    log = live_log()
    log.update(0.3, 11, 11, [change], [])
    log.update(0.4, 12, 12, [], [])
    log.marks(0.5)
    assert [reason for reason, _ in shown(log)] == ["sequence_gap"]


def read(message: dict, kind: str = "ws", **more: object) -> list:
    return kucoin.read({"kind": kind, "value": json.dumps(message).encode()} | more, NAMES)


def test_what_else_may_come():
    unknown = {"code": "900001", "msg": "symbol not exists"}
    assert read(unknown, "http", symbol="BTCUSDT") == [NotListed("BTCUSDT")]
    assert read({"code": "429000"}, "http", symbol="BTCUSDT") == []
    assert read({"id": "1", "type": "ack"}) == []
    data = {
        "symbol": "BTC-USDT",
        "side": "buy",
        "price": "1.50",
        "size": "2",
        "tradeId": "5c24",
        "time": "1" + "0" * 18,
    }
    (trade,) = read({"subject": "trade.l3match", "data": data})
    assert trade == Trade("BTCUSDT", "5c24", Decimal("1.50"), Decimal(2), "buy", 10**15)
    for wrong in ({"side": "hold"}, {"price": "0"}, {"tradeId": 5}, {"time": "x"}, {"symbol": "X-USDT"}):
        assert read({"subject": "trade.l3match", "data": data | wrong}) == []
    for levels, limited in ((100, False), (2, True)):
        path = f"http://x/level2_{levels}?symbol=BTC-USDT"
        body = {"code": "200000", "data": {"sequence": "5", "bids": BIDS, "asks": ASKS}}
        (snapshot,) = read(body, "http", symbol="BTCUSDT", url=path)
        book = kucoin.Book()
        book.take(snapshot)
        assert (book.covered_low, book.covered_high) == (Decimal("97.50") if limited else None, None)


def test_the_recorded_books_stay_proven(frames_dir):
    with gzip.open(frames_dir / "kucoin" / "cryptofeed_ws_1_0.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    bodies = (frames_dir / "kucoin" / "cryptofeed_rest_snapshots.jsonl").read_text().splitlines()
    rows = [row for row in rows if row.get("dir") == "in"] + [json.loads(line) for line in bodies]
    rows.sort(key=lambda row: row["received_at"])
    book, names = kucoin.Book(), {"BCHSV-USDT": "X"}
    for row in rows:
        kind = "http" if row["dir"] == "http" else "ws"
        for item in kucoin.read({"kind": kind, "value": row["frame"], "url": row.get("url")}, names):
            book.take(item)
    assert book.reason is None
    assert len(book.updates) > 100
    assert max(book.bids) < min(book.asks)
    assert all(book.bids)
    assert (book.covered_low, book.covered_high) == (None, None)

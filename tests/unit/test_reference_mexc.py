"""The reference's MEXC: small books by hand, and what can't be read."""

import json
from decimal import Decimal

import pytest

from tests.protobuf_by_hand import DEPTH, deal, deals, depth, field, push
from tests.reference import mexc
from tests.reference.by_hand import Log, at_us, settings
from tests.reference.exchange import NotListed
from tests.reference.run import compute

ONE = settings(exchanges=("mexc",), heatmap_depth=3)
BIDS, ASKS = [("98", "1.5"), ("97.50", "2")], [("101.5", "0.25")]


class MexcLog(Log):
    """MEXC's messages and bodies in a raw partition."""

    exchange = "mexc"

    def snapshot(self, second: float, last: int, bids: list, asks: list, limit: int | None = 5000) -> None:
        url = f"http://localhost/api/v3/depth?symbol=BTCUSDT&limit={limit}"
        body = {"lastUpdateId": last, "bids": bids, "asks": asks}
        self.write(second, "http", body, url=url, symbol=self.symbol)


def live_log() -> MexcLog:
    """Proven at 10 before the tick of 0.5."""
    log = MexcLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.snapshot(0.2, 10, BIDS, ASKS)
    return log


def shown(log: MexcLog) -> list[tuple[str | None, int | None]]:
    """(reason, sequence_id) of each tick."""
    return [(tick["reason"], tick["sequence_id"]) for tick in compute(log.records(), ONE)["book"]]


def read(value: bytes, kind: str = "ws", **more: object) -> list:
    return mexc.read({"kind": kind, "value": value} | more, {"BTCUSDT": "BTCUSDT"})


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.write(0.3, "ws", depth(11, 14, [("97.5", "0.000")], [("111", "4")]))
    log.write(0.4, "ws", deals(deal("98", "0.5", 2, at_us(0.4) // 1000, "1X0_2X0")))
    log.marks(0.5)
    results = compute(log.records(), ONE)
    (tick,), (trade,) = results["book"], results["trade"]
    assert (tick["live"], tick["sequence_id"], tick["mid_price"]) == (True, 14, Decimal("99.75"))
    assert tick["bids"] == [{"price": Decimal(98), "size": Decimal("1.5")}]
    assert (trade["trade_id"], trade["side"], trade["size"]) == ("1X0_2X0", "sell", Decimal("0.5"))


def test_trades_without_an_id_are_known_by_their_place():
    trades = read(deals(deal(), deal(), deal(trade_id="7")), conn="a", seq=5)
    assert [trade.trade_id for trade in trades] == ["a-5-0", "a-5-1", "7"]


def test_a_gap_ends_with_a_body_that_joins():
    log = live_log()
    log.write(0.3, "ws", depth(12, 13))
    log.marks(0.5)
    log.snapshot(0.6, 10, BIDS, ASKS)  # too old
    log.marks(1)
    log.snapshot(1.1, 11, BIDS, ASKS)
    log.marks(1.5)
    assert shown(log) == [("sequence_gap", None), ("sequence_gap", None), (None, 13)]


@pytest.mark.parametrize(
    "message",
    [b"", b"\xff", b'{"id":1,"code":0,"msg":"x"}', push(DEPTH), depth(11, 11)[:-1], depth("", "11"), depth(12, 11),
     depth(11, 11, [("x", "1")]), depth(11, 11, symbol="X"), push(DEPTH, field(313, b""), named="X"),
     deals(deal(kind=3)), deals(deal(price="0")), push("spot@other", field(303, b""))],
)  # fmt: skip
def test_what_cant_be_used_says_nothing(message: bytes):
    assert read(message) == []


def test_what_rest_says():
    assert read(json.dumps({"code": -1121, "msg": "x"}).encode(), "http", symbol="BTCUSDT") == [
        NotListed("BTCUSDT")
    ]
    assert read(json.dumps({"symbols": []}).encode(), "http", symbol="BTCUSDT") == [NotListed("BTCUSDT")]
    assert read(json.dumps({"code": 429}).encode(), "http", symbol="BTCUSDT") == []
    body = json.dumps({"lastUpdateId": 5, "bids": BIDS, "asks": ASKS}).encode()
    (snapshot,) = read(body, "http", symbol="BTCUSDT", url="http://x/depth?limit=2")
    book = mexc.Book()
    book.take(snapshot)
    assert (book.covered_low, book.covered_high) == (Decimal("97.50"), None)

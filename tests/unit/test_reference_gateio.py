"""The reference's Gate.io: small books by hand, and recorded frames."""

import json
from decimal import Decimal

import pytest

from tests.reference import gateio
from tests.reference.by_hand import START_US, Log, settings
from tests.reference.exchange import NotListed, Trade
from tests.reference.run import compute

ONE = settings(exchanges=("gateio",), heatmap_depth=3)
BIDS, ASKS = [["98", "1.5"], ["97.50", "2"]], [["101.5", "0.25"]]


class GateioLog(Log):
    """Gate.io's frames in a raw partition."""

    exchange = "gateio"

    def push(self, second: float, **result: object) -> None:
        """A push of the book; the fields are those of the exchange."""
        result = {"t": 1, "s": "ob.BTC_USDT.400"} | result
        self.write(second, "ws", {"channel": "spot.obu", "result": result, "time_ms": 1, "event": "update"})

    def deal(self, second: float, **more: object) -> None:
        """A trade, of a tenth of a microsecond more than 400 ms after START."""
        trade = {"id": 7, "create_time_ms": f"{START_US // 1000 + 400}.0001", "side": "sell",
                 "currency_pair": "BTC_USDT", "amount": "0.5", "price": "98"}  # fmt: skip
        self.write(second, "ws", {"channel": "spot.trades", "event": "update", "result": trade | more})


def live_log() -> GateioLog:
    """Proven at 10 before the tick of 0.5."""
    log = GateioLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.push(0.2, full=True, u=10, b=BIDS, a=ASKS)
    return log


def shown(log: GateioLog) -> list[tuple[str | None, int | None]]:
    """(reason, sequence_id) of each tick."""
    return [(tick["reason"], tick["sequence_id"]) for tick in compute(log.records(), ONE)["book"]]


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.push(0.3, U=11, u=14, b=[["97.5", "0"]])
    log.push(0.3, U=15, u=15, a=[["111", "4"]])
    log.deal(0.4)
    log.marks(0.5)
    results = compute(log.records(), ONE)
    (tick,), (trade,) = results["book"], results["trade"]
    assert (tick["live"], tick["sequence_id"], tick["mid_price"]) == (True, 15, Decimal("99.75"))
    assert tick["bids"] == [{"price": Decimal(98), "size": Decimal("1.5")}]
    assert [(level["price"], level["size"]) for level in tick["asks"]] == [
        (Decimal("101.5"), Decimal("0.25")),
        (Decimal(111), Decimal(4)),
    ]
    assert (trade["side"], trade["trade_id"], trade["timestamp"]) == ("sell", "7", START_US + 400_000)


@pytest.mark.parametrize(("first", "last"), [(10, 12), (12, 12), (9, 9)])
def test_a_number_that_is_not_the_next_blinds_until_the_next_full_push(first, last):
    log = live_log()
    log.marks(0.5)
    log.push(0.6, U=first, u=last)
    log.push(0.7, U=11, u=12)
    log.marks(1.0)
    log.push(1.1, full=True, u=4, b=[["95", "1"]])
    log.push(1.2, U=5, u=9, b=[["94", "1"]])
    log.marks(1.5)
    assert shown(log) == [(None, 10), ("sequence_gap", None), (None, 9)]


def test_a_full_push_sent_again_replaces_the_book():
    log = live_log()
    log.push(0.3, full=True, u=12, b=[["90", "1"]], a=[["91", "1"]])
    log.marks(0.5)
    (tick,) = compute(log.records(), ONE)["book"]
    assert (tick["sequence_id"], tick["mid_price"]) == (12, Decimal("90.5"))


def test_nothing_counts_before_the_first_full_push_nor_of_another_depth():
    log = GateioLog()
    log.marks(0)
    log.push(0.1, U=9, u=9, b=[["90", "7"]])
    log.push(0.2, full=True, u=9, s="ob.BTC_USDT.50")
    log.marks(0.5)
    assert shown(log) == [("never_connected", None)]


def test_a_pair_that_is_not_known_is_not_listed():
    names = {"BTC_USDT": "BTCUSDT"}
    for text, expected in (
        ("unknown currency pair BTC_USDT", [NotListed("BTCUSDT")]),
        ("unknown currency pair: BTC_USDT", [NotListed("BTCUSDT")]),
        ("unknown currency pair BTC_USDC", []),
        ("Alert sub ob.BTC_USDT.400", []),
    ):
        error = {"event": "subscribe", "error": {"code": 2, "message": text}, "result": None}
        assert gateio.read({"kind": "ws", "value": json.dumps(error).encode()}, names) == expected


def test_what_can_not_be_read_or_is_something_else_changes_nothing():
    log = live_log()
    for value in (b"", b"[]", b"\xff", {"channel": "spot.pong", "event": "", "result": None},
                  {"channel": "spot.obu", "event": "subscribe", "result": {"status": "success"}},
                  {"channel": "spot.order_book", "event": "update", "result": {"s": "BTC_USDT"}}):  # fmt: skip
        log.write(0.3, "ws", value)
    for wrong in ({"u": 11}, {"U": "11", "u": 11}, {"U": 12, "u": 11}, {"U": 11, "u": 11, "b": [["97"]]},
                  {"U": 11, "u": 11, "b": [[97, 1]]}, {"U": 11, "u": 11, "s": "BTC_USDT"}):  # fmt: skip
        log.push(0.3, **wrong)
    for wrong in ({"side": "x"}, {"amount": "0"}, {"create_time_ms": "soon"}, {"currency_pair": "ETH_USDT"}):
        log.deal(0.4, **wrong)
    log.marks(0.5)
    assert (compute(log.records(), ONE)["trade"], shown(log)) == ([], [(None, 10)])


def test_the_recorded_update_and_trade(frames_dir):
    lines = (frames_dir / "gateio" / "tardis_mappers.jsonl").read_text().splitlines()
    frames = [json.loads(line)["frame"].encode() for line in lines]
    names = {"TLOS_BTC": "TLOSBTC", "BTC_USDT": "BTCUSDT"}
    found = [item for frame in frames for item in gateio.read({"kind": "ws", "value": frame}, names)]
    trade, push = found
    price, size = Decimal("0.00000644"), Decimal("89.238")
    assert trade == Trade("TLOSBTC", "5541729598", price, size, "buy", 1_682_689_046_123_000)
    assert (push.first, push.last, len(push.bids), len(push.asks)) == (25_847_129_970, 25_847_129_996, 4, 5)

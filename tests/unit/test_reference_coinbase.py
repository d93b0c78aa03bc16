"""The reference's Coinbase: small books by hand."""

import json
from decimal import Decimal

import pytest

from tests.reference import coinbase
from tests.reference.by_hand import START_US, Log, at_us, settings
from tests.reference.exchange import NotListed, Trade
from tests.reference.run import compute

ONE = settings(exchanges=("coinbase",), heatmap_depth=3)
NAMES = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
TIME = "2023-11-14T22:14:00.250000Z"  # a quarter past START


class CoinbaseLog(Log):
    """Coinbase's frames in a raw partition, numbered from 0 as on one connection."""

    exchange = "coinbase"
    number = 0

    def say(self, second: float, channel: str, *events: dict, number: int | None = None) -> None:
        number = self.number if number is None else number
        self.number = number + 1
        self.write(second, "ws", {"channel": channel, "sequence_num": number, "events": list(events)})

    def book(self, second: float, kind: str, bids: list, asks: list, **more: int) -> None:
        rows = [{"side": side, "event_time": TIME, "price_level": price, "new_quantity": size}
                for side, levels in (("bid", bids), ("offer", asks)) for price, size in levels]  # fmt: skip
        self.say(second, "l2_data", {"type": kind, "product_id": "BTC-USDT", "updates": rows}, **more)

    def deals(self, second: float, kind: str, *deals: tuple[str, str, str, str]) -> None:
        """(id, side, price, size) each, the newest first."""
        trades = [{"trade_id": trade_id, "product_id": "BTC-USDT", "price": price, "size": size, "side": side,
                   "time": TIME} for trade_id, side, price, size in deals]  # fmt: skip
        self.say(second, "market_trades", {"type": kind, "trades": trades})

    def listed(self, second: float, **channels: list) -> None:
        self.say(second, "subscriptions", {"subscriptions": channels})


def live_log() -> CoinbaseLog:
    """Proven before the tick of 0.5; the next number is 2."""
    log = CoinbaseLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.listed(0.1, heartbeats=["heartbeats"])
    log.book(0.2, "snapshot", [("98", "1.5"), ("97.50", "2")], [("101.5", "0.25")])
    return log


def reasons(log: CoinbaseLog) -> list[str | None]:
    return [tick["reason"] for tick in compute(log.records(), ONE)["book"]]


def items(message: object) -> list:
    return coinbase.read({"kind": "ws", "value": json.dumps(message).encode()}, NAMES)


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.book(0.3, "update", [("97.5", "0")], [("111", "4")])
    log.deals(0.4, "snapshot", ("5", "BUY", "90", "1"))
    log.deals(0.4, "update", ("7", "SELL", "101.5", "0.25"), ("6", "BUY", "98", "0.5"))
    log.marks(0.5)
    results = compute(log.records(), ONE)
    (tick,) = results["book"]
    assert (tick["live"], tick["sequence_id"], tick["timestamp"]) == (True, None, START_US + 500_000)
    assert tick["bids"] == [{"price": Decimal(98), "size": Decimal("1.5")}]
    assert tick["asks"] == [
        {"price": Decimal("101.5"), "size": Decimal("0.25")}, {"price": Decimal(111), "size": Decimal(4)}]  # fmt: skip
    assert (tick["covered_low"], tick["covered_high"]) == (None, None), "the whole book"
    assert [(one["trade_id"], one["side"]) for one in results["trade"]] == [("6", "sell"), ("7", "buy")]
    assert {one["timestamp"] for one in results["trade"]} == {at_us(0.25)}


@pytest.mark.parametrize("channel", ["heartbeats", "market_trades", "subscriptions", "l2_data", "status"])
def test_a_message_missing_of_any_channel_blinds_until_the_next_snapshot(channel):
    log = live_log()
    log.say(0.3, channel, number=3)
    log.marks(0.5)
    log.book(0.6, "update", [("98", "2")], [])
    log.marks(1.0)
    log.book(1.1, "snapshot", [("95", "1")], [])
    log.marks(1.5)
    assert reasons(log) == ["sequence_gap", "sequence_gap", None]


def test_old_numbers_are_ignored_and_what_is_with_them():
    log = live_log()
    log.book(0.3, "snapshot", [("1", "1")], [], number=0)
    log.book(0.3, "update", [("98", "9")], [], number=1)
    log.book(0.3, "update", [("96", "1")], [], number=2)
    log.marks(0.5)
    (tick,) = compute(log.records(), ONE)["book"]
    assert [int(level["size"] * 2) for level in tick["bids"]] == [3, 4, 2]


def test_a_count_begun_anew_is_a_gap():
    log = live_log()
    for number in (0, 1, 0):
        log.say(0.3, "heartbeats", number=number)
    log.marks(0.5)
    log.book(0.6, "snapshot", [("95", "1")], [])
    log.say(0.7, "heartbeats", number=500)
    log.marks(1.0)
    log.book(1.1, "snapshot", [("95", "1")], [])
    log.say(1.2, "heartbeats", number=0)
    log.marks(1.5)
    log.book(1.6, "snapshot", [("95", "1")], [])
    log.marks(2.0)
    assert reasons(log) == ["sequence_gap"] * 3 + [None]


def test_a_book_subscribed_no_longer_is_blind():
    log = live_log()
    log.listed(0.3, heartbeats=["heartbeats"], level2=["BTC-USDT"])
    log.listed(0.3, market_trades=["BTC-USDT"])
    log.marks(0.5)
    log.listed(0.6, heartbeats=["heartbeats"])
    log.marks(1.0)
    assert reasons(log) == [None, "sequence_gap"]


@pytest.mark.parametrize(
    "value",
    [b"{", b"[]", b"null", {"channel": "heartbeats", "sequence_num": "2"}, {"channel": 5, "sequence_num": 2},
     {"channel": "l2_data", "sequence_num": 2}, {"channel": "l2_data", "sequence_num": 2, "events": [{}]}],
    ids=str,
)  # fmt: skip
def test_what_may_have_been_a_change_blinds(value):
    log = live_log()
    log.write(0.3, "ws", value)
    log.marks(0.5)
    assert reasons(log) == ["sequence_gap"]


def test_what_is_something_else_changes_nothing():
    log = live_log()
    for value in (
        b"[1]",
        {"type": "l2update", "product_id": "BTC-USDT", "changes": []},
        {"type": "error"},
        {},
    ):
        log.write(0.3, "ws", value)
    log.say(0.3, "market_trades", {"type": "update", "trades": [{"product_id": "BTC-USDT", "price": "0"}]})
    log.say(0.3, "l2_data", {"type": "update", "product_id": "X-USD", "updates": [{}]})
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert (reasons(log), results["trade"]) == ([None], [])


def test_a_wrong_change_is_its_own_books():
    broken = {"type": "update", "product_id": "ETH-USDT", "updates": [{"side": "ask"}]}
    found = items({"channel": "l2_data", "sequence_num": 9, "events": [broken]})
    assert found[2:] == [coinbase.Unusable("ETHUSDT", 9)]


def test_a_refused_product_is_not_listed():
    text = "Failed to subscribe: ETH-USDT is not a valid product"
    assert items({"type": "error", "message": text}) == [NotListed("ETHUSDT")]
    assert items({"type": "error", "message": "rate limit of ETH-USDT"}) == []


def test_a_market_in_usdc_answers_as_the_one_in_usd():
    assert [coinbase.known(name, {"BTC-USDC": "BTCUSDC"}) for name in ("BTC-USD", "BTC-USDC", "ETH-USD")] == [
        "BTCUSDC", "BTCUSDC", None]  # fmt: skip
    assert coinbase.exchange_symbol("BTCUSDC") == "BTC-USDC"


def test_real_trades_are_the_takers_oldest_first(frames_dir):
    rows = map(json.loads, (frames_dir / "coinbase/jkorf_subscriptions.jsonl").read_text().splitlines())
    (frame,) = [row["frame"] for row in rows if row["channel"] == "Trades" and row["dir"] == "in"]
    found = [item for item in items(json.loads(frame)) if isinstance(item, Trade)]
    assert [(trade.symbol, trade.trade_id, trade.side, trade.price) for trade in found] == [
        ("ETHUSDT", "22381690", "sell", Decimal("2375.56")),
        ("ETHUSDT", "22381691", "sell", Decimal("2375.56")),
    ]

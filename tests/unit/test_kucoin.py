"""KuCoin's classic API, the decoding half, by EXCHANGES.md §7: a conversation by hand, made frames."""

import msgspec
import pytest

from COBY.exchanges.base import Delta, Endpoints, Lost, NotListed, Rejected, Repeated, Snapshot, Stale, Trade
from COBY.exchanges.kucoin import EXCHANGE
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from tests.conversation import conversation
from tests.conversation_rest import RestPlayer
from tests.decoded import codes, reason, sides, text

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
MS = 1_700_000_000_123
REST = "https://api.kucoin.com/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"


def update(first, last, bids=(), asks=(), symbol="BTC-USDT", **more):
    data = {"changes": {"asks": list(asks), "bids": list(bids)}, "sequenceEnd": last, "sequenceStart": first,
            "symbol": symbol, "time": MS}  # fmt: skip
    topic = f"/market/level2:{symbol}"
    return {"topic": topic, "type": "message", "subject": "trade.l2update", "data": data | more}


def match(symbol="BTC-USDT", **more):
    data = {"makerOrderId": "m", "price": "67523", "sequence": "7", "side": "buy", "size": "0.003", "symbol": symbol,
            "takerOrderId": "t", "time": "1729843222921000999", "tradeId": "7", "type": "match"}  # fmt: skip
    return {
        "topic": f"/market/match:{symbol}",
        "type": "message",
        "subject": "trade.l3match",
        "data": data | more,
    }


def body(sequence, bids=(("100", "1"),), asks=(("101", "2"),), **more):
    data = {"time": MS, "sequence": str(sequence), "bids": list(bids), "asks": list(asks)}
    return {"code": "200000", "data": data | more}


def connection(symbols=SYMBOLS):
    return ConnectionProcessor(EXCHANGE, symbols, one_bucket)


def take(one, message, kind="ws", symbol="BTCUSDT", url=REST):
    return one.take(text(message), kind, symbol if kind == "http" else None, url if kind == "http" else None)


def rest(one, *args, **more):
    return take(one, body(*args, **more), "http")


def live(last=10):
    one = connection()
    assert codes(rest(one, last)) == ["Snapshot"]
    return one


def test_the_conversation_written_by_hand():
    symbols = {"BTC-USDT": "BTCUSDT", "XYZ-USDT": "XYZUSDT"}
    player = RestPlayer(EXCHANGE, symbols, Endpoints("wss://ws-api-spot.kucoin.com", "https://rest"))
    assert player.play(conversation("kucoin", "conversation")) == 9


# --- continuity ---------------------------------------------------------------------------------------------------


def test_a_straddling_message_gives_only_its_changes_beyond_the_snapshot():
    """Numbers decide, not their places: levels come sorted by price."""
    one = connection()
    take(one, update(5, 15, [["99", "9", "12"], ["98", "8", "9"]], [["101", "7", "10"], ["102", "6", "11"]]))
    events = rest(one, 10)
    assert codes(events) == ["Snapshot", "Delta", "Delta", "Delta"]
    assert sides(one) == ({"100": "1", "99": "9"}, {"101": "2", "102": "6"})
    assert one.book("BTCUSDT").sequence_id == 15
    assert codes(take(one, update(16, 16))) == ["Delta"]


def test_what_came_before_the_snapshot_is_dropped_and_nothing_may_survive():
    one = connection()
    take(one, update(8, 9, [["99", "9", "9"]]))
    assert codes(rest(one, 12)) == ["Snapshot"]
    assert take(one, update(10, 12, [["99", "5", "11"]])) == []
    assert codes(take(one, update(13, 13, [["99", "4", "13"]]))) == ["Delta"]
    assert sides(one)[0] == {"100": "1", "99": "4"}


def test_a_live_message_that_overlaps_the_book_gives_only_what_is_new():
    one = live(10)
    assert codes(take(one, update(8, 12, [["100", "7", "10"], ["99", "3", "12"]]))) == ["Delta"]
    assert sides(one)[0] == {"100": "1", "99": "3"}


def test_an_overlap_of_many_old_changes_is_no_exchange_that_began_anew():
    one = live(100)
    many = [[str(price), "1", str(price)] for price in range(1, 100)]
    assert codes(take(one, update(1, 101, many))) == ["Delta"]
    assert sides(one)[0] == {"100": "1"}
    assert codes(take(one, update(102, 102))) == ["Delta"]


def test_a_snapshot_older_than_what_is_held_is_too_old():
    one = connection()
    take(one, update(20, 25))
    (stale,) = rest(one, 10)
    assert (type(stale), stale.reason) == (Stale, "snapshot_too_old")
    assert codes(rest(one, 19)) == ["Snapshot", "Delta"]


@pytest.mark.parametrize("first", [12, 50])
def test_a_gap_blinds_until_a_snapshot_joins_and_cuts_the_message_after_the_gap(first):
    one = live(10)
    (lost,) = take(one, update(first, first + 5, [["99", "1", str(first)], ["98", "2", str(first + 5)]]))
    assert lost == Lost("BTCUSDT", "sequence_gap", f"expected 11, got {first}")
    assert reason(one) == "sequence_gap"
    assert take(one, update(first + 6, first + 6)) == []
    assert codes(rest(one, first + 2)) == ["Snapshot", "Delta", "Delta"]
    assert sides(one)[0] == {"100": "1", "98": "2"}, "the change of the number before the snapshot is in it"


def test_updates_doubled_or_late_change_nothing():
    one = live(10)
    for _ in range(2):
        take(one, update(11, 11, [["99", "1", "11"]]))
    assert take(one, update(11, 11, [["99", "5", "11"]])) == [Repeated("BTCUSDT")]
    assert sides(one)[0] == {"100": "1", "99": "1"}
    assert codes(take(one, update(12, 12))) == ["Delta"]


def test_updates_swapped_are_a_gap():
    one = live(10)
    assert codes(take(one, update(12, 12))) == ["Lost"]
    assert take(one, update(11, 11)) == []
    assert codes(rest(one, 11)) == ["Snapshot", "Delta"]


def test_a_snapshot_that_nobody_waits_for_and_a_doubled_one():
    one = live(10)
    take(one, update(11, 11, [["99", "1", "11"]]))
    assert rest(one, 10) == [], "it came late"
    assert codes(rest(one, 11)) == ["Snapshot"]
    assert codes(take(one, update(12, 12))) == ["Delta"]


def test_a_price_twice_ends_at_the_size_of_the_higher_number():
    one = live(10)
    take(one, update(11, 14, [["99", "2", "14"], ["99", "1", "12"]]))
    assert sides(one)[0]["99"] == "2"


def test_the_books_of_a_connection_are_apart():
    one = live(10)
    assert take(one, update(50, 60, symbol="ETH-USDT")) == []
    assert codes(take(one, update(11, 11))) == ["Delta"]


# --- what a change says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "size"), [("0", "0"), ("0", "5"), ("0.000", "x"), ("0.0", "")])
def test_a_price_of_zero_only_moves_the_number_on_whatever_its_size(price, size):
    one = live(10)
    assert take(one, update(11, 11, [], [[price, size, "11"]])) == [
        Delta("BTCUSDT", [], [], 11, 11, MS * 1000, None)
    ]
    assert sides(one) == ({"100": "1"}, {"101": "2"})
    assert codes(take(one, update(12, 12))) == ["Delta"]


def test_a_price_has_one_text():
    one = live(10)
    take(one, update(11, 12, [["100.0", "5", "11"], ["1e2", "6", "12"]]))
    assert sides(one)[0] == {"100": "6"}


def test_numbers_of_changes_may_be_numbers():
    assert codes(take(live(10), update(11, 11, [["99", "1", 11]]))) == ["Delta"]


def test_a_body_is_limited_on_the_side_that_is_full():
    bids = [(str(1000 - number), "1") for number in range(100)]
    one = connection()
    (snapshot,) = rest(one, 5, bids, [("1001", "1"), ("1002", "1")])
    assert (snapshot.limited_bids, snapshot.limited_asks) == (True, False)
    for url, limited in ((REST.replace("_100", "_20"), True), (REST.replace("level2_100", "level2"), False),
                         (REST, False)):  # fmt: skip
        (snapshot,) = take(connection(), body(5, bids[:30]), "http", url=url)
        assert snapshot.limited_bids is limited, url


def test_a_trade_is_the_takers_and_its_time_nanoseconds():
    assert take(connection(), match(price="67523.50", side="sell", tradeId="5c24c5da03aa673885cd67aa")) == [
        Trade("BTCUSDT", "67523.5", "0.003", "sell", "5c24c5da03aa673885cd67aa", 1_729_843_222_921_000)
    ]


# --- what can't be used -------------------------------------------------------------------------------------------

BAD = ["-1", "NaN", "inf", "1e400", "", " 1", "1,5", "0x1", "9" * 5000]


@pytest.mark.parametrize("price", [*BAD, "1e-70", "-0"])
def test_no_price_is_rejected_and_the_book_blind(price):
    one = live(10)
    assert codes(take(one, update(11, 11, [["99", "1", "11"], [price, "1", "11"]]))) == [
        "frame.number",
        "Lost",
    ]
    assert "99" not in sides(one)[0]
    assert take(one, update(12, 12)) == []
    assert codes(rest(one, 11)) == ["Snapshot", "Delta"]


@pytest.mark.parametrize("size", [*BAD, "1" * 23])
def test_no_size_is_rejected_and_the_book_blind(size):
    assert codes(take(live(10), update(11, 11, [], [["99", size, "11"]]))) == ["frame.number", "Lost"]


@pytest.mark.parametrize(
    "change",
    [["99", "1"], ["99", "1", "11", "x"], [99, "1", "11"], ["99", 1, "11"], ["99", "1", "x"], ["99", "1", None],
     ["99", "1", "-11"], ["99", "1", 1.5], "99", None],
)  # fmt: skip
def test_a_change_of_another_shape_is_rejected_and_the_book_blind(change):
    assert codes(take(live(10), update(11, 11, [change]))) == ["frame.shape", "Lost"]


@pytest.mark.parametrize(
    "more",
    [{"sequenceStart": None}, {"sequenceEnd": -1}, {"sequenceEnd": 2**63}, {"sequenceStart": 1.5}, {"changes": None},
     {"changes": {"asks": []}}, {"time": "soon"}],
)  # fmt: skip
def test_a_wrong_field_is_rejected_and_the_book_blind(more):
    one = live(10)
    assert codes(take(one, update(11, 11, **more))) == ["frame.shape", "Lost"]
    assert take(one, update(12, 12)) == []


def test_the_name_of_a_missing_field_is_told():
    message = update(11, 11)
    del message["data"]["sequenceEnd"]
    rejected, _ = take(live(10), message)
    assert "sequenceEnd" in rejected.detail


@pytest.mark.parametrize(("first", "last", "number"), [(12, 11, "11"), (11, 12, "13"), (11, 12, "10")])
def test_numbers_that_contradict_each_other_blind(first, last, number):
    one = live(10)
    assert codes(take(one, update(first, last, [["99", "1", number]]))) == ["frame.range", "Lost"]
    assert "99" not in sides(one)[0]


def test_an_unusable_update_while_a_snapshot_is_awaited_is_found_when_it_comes():
    one = connection()
    take(one, update(11, 11))
    assert codes(take(one, update(12, 12, [["x", "1", "12"]]))) == ["frame.number"]
    take(one, update(13, 13))
    assert codes(rest(one, 10)) == ["Stale"]
    assert codes(rest(one, 12)) == ["Snapshot", "Delta"]


def test_a_symbol_not_subscribed():
    one = live(10)
    assert codes(take(one, update(11, 11, symbol="DOGE-USDT"))) == ["frame.unknown_symbol"]
    assert codes(take(one, match(symbol="DOGE-USDT"))) == ["frame.unknown_symbol"]
    assert codes(take(one, body(1), "http", symbol=None, url=None)) == ["frame.unknown_symbol"]
    assert reason(one) is None


@pytest.mark.parametrize(
    ("more", "code"),
    [({"price": "0"}, "frame.number"), ({"price": "-1"}, "frame.number"), ({"size": "0.00"}, "frame.number"),
     ({"size": "NaN"}, "frame.number"), ({"side": "hold"}, "frame.shape"), ({"time": "soon"}, "frame.shape"),
     ({"tradeId": ""}, "frame.shape"), ({"tradeId": 7}, "frame.shape"), ({"price": 1.5}, "frame.shape")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_blinds_nothing(more, code):
    one = live(10)
    assert codes(take(one, match(**more))) == [code]
    assert reason(one) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [({"code": "500000", "msg": "busy"}, "frame.rest_error"), ({"code": "429000", "data": None}, "frame.rest_error"),
     ({"code": "200000"}, "frame.shape"), (body(5, bids=[["x", "1"]]), "frame.number"), (b"<html>", "frame.json"),
     (body("-5"), "frame.shape"), (body(5, asks=[["1", 2]]), "frame.shape"), (body(5, asks=[["0", "1"]]),
     "frame.number")],
)  # fmt: skip
def test_a_body_that_is_no_book_is_rejected_and_the_book_stays(message, code):
    one = live(10)
    assert codes(take(one, message, "http")) == [code]
    assert reason(one) is None
    assert codes(take(one, update(11, 11))) == ["Delta"]


def test_a_symbol_the_exchange_does_not_have():
    unknown = {"code": "900001", "msg": "symbol not exists"}
    assert take(connection(), unknown, "http") == [NotListed("BTCUSDT", "symbol not exists")]
    one = live(10)
    take(one, update(11, 11))
    assert codes(take(one, unknown, "http")) == ["frame.rest_error"], "its updates come"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [(b'{"subject":"trade.l2update","topic":"/market/level2:BTC-USDT","da', ["frame.json", "Lost"]),
     (b'{"topic":"/market/level2:ETH-USDT","subj', ["frame.json"]),
     (b'{"topic":"/market/level2:DOGE-USDT","subj', ["frame.json"]), (b"{", ["frame.json"]), (b"", ["frame.json"]),
     (b'"trade.l2update"', ["frame.shape", "Lost"]), (b"\xff", ["frame.json"]), (b"[]", ["frame.shape"]),
     (b'{"data":' + b"[" * 100_000, ["frame.json"])],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_poison_blinds_what_it_may_have_changed(frame, expected):
    assert codes(take(live(10), frame)) == expected


@pytest.mark.parametrize(
    "message",
    [{"id": "a", "type": "welcome"}, {"id": "1", "type": "ack"}, {"id": "1", "type": "pong", "timestamp": 5}, {},
     {"id": "1", "type": "error", "code": 404, "data": "topic is not found"}, b'[["1", "2"]]',
     {"type": "message", "topic": "/market/ticker:BTC-USDT", "subject": "trade.ticker", "data": {"price": 1}},
     {"type": "message", "topic": "/spotMarket/level2Depth5:BTC-USDT", "subject": "level2", "data": {"asks": []}},
     {"type": "message", "topic": "/contractMarket/level2:XBTUSDM", "subject": "level2", "data": {"sequence": 5}}],
)  # fmt: skip
def test_other_channels_and_replies_pass_silently(message):
    one = connection({})
    assert take(one, message) == []
    assert one.decoder.met() == frozenset()


def whole_life():
    """(message, kind) of a connection on which most of what can happen does."""
    return [
        (update(5, 15, [["99", "9", "12"]], [["0", "0", "5"]]), "ws"), (body(3), "http"), (body(10), "http"),
        (update(16, 18, [["98", "1", "18"]]), "ws"), (update(17, 19, [["98", "2", "19"], ["97", "1", "18"]]), "ws"),
        (match(), "ws"), (match(tradeId="8"), "ws"), (update(21, 25, [["96", "1", "22"], ["95", "1", "25"]]), "ws"),
        (update(26, 26), "ws"), (b"{", "ws"), (body(23), "http"), (update(27, 27, [["x", "1", "27"]]), "ws"),
        (update(28, 28), "ws"), (body(28), "http"), (update(29, 29), "ws"), (body(40), "http"), (update(41, 41), "ws"),
    ]  # fmt: skip


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    frames, straight = whole_life(), connection()
    expected = [take(straight, *frame) for frame in frames]
    kinds = {type(event) for events in expected for event in events}
    assert kinds == {Snapshot, Delta, Trade, Lost, Rejected, Stale}
    for cut in range(len(frames) + 1):
        first, second = connection(), connection()
        before = [take(first, *frame) for frame in frames[:cut]]
        packed = msgspec.msgpack.encode(first.save())
        second.load(msgspec.msgpack.decode(packed, type=ConnectionState))
        assert before + [take(second, *frame) for frame in frames[cut:]] == expected
        assert second.save() == straight.save()

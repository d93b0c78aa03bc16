"""Bybit v5 spot, the decoding half, by EXCHANGES.md §4: made frames, a conversation by hand, and the recorded ones."""

import json

import msgspec
import pytest

from COBY.exchanges.base import Delta, Endpoints, Lost, Rejected, Snapshot, Trade
from COBY.exchanges.bybit import EXCHANGE
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from tests.conversation import Player, conversation
from tests.decoded import codes, reason, text

SYMBOLS = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
MS = 1_700_000_000_123


def book(kind, number, bids=(), asks=(), symbol="BTCUSDT", depth=1000, **more):
    data = {
        "s": symbol,
        "b": list(map(list, bids)),
        "a": list(map(list, asks)),
        "u": number,
        "seq": 7_961_638_724,
    }
    topic = f"orderbook.{depth}.{symbol}"
    return {"topic": topic, "ts": MS + 3, "type": kind, "data": data | more, "cts": MS}


def trades(*rows, symbol="BTCUSDT"):
    data = [{"i": "2290000000067341890", "T": MS, "p": "3.6279", "v": "1.3637", "S": "Sell", "s": symbol,
             "BT": False, "RPI": False, "seq": 5} | row for row in rows]  # fmt: skip
    return {"topic": f"publicTrade.{symbol}", "ts": MS + 2, "type": "snapshot", "data": data}


def answer(operation, success=True, **more):
    return {"success": success, "ret_msg": operation, "conn_id": "c1", "op": operation} | more


def connection(symbols=SYMBOLS):
    return ConnectionProcessor(EXCHANGE, symbols, one_bucket)


def take(one, message):
    return one.take(text(message), "ws", None, None)


def live(last=10, bids=(("100", "1"),), asks=(("101", "2"),)):
    one = connection()
    assert codes(take(one, book("snapshot", last, bids, asks))) == ["Snapshot"]
    return one


def test_a_conversation_by_hand():
    symbols = {"BTCUSDT": "BTCUSDT", "XYZUSDT": "XYZUSDT"}
    player = Player(EXCHANGE, symbols, Endpoints("wss://stream", "https://rest"))
    assert player.play(conversation("bybit", "conversation")) == 8


# --- continuity ---------------------------------------------------------------------------------------------------


def test_a_snapshot_and_a_delta_in_our_words():
    one = connection()
    snapshot = take(one, book("snapshot", 10, [("100.10", "1.0")], [("101", "2")]))
    assert snapshot == [Snapshot("BTCUSDT", [("100.1", "1.0")], [("101", "2")], 10, MS * 1000, depth=1000)]
    assert take(one, book("delta", 11, [("100.1", "0")])) == [
        Delta("BTCUSDT", [("100.1", "0")], [], 11, 11, MS * 1000)
    ]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {}, "100.10 and 100.1 are one price"


@pytest.mark.parametrize("number", [9, 10, 12, 10**18])
def test_a_number_that_is_not_the_next_blinds_until_the_next_snapshot(number):
    one = live(10)
    (lost,) = take(one, book("delta", number))
    assert (type(lost), lost.reason, lost.detail) == (Lost, "sequence_gap", f"expected 10, got {number - 1}")
    assert reason(one) == "sequence_gap"
    assert take(one, book("delta", 11)) == [], "not even the right one, late"
    assert take(one, book("delta", number + 1)) == []
    assert codes(take(one, book("snapshot", 5, [("1", "1")]))) == ["Snapshot"]
    assert codes(take(one, book("delta", 6))) == ["Delta"]
    assert reason(one) is None


def test_two_updates_swapped_or_one_doubled_blind():
    one = live(10)
    assert [codes(take(one, book("delta", number))) for number in (12, 11, 13)] == [["Lost"], [], []]
    one = live(10)
    assert [codes(take(one, book("delta", number))) for number in (11, 11, 12)] == [["Delta"], ["Lost"], []]


def test_nothing_before_the_first_snapshot_counts_and_it_is_no_gap():
    one = connection()
    assert take(one, book("delta", 2)) == []
    assert reason(one) == "never_connected"


def test_any_snapshot_replaces_the_book_without_a_gap():
    one = live(10)
    assert codes(take(one, book("snapshot", 10, [("100", "1")], [("101", "2")]))) == ["Snapshot"], (
        "the same again"
    )
    assert codes(take(one, book("snapshot", 3, [("50", "1")]))) == ["Snapshot"]
    one.book("BTCUSDT").flush()
    assert (one.book("BTCUSDT").bids.texts, reason(one)) == ({"50": "1"}, None)
    assert codes(take(one, book("delta", 11))) == ["Lost"], "of the book before"


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_number_one_is_a_service_begun_anew_and_replaces_the_book(kind):
    one = live(5_000)
    assert codes(take(one, book(kind, 1, [("90", "1")], [("91", "1")]))) == ["Snapshot"]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {"90": "1"}
    assert codes(take(one, book("delta", 2, [("90", "2")]))) == ["Delta"]


@pytest.mark.parametrize(("bids", "asks"), [([("90", "0")], [("91", "1")]), ([("90", "1")], []), ([], [])])
def test_a_delta_of_number_one_that_is_no_whole_book_is_not_taken_for_one(bids, asks):
    one = live(5_000)
    assert codes(take(one, book("delta", 1, bids, asks))) == ["Lost"]


def test_a_delta_of_an_old_subscription_after_the_new_snapshot_blinds_instead_of_changing_it():
    one = live(10)
    take(one, answer("unsubscribe", req_id="book.BTCUSDT"))
    take(one, book("snapshot", 20, [("100", "5")], [("101", "5")]))
    assert codes(take(one, book("delta", 12, [("100", "9")]))) == ["Lost"]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {"100": "5"}


def test_the_books_of_a_connection_are_apart():
    one = live(10)
    take(one, book("snapshot", 99, symbol="ETHUSDT"))
    assert codes(take(one, book("delta", 101, symbol="ETHUSDT"))) == ["Lost"]
    assert codes(take(one, book("delta", 11))) == ["Delta"]
    assert reason(one) is None


def test_an_unsubscription_acknowledged_while_live_blinds_and_is_being_renewed():
    one = live(10)
    for number, success in (
        ("all.BTCUSDT", True),
        ("book.BTCUSDT", False),
        ("", True),
        ("book.DOGEUSDT", True),
    ):
        assert take(one, answer("unsubscribe", success, req_id=number)) == []
    assert take(one, answer("subscribe", req_id="book.BTCUSDT")) == []
    assert take(one, answer("unsubscribe", req_id="book.BTCUSDT")) == [
        Lost("BTCUSDT", "sequence_gap", "unsubscribed", renewing=True)
    ]
    assert take(one, book("delta", 11)) == []


# --- depths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_the_window_is_the_depth_of_the_topic(depth):
    (event,) = take(connection(), book("snapshot", 1, [("1", "1")], [("2", "1")], depth=depth))
    assert event.depth == depth


def test_of_several_depths_of_a_symbol_the_deepest_is_the_book_and_none_disturbs_it():
    one = connection()
    assert codes(take(one, book("snapshot", 7, [("100", "1")], [("101", "1")], depth=1))) == ["Snapshot"]
    assert take(one, book("delta", 8, depth=50)) == [], "of a book not yet met"
    assert codes(take(one, book("snapshot", 70, [("100", "1"), ("99", "1")], [("101", "1")], depth=50))) == [
        "Snapshot"
    ]
    assert take(one, book("snapshot", 8, [("100", "7")], [("101", "1")], depth=1)) == []
    assert take(one, book("delta", 71, [("100", "7")], depth=1)) == []
    assert codes(take(one, book("delta", 71, [("99", "0")], depth=50))) == ["Delta"]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {"100": "1"}


def test_a_book_deeper_than_what_is_subscribed_takes_no_book_s_place():
    one = live(10)
    assert take(one, book("snapshot", 5, [("1", "1")], [("2", "1")], depth=1001)) == []
    assert codes(take(one, book("delta", 11))) == ["Delta"]


def test_a_level_pushed_out_of_the_window_is_forgotten():
    one = connection()
    take(one, book("snapshot", 1, [(str(number), "1") for number in range(1, 51)], depth=50))
    take(one, book("delta", 2, [("51", "1"), ("52", "1")], depth=50))
    one.book("BTCUSDT").flush()
    assert len(one.book("BTCUSDT").bids.texts) == 50
    assert {"1", "2"}.isdisjoint(one.book("BTCUSDT").bids.texts)


# --- numbers and shapes -------------------------------------------------------------------------------------------

BAD_NUMBERS = ["-1", "NaN", "inf", "1e400", "", " 1", "1,5", "0x1", "9" * 5000, "1" * 58 + "e-64"]


@pytest.mark.parametrize("price", [*BAD_NUMBERS, "0", "0.0", "1e-70"])
def test_a_delta_with_no_price_is_rejected_and_found_missing(price):
    one = live(10)
    assert codes(take(one, book("delta", 11, [("99", "1"), (price, "1")]))) == ["frame.number", "Lost"]
    one.book("BTCUSDT").flush()
    assert "99" not in one.book("BTCUSDT").bids.texts
    assert take(one, book("delta", 12)) == []


@pytest.mark.parametrize("size", [*BAD_NUMBERS[:-1], "1" * 23])
def test_a_delta_with_no_size_is_rejected_and_found_missing(size):
    assert codes(take(live(10), book("delta", 11, [], [("99", size)]))) == ["frame.number", "Lost"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("b", None), ("a", [["1"]]), ("a", [["1", "2", "3"]]), ("b", [[1, 2]]), ("b", {"1": "2"}), ("u", "11"),
     ("u", 0), ("u", -1), ("u", 2**63), ("u", 1.5), ("u", None), ("s", "ETHUSDT"), ("s", None)],
)  # fmt: skip
def test_a_delta_of_another_shape_is_rejected_and_found_missing(field, value):
    one = live(10)
    assert codes(take(one, book("delta", 11) | {"data": book("delta", 11)["data"] | {field: value}})) == [
        "frame.shape",
        "Lost",
    ]
    assert take(one, book("delta", 12)) == []


@pytest.mark.parametrize("field", ["b", "a", "u", "s"])
def test_a_missing_field_is_rejected_by_name_and_an_unknown_one_passed_over(field):
    one, message = live(10), book("delta", 11)
    assert codes(take(one, message | {"more": {"a": [1]}} | {"data": message["data"] | {"new": 5}})) == [
        "Delta"
    ]
    del message["data"][field]
    rejected, lost = take(one, message)
    assert (rejected.code, type(lost)) == ("frame.shape", Lost)
    assert f"`{field}`" in rejected.detail


def test_a_book_without_its_topic_is_rejected_and_blinds_all():
    one, message = live(10), book("delta", 11)
    del message["topic"]
    rejected, lost = take(one, message)
    assert (rejected.code, "`topic`" in rejected.detail, lost.symbol) == ("frame.shape", True, "BTCUSDT")


@pytest.mark.parametrize("kind", ["", "update", "Snapshot"])
def test_another_type_is_rejected_and_blinds(kind):
    assert codes(take(live(10), book(kind, 11))) == ["frame.shape", "Lost"]


def test_what_was_not_subscribed_is_rejected_and_blinds_nothing():
    one = live(10)
    assert codes(take(one, book("delta", 11, symbol="DOGEUSDT"))) == ["frame.unknown_symbol"]
    assert codes(take(one, trades({}, symbol="DOGEUSDT"))) == ["frame.unknown_symbol"]
    assert reason(one) is None


@pytest.mark.parametrize("ms", [-5, 10**18])
def test_an_impossible_time_stays_a_time(ms):
    (event,) = take(live(10), book("delta", 11) | {"cts": ms})
    assert 0 <= event.time_us < 253_402_300_800_000_000
    (trade,) = take(connection(), trades({"T": ms}))
    assert 0 <= trade.time_us < 253_402_300_800_000_000


def test_without_the_matching_engines_time_that_of_sending_stands():
    message = book("snapshot", 1)
    del message["cts"]
    assert take(connection(), message)[0].time_us == (MS + 3) * 1000


def test_trades_are_the_takers_their_type_is_no_history_and_ids_stay_texts():
    events = take(connection(), trades({}, {"i": "20f43950-d8dd", "S": "Buy", "p": "16578.50", "v": "0.001"}))
    assert events == [
        Trade("BTCUSDT", "3.6279", "1.3637", "sell", "2290000000067341890", MS * 1000, history=False),
        Trade("BTCUSDT", "16578.5", "0.001", "buy", "20f43950-d8dd", MS * 1000, history=False),
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [({"p": "-1"}, "frame.number"), ({"p": "0"}, "frame.number"), ({"v": "0.000"}, "frame.number"),
     ({"v": "nan"}, "frame.number"), ({"S": "Unknown"}, "frame.shape"), ({"S": "buy"}, "frame.shape"),
     ({"s": "ETHUSDT"}, "frame.shape"), ({"s": "XUSDT"}, "frame.unknown_symbol")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_its_neighbours_count(row, code):
    assert codes(take(connection(), trades({}, row, {}))) == ["Trade", code, "Trade"]


@pytest.mark.parametrize("row", [{"p": 1.5}, {"v": None}, {"i": 7}, {"T": "1"}])
def test_a_trade_of_another_shape_rejects_the_frame_and_no_book(row):
    one = live(10)
    assert codes(take(one, trades({}, row))) == ["frame.shape"]
    assert reason(one) is None


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_blanks_and_the_order_of_keys_decide_nothing(spaces):
    for message, expected in ((trades({}), "Trade"), (book("snapshot", 9), "Snapshot")):
        derivatives = {key: message[key] for key in ("topic", "type", "ts", "data")}
        for each in (message, derivatives, dict(reversed(message.items()))):
            assert codes(take(connection(), json.dumps(each, separators=spaces).encode())) == [expected]


@pytest.mark.parametrize(
    "frame",
    [answer("subscribe"), answer("pong") | {"op": "ping"}, {"op": "pong", "args": ["1"], "conn_id": "a"},
     answer("failed", success=False), {}, b"[1]", {"topic": "tickers.BTCUSDT", "data": {"symbol": 5}},
     {"topic": "orderbook.full.BTCUSDT", "type": "delta", "data": []},
     {"topic": "orderbook.rpi.BTCUSDT", "type": "delta", "data": {"b": [["1", "2", "3"]]}},
     {"topic": "publicTrade.BTCUSDT.more", "data": 5}, {"topic": "orderBookL2_25.BTCUSD", "data": [{}]},
     {"topic": "unhandled"}],
)  # fmt: skip
def test_other_channels_and_answers_pass_silently(frame):
    one = live(10)
    assert take(one, frame) == []
    assert reason(one) is None


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"", "frame.json"), (b"{", "frame.json"), (b"\xff", "frame.json"), (b"null", "frame.shape"),
     (b'{"topic":5}', "frame.shape"), (b'{"data":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "frame.json"),
     (b'{"topic":"orderbook.1000.BTCUSDT","ts":1', "frame.json"),
     (b'{"ts":1,"topic":"orderbook.1000.BTCU', "frame.json")],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_an_unreadable_frame_that_may_have_been_an_update_blinds(frame, code):
    assert codes(take(live(10), frame)) == [code, "Lost"]


@pytest.mark.parametrize(
    "frame",
    [b'{"topic":"publicTrade.BTCUSDT","ts":1', b'{"success":true,"ret_msg":"po', b'{"op":"pong","args"',
     b'{"topic":"orderbook.1000.ETHUSDT","ts":1', b'{"topic":"orderbook.1000.DOGEUSDT","ts":1'],
)  # fmt: skip
def test_an_unreadable_frame_that_says_it_was_something_else_blinds_nothing(frame):
    one = live(10)
    assert codes(take(one, frame)) == ["frame.json"]
    assert reason(one) is None


def test_a_rest_body_is_not_ours():
    assert EXCHANGE.decoder({}).decode(b"{broken", "http", "BTCUSDT", None) == []


# --- state --------------------------------------------------------------------------------------------------------


def whole_life():
    """Frames of a connection on which most of what can happen does."""
    return [
        book("delta", 9), book("snapshot", 5, [("100", "1")], [("101", "1")], depth=50),
        book("snapshot", 10, [("100", "1"), ("99", "2")], [("101", "3")]), book("delta", 6, depth=50),
        book("delta", 11, [("99.5", "1")]), trades({}, {}), book("delta", 13), book("delta", 14),
        book("snapshot", 20, [("98", "1")], [("99", "1")]), book("snapshot", 1, [("98", "1")], [("99", "1")]),
        book("delta", 2, [("x", "1")]), book("delta", 3), book("snapshot", 30, [("98", "1")]), b"{",
        book("snapshot", 31), answer("unsubscribe", req_id="book.BTCUSDT"), book("delta", 32),
        book("snapshot", 7, [("98", "1")]), book("delta", 8, [("98", "0")]),
    ]  # fmt: skip


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    frames, straight = whole_life(), connection()
    expected = [take(straight, frame) for frame in frames]
    assert {type(event) for events in expected for event in events} == {
        Snapshot,
        Delta,
        Trade,
        Lost,
        Rejected,
    }
    for cut in range(len(frames) + 1):
        first, second = connection(), connection()
        before = [take(first, frame) for frame in frames[:cut]]
        packed = msgspec.msgpack.encode(first.save())
        second.load(msgspec.msgpack.decode(packed, type=ConnectionState))
        assert msgspec.msgpack.encode(second.save()) == packed
        assert before + [take(second, frame) for frame in frames[cut:]] == expected
        assert second.save() == straight.save()

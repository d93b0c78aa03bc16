"""Gate.io v4 spot, the decoding half, by EXCHANGES.md §8: made frames, and a conversation by hand."""

import json

import msgspec
import pytest

from COBY.exchanges.base import Delta, Endpoints, Lost, Rejected, Snapshot, Trade
from COBY.exchanges.gateio import EXCHANGE
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from tests.conversation import Player, conversation
from tests.decoded import codes, reason, text

SYMBOLS = {"BTC_USDT": "BTCUSDT", "ETH_USDT": "ETHUSDT"}
MS = 1_700_000_000_123


def push(channel, result, event="update"):
    return {"time": MS // 1000, "time_ms": MS + 1, "channel": channel, "event": event, "result": result}


def full(number, bids=(), asks=(), pair="BTC_USDT", depth=400, **more):
    sides = {"b": list(map(list, bids)), "a": list(map(list, asks))}
    return push("spot.obu", {"t": MS, "full": True, "s": f"ob.{pair}.{depth}", "u": number} | sides | more)


def update(first, last, bids=(), asks=(), pair="BTC_USDT", depth=400, **more):
    """A side without rows is absent, as is ``full``."""
    sides = {name: list(map(list, rows)) for name, rows in (("b", bids), ("a", asks)) if rows}
    return push("spot.obu", {"t": MS, "s": f"ob.{pair}.{depth}", "U": first, "u": last} | sides | more)


def row(**more):
    return {"id": 309143071, "create_time": MS // 1000, "create_time_ms": f"{MS}.4578", "side": "sell",
            "currency_pair": "BTC_USDT", "amount": "16.4700000000", "price": "0.4705000000"} | more  # fmt: skip


def trade(**more):
    return push("spot.trades", row(**more))


def answer(event, channel="spot.obu", item="ob.BTC_USDT.400", **more):
    return push(channel, {"status": "success"}, event) | {"id": 1, "payload": [item]} | more


def connection(symbols=SYMBOLS):
    return ConnectionProcessor(EXCHANGE, symbols, one_bucket)


def take(one, message):
    return one.take(text(message), "ws", None, None)


def live(last=10, bids=(("100", "1"),), asks=(("101", "2"),)):
    one = connection()
    assert codes(take(one, full(last, bids, asks))) == ["Snapshot"]
    return one


def without(message, *fields):
    return message | {"result": {key: value for key, value in message["result"].items() if key not in fields}}


def test_a_conversation_by_hand():
    symbols = {"BTC_USDT": "BTCUSDT", "XYZ_USDT": "XYZUSDT"}
    player = Player(EXCHANGE, symbols, Endpoints("wss://stream", "https://rest"))
    assert player.play(conversation("gateio", "conversation")) == 7


# --- continuity ---------------------------------------------------------------------------------------------------


def test_a_full_push_has_no_first_number_and_an_update_no_full():
    one = connection()
    assert take(one, full(10, [("100.10", "1.0")], [("101", "2")])) == [
        Snapshot("BTCUSDT", [("100.1", "1.0")], [("101", "2")], 10, MS * 1000, depth=400)
    ]
    assert take(one, update(11, 17, [("100.1", "0")])) == [
        Delta("BTCUSDT", [("100.1", "0")], [], 11, 17, MS * 1000)
    ]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {}, "100.10 and 100.1 are one price"
    assert codes(take(one, update(18, 18))) == ["Delta"], "both sides absent"
    assert codes(take(one, update(19, 19, b=None, a=[]))) == ["Delta"], "or empty"


@pytest.mark.parametrize(("first", "last"), [(10, 12), (9, 11), (12, 12), (5, 9), (0, 0)])
def test_an_update_that_does_not_begin_at_the_next_number_blinds_until_the_next_full_push(first, last):
    one = live(10)
    (lost,) = take(one, update(first, last))
    assert (type(lost), lost.reason, lost.detail) == (Lost, "sequence_gap", f"expected 10, got {first - 1}")
    assert reason(one) == "sequence_gap"
    assert take(one, update(11, 12)) == [], "not even the right one, late"
    assert codes(take(one, full(5, [("1", "1")]))) == ["Snapshot"]
    assert codes(take(one, update(6, 9))) == ["Delta"]
    assert reason(one) is None


def test_two_updates_swapped_or_one_doubled_blind():
    one = live(10)
    assert [codes(take(one, update(at, at))) for at in (12, 11, 13)] == [["Lost"], [], []]
    one = live(10)
    assert [codes(take(one, update(at, at))) for at in (11, 11, 12)] == [["Delta"], ["Lost"], []]


def test_updates_before_the_first_full_push_are_of_no_use_and_no_gap():
    one = connection()
    assert take(one, update(1, 2)) == []
    assert reason(one) == "never_connected"


@pytest.mark.parametrize("number", [3, 10, 99])
def test_a_full_push_sent_again_replaces_the_book_without_a_gap(number):
    one = live(10)
    assert codes(take(one, full(number, [("50", "1")]))) == ["Snapshot"]
    one.book("BTCUSDT").flush()
    assert (one.book("BTCUSDT").bids.texts, reason(one)) == ({"50": "1"}, None)
    assert codes(take(one, update(number + 1, number + 4))) == ["Delta"]


def test_a_push_with_neither_full_nor_first_number_is_rejected_and_blinds():
    (rejected, lost) = take(live(10), without(update(11, 12, [("1", "1")]), "U"))
    assert (rejected.code, "`U`" in rejected.detail, type(lost)) == ("frame.shape", True, Lost)


def test_full_that_is_false_is_an_update_and_a_full_one_with_a_first_number_is_full():
    one = live(10)
    assert codes(take(one, update(11, 12, full=False))) == ["Delta"]
    assert codes(take(one, full(50, [("1", "1")], U=40))) == ["Snapshot"]
    assert codes(take(one, without(full(51) | {}, "full"))) == ["frame.shape", "Lost"]


def test_an_update_that_ends_before_it_begins_is_rejected_and_blinds():
    assert codes(take(live(10), update(11, 10))) == ["frame.range", "Lost"]


def test_an_update_of_an_old_subscription_after_the_new_book_blinds_instead_of_changing_it():
    one = live(10)
    take(one, answer("unsubscribe"))
    take(one, full(20, [("100", "5")], [("101", "5")]))
    assert codes(take(one, update(11, 12, [("100", "9")]))) == ["Lost"]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {"100": "5"}


def test_the_books_of_a_connection_are_apart():
    one = live(10)
    take(one, full(99, pair="ETH_USDT"))
    assert codes(take(one, update(101, 101, pair="ETH_USDT"))) == ["Lost"]
    assert codes(take(one, update(11, 11))) == ["Delta"]
    assert reason(one) is None


def test_an_unsubscription_acknowledged_while_live_blinds_and_is_being_renewed():
    one = live(10)
    for other in (
        answer("unsubscribe", "spot.trades", "BTC_USDT"),
        answer("unsubscribe", item="ob.DOGE_USDT.400"),
        answer("unsubscribe", error={"code": 2, "message": "no"}),
        answer("unsubscribe", result=None),
        answer("unsubscribe", payload=None),
        answer("subscribe"),
    ):
        assert take(one, other) == []
    assert take(one, answer("unsubscribe")) == [
        Lost("BTCUSDT", "sequence_gap", "unsubscribed", renewing=True)
    ]
    assert take(one, update(11, 11)) == []


# --- depths -------------------------------------------------------------------------------------------------------


def test_of_several_depths_of_a_pair_the_deepest_is_the_book_and_none_disturbs_it():
    one = connection()
    assert codes(take(one, full(7, [("100", "1")], [("101", "1")], depth=50))) == ["Snapshot"]
    assert take(one, update(8, 8)) == [], "of a book not yet met"
    (event,) = take(one, full(70, [("100", "1"), ("99", "1")], [("101", "1")]))
    assert event.depth == 400
    assert take(one, full(8, [("100", "7")], [("101", "1")], depth=50)) == []
    assert take(one, update(71, 71, [("100", "7")], depth=50)) == []
    assert codes(take(one, update(71, 72, [("99", "0")]))) == ["Delta"]
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {"100": "1"}


def test_a_book_deeper_than_what_is_subscribed_takes_no_book_s_place():
    one = live(10)
    assert take(one, full(5, [("1", "1")], [("2", "1")], depth=401)) == []
    assert codes(take(one, update(11, 11))) == ["Delta"]


def test_a_level_pushed_out_of_the_window_is_forgotten():
    one = connection()
    take(one, full(1, [(str(number), "1") for number in range(1, 401)]))
    take(one, update(2, 2, [("401", "1"), ("402", "1")]))
    one.book("BTCUSDT").flush()
    assert len(one.book("BTCUSDT").bids.texts) == 400
    assert {"1", "2"}.isdisjoint(one.book("BTCUSDT").bids.texts)


# --- numbers and shapes -------------------------------------------------------------------------------------------

BAD_NUMBERS = ["-1", "NaN", "inf", "1e400", "", " 1", "1,5", "0x1", "9" * 5000, "1" * 58 + "e-64"]


@pytest.mark.parametrize("price", [*BAD_NUMBERS, "0", "0.0", "1e-70"])
def test_an_update_with_no_price_is_rejected_and_found_missing(price):
    one = live(10)
    assert codes(take(one, update(11, 11, [("99", "1"), (price, "1")]))) == ["frame.number", "Lost"]
    one.book("BTCUSDT").flush()
    assert "99" not in one.book("BTCUSDT").bids.texts
    assert take(one, update(12, 12)) == []


@pytest.mark.parametrize("size", [*BAD_NUMBERS[:-1], "1" * 23])
def test_an_update_with_no_size_is_rejected_and_found_missing(size):
    assert codes(take(live(10), update(11, 11, [], [("99", size)]))) == ["frame.number", "Lost"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("a", [["1"]]), ("a", [["1", "2", "3"]]), ("b", [[1, 2]]), ("b", {"1": "2"}), ("u", "11"), ("u", -1),
     ("u", 2**63), ("U", 1.5), ("u", None), ("U", "11"), ("full", "true"), ("full", 1), ("t", "5"), ("s", None),
     ("s", "BTC_USDT"), ("s", "ob.BTC_USDT"), ("s", "ob.BTC_USDT.400.1"), ("s", "ob..400")],
)  # fmt: skip
def test_an_update_of_another_shape_is_rejected_and_found_missing(field, value):
    one = live(10)
    assert codes(take(one, update(11, 11, **{field: value}))) == ["frame.shape", "Lost"]
    assert take(one, update(12, 12)) == []


@pytest.mark.parametrize("field", ["t", "s", "u"])
def test_a_missing_field_is_rejected_by_name_and_an_unknown_one_passed_over(field):
    one = live(10)
    assert codes(take(one, update(11, 11, more={"a": [1]}) | {"new": 5})) == ["Delta"]
    rejected, lost = take(one, without(update(12, 12), field))
    assert (rejected.code, f"`{field}`" in rejected.detail, type(lost)) == ("frame.shape", True, Lost)


def test_a_push_without_its_channel_is_rejected_by_name_and_blinds():
    message = update(11, 11)
    del message["channel"]
    rejected, lost = take(live(10), message)
    assert ("`channel`" in rejected.detail, lost.symbol) == (True, "BTCUSDT")


@pytest.mark.parametrize("event", ["", "all", None, "snapshot"])
def test_a_book_of_another_event_is_rejected_and_blinds(event):
    assert codes(take(live(10), update(11, 11) | {"event": event})) == ["frame.shape", "Lost"]


def test_what_was_not_subscribed_is_rejected_and_blinds_nothing():
    one = live(10)
    assert codes(take(one, update(11, 11, pair="DOGE_USDT"))) == ["frame.unknown_symbol"]
    assert codes(take(one, trade(currency_pair="DOGE_USDT"))) == ["frame.unknown_symbol"]
    assert reason(one) is None


@pytest.mark.parametrize("ms", [-5, 10**18])
def test_an_impossible_time_of_a_book_stays_a_time(ms):
    (event,) = take(live(10), update(11, 11, t=ms))
    assert 0 <= event.time_us < 253_402_300_800_000_000


@pytest.mark.parametrize(
    ("told", "us"),
    [("1606292218213.4578", 1_606_292_218_213_457), ("1682689046123.0", 1_682_689_046_123_000),
     ("1631824310261.896", 1_631_824_310_261_896), ("1631824310261.8", 1_631_824_310_261_800),
     ("1631824310261", 1_631_824_310_261_000), (1_631_824_310_261, 1_631_824_310_261_000)],
)  # fmt: skip
def test_a_trades_time_is_milliseconds_with_a_fraction(told, us):
    (event,) = take(connection(), trade(create_time_ms=told))
    assert event.time_us == us


def test_a_trade_is_the_takers_alone_or_in_a_list():
    expected = Trade("BTCUSDT", "0.4705", "16.4700000000", "sell", "309143071", MS * 1000 + 457)
    assert take(connection(), trade(range="1-1", id_market=5)) == [expected]
    several = push("spot.trades", [row(), row(id="8", side="buy")])
    assert [(event.trade_id, event.side) for event in take(connection(), several)] == [
        ("309143071", "sell"),
        ("8", "buy"),
    ]


@pytest.mark.parametrize(
    ("more", "code"),
    [({"price": "-1"}, "frame.number"), ({"price": "0"}, "frame.number"), ({"amount": "0.000"}, "frame.number"),
     ({"amount": "nan"}, "frame.number"), ({"side": "Buy"}, "frame.shape"),
     ({"create_time_ms": "soon"}, "frame.number"), ({"create_time_ms": "-1"}, "frame.number"),
     ({"create_time_ms": "9" * 5000}, "frame.number"),
     ({"create_time_ms": "1.5e12"}, "frame.number"), ({"price": 1.5}, "frame.shape"), ({"id": None}, "frame.shape"),
     ({"create_time_ms": 1.5}, "frame.shape")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_no_book_with_it(more, code):
    one = live(10)
    assert codes(take(one, trade(**more))) == [code]
    assert reason(one) is None


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_blanks_and_the_order_of_keys_decide_nothing(spaces):
    for message, expected in ((trade(), "Trade"), (full(9), "Snapshot")):
        for each in (message, dict(reversed(message.items()))):
            assert codes(take(connection(), json.dumps(each, separators=spaces).encode())) == [expected]


@pytest.mark.parametrize(
    "frame",
    [answer("subscribe"), answer("subscribe", "spot.trades"), push("spot.pong", None, ""), {}, b"[1]",
     push("spot.obu", None, ""), push("spot.obu", None, "subscribe") | {"error": {"code": 2, "message": "Alert sub"}},
     push("spot.order_book_update", {"s": "BTC_USDT", "U": 11, "u": 12}), push("spot.order_book", {"s": 5}),
     push("futures.obu", {"s": "ob.BTC_USDT.400"}), {"method": "depth.update", "params": [], "result": {"a": 1}}],
)  # fmt: skip
def test_other_channels_and_answers_pass_silently(frame):
    one = live(10)
    assert take(one, frame) == []
    assert reason(one) is None


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"", "frame.json"), (b"{", "frame.json"), (b"\xff", "frame.json"), (b"null", "frame.shape"),
     (b'{"channel":5}', "frame.shape"), (b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "frame.json"),
     (b'{"channel":"spot.obu","result":{"t":1,"s":"ob.BTC_USDT.400","u"', "frame.json"),
     (b'{"channel":"spot.obu","result":{"t":1,"s":"ob.BTC_', "frame.json")],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_an_unreadable_frame_that_may_have_been_an_update_blinds(frame, code):
    assert codes(take(live(10), frame)) == [code, "Lost"]


@pytest.mark.parametrize(
    "frame",
    [b'{"time":1,"channel":"spot.trades","event":"upd', b'{"channel":"spot.pong","ev',
     b'{"channel":"spot.obu","result":{"t":1,"s":"ob.ETH_USDT.400","u"',
     b'{"channel":"spot.obu","result":{"t":1,"s":"ob.DOGE_USDT.400","u"'],
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
        update(9, 9), full(5, [("100", "1")], [("101", "1")], depth=50),
        full(10, [("100", "1"), ("99", "2")], [("101", "3")]), update(6, 6, depth=50), update(11, 14, [("99.5", "1")]),
        trade(), update(16, 16), update(17, 18), full(20, [("98", "1")], [("99", "1")]), update(21, 22, [("x", "1")]),
        update(23, 23), full(30, [("98", "1")]), b"{", full(31), answer("unsubscribe"), update(32, 32),
        full(7, [("98", "1")]), update(8, 9, [("98", "0")]),
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

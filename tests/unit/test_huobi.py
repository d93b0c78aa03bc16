"""HTX, the decoding half, by EXCHANGES.md §6: made frames. What was seen on the wire: test_huobi_frames.py."""

import gzip
import json

import msgspec
import pytest

from COBY.exchanges.base import Delta, Lost, Snapshot, Trade
from COBY.exchanges.huobi import EXCHANGE
from COBY.inflation import MAX_INFLATED
from COBY.processing import ConnectionState
from tests.decoded import codes, reason, text
from tests.messages_huobi import (
    MS,
    SYMBOLS,
    connection,
    live,
    live_too,
    packed,
    reply,
    subbed,
    take,
    trades,
    update,
)

# --- books ---------------------------------------------------------------------------------------------------


def test_a_snapshot_and_an_update_in_our_words():
    one = connection()
    frame = b'{"id":"3","status":"ok","ts":1700000000123,"rep":"market.btcusdt.mbp.400","data":{"seqNum":10,' \
            b'"bids":[[100.10,5.33E-4],[1E2,1.2345E7]],"asks":[[101.0,2.0]]}}'  # fmt: skip
    take(one, update(9, 10))
    assert take(one, frame) == [
        Snapshot(
            "BTCUSDT", [("100.1", "0.000533"), ("100", "12345000")], [("101", "2")], 10, MS * 1000, depth=400
        )
    ]
    (delta,) = take(one, update(10, 15, [(100.1, 0.0)]))
    assert delta == Delta("BTCUSDT", [("100.1", "0")], [], 11, 15, MS * 1000)
    take(
        one,
        b'{"ch":"market.btcusdt.mbp.400","ts":1,"tick":{"seqNum":16,"prevSeqNum":15,"bids":[[100.000,0E-8]]}}',
    )
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {}, "1E2 and 100.000 are one price"
    assert one.book("BTCUSDT").asks.texts == {"101": "2"}


def test_a_side_may_be_missing_null_or_empty():
    one = live(10)
    for number, sides in enumerate(({}, {"bids": None}, {"asks": None}, {"bids": [], "asks": []}), 10):
        message = update(number, number + 1)
        message["tick"] = {"seqNum": number + 1, "prevSeqNum": number} | sides
        (delta,) = take(one, message)
        assert (list(delta.bids), list(delta.asks)) == ([], [])
    assert reason(one) is None


def test_the_snapshot_is_joined_to_the_updates_that_came_before_it():
    one = connection()
    assert take(one, update(5, 10, [(99, 1)])) == []
    assert take(one, update(10, 20, [(98, 1)])) == []
    assert reason(one) == "never_connected"
    assert codes(take(one, reply(10))) == ["Snapshot", "Delta"]
    one.book("BTCUSDT").flush()
    assert set(one.book("BTCUSDT").bids.texts) == {"100", "98"}
    assert codes(take(one, update(20, 21))) == ["Delta"]


def test_a_snapshot_older_than_the_first_update_held_wants_another():
    one = connection()
    take(one, update(10, 20))
    assert codes(take(one, reply(9))) == ["Stale"]
    assert reason(one) == "never_connected"


def test_a_null_snapshot_is_nothing_and_a_reply_of_an_error_neither():
    one = connection()
    assert take(one, reply(10, data=None)) == []
    assert take(one, reply(10, status="error")) == []
    assert (
        take(one, {"id": "3", "status": "error", "err-code": "too-many-request", "err-msg": "too many"}) == []
    )
    assert reason(one) == "never_connected"


@pytest.mark.parametrize(("follows", "number"), [(9, 11), (11, 12), (0, 1), (5, 10)])
def test_an_update_that_does_not_follow_the_last_blinds_until_a_snapshot_joins(follows, number):
    one = live(10)
    (lost,) = take(one, update(follows, number))
    assert (type(lost), lost.reason) == (Lost, "sequence_gap")
    assert reason(one) == "sequence_gap"
    assert take(one, update(number, number + 30)) == []
    assert codes(take(one, reply(number + 30))) == ["Snapshot"]
    assert reason(one) is None


def test_a_second_snapshot_while_live_changes_nothing():
    one = live(10)
    take(one, update(10, 20, [(99, 1)]))
    for number in (10, 15, 20, 25):
        assert take(one, reply(number, [(1, 1)], [(2, 1)])) == []
    one.book("BTCUSDT").flush()
    assert set(one.book("BTCUSDT").bids.texts) == {"100", "99"}
    assert codes(take(one, update(20, 21))) == ["Delta"]


def test_the_books_of_a_connection_are_apart():
    one = live(10)
    live_too(one, 99, "ethusdt")
    assert codes(take(one, update(98, 100, symbol="ethusdt"))) == ["Lost"]
    assert codes(take(one, update(10, 11))) == ["Delta"]
    assert reason(one) is None


def test_an_unsubscription_acknowledged_while_live_blinds():
    one = live(10)
    for channel, expected in (("trade.detail", []), ("mbp.150", []), ("mbp.400", ["Lost"]), ("mbp.400", [])):
        ack = {"id": "1", "status": "ok", "unsubbed": f"market.btcusdt.{channel}", "ts": MS}
        assert codes(take(one, ack)) == expected
    assert take(one, update(10, 11)) == []


def test_the_window_is_four_hundred_levels():
    one = connection()
    take(one, update(0, 1))
    take(one, reply(1, [(number, 1) for number in range(1, 401)], [(1000, 1)]))
    take(one, update(1, 2, [(401, 1), (402, 1)]))
    one.book("BTCUSDT").flush()
    texts = one.book("BTCUSDT").bids.texts
    assert len(texts) == 400
    assert {"1", "2"}.isdisjoint(texts)


BAD = [b'"1"', b"-1", b"null", b"[]", b"1" * 40, b"1e400", b"true"]


@pytest.mark.parametrize("number", [*BAD, b"0", b"0.0", b"1e-70"])
def test_an_update_with_no_price_is_rejected_and_found_missing(number):
    one = live(10)
    frame = text(update(10, 11, [(99, 1), (777, 1)])).replace(b"777", number)
    assert codes(take(one, frame)) == ["frame.number", "Lost"]
    assert "99" not in one.book("BTCUSDT").bids.texts
    assert take(one, update(11, 12)) == []


@pytest.mark.parametrize("number", BAD)
def test_a_size_that_is_none_is_rejected_in_an_update_and_in_a_snapshot(number):
    one = live(10)
    assert (
        codes(take(one, text(update(10, 11, [], [(99, 777)])).replace(b"777", number)))[0] == "frame.number"
    )
    assert reason(one) == "sequence_gap"
    one = connection()
    assert codes(take(one, text(reply(10, [(99, 777)])).replace(b"777", number))) == ["frame.number"]
    assert reason(one) == "never_connected"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"01", b"1.", b".5", b"+1"])
def test_what_is_no_json_number_spoils_the_frame_and_its_book_alone(number):
    one = live(10)
    live_too(one, 5, "ethusdt")
    assert codes(take(one, text(update(10, 11, [(777, 1)])).replace(b"777", number))) == [
        "frame.json",
        "Lost",
    ]
    assert one.book("ETHUSDT").reason is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("seqNum", "11"), ("seqNum", 2**63), ("seqNum", -1), ("seqNum", 1.5), ("prevSeqNum", None), ("prevSeqNum", "10"),
     ("bids", {}), ("bids", [[1]]), ("bids", [[1, 2, 3]]), ("asks", "x")],
)  # fmt: skip
def test_an_update_with_a_wrong_field_is_named_and_found_missing(field, value):
    one = live(10)
    message = update(10, 11)
    message["tick"][field] = value
    assert codes(take(one, message)) == ["frame.shape", "Lost"]


@pytest.mark.parametrize("field", ["seqNum", "prevSeqNum"])
def test_a_missing_number_is_named(field):
    one = live(10)
    message = update(10, 11)
    del message["tick"][field]
    rejected, lost = take(one, message)
    assert (rejected.code, field in rejected.detail, type(lost)) == ("frame.shape", True, Lost)


def test_numbers_that_go_down_within_an_update_are_no_update():
    one = live(10)
    assert codes(take(one, update(10, 9))) == ["frame.number", "Lost"]


@pytest.mark.parametrize("field", ["seqNum", "bids", "asks"])
def test_a_snapshot_without_a_field_is_none_and_leaves_a_live_book_alone(field):
    message = reply(20)
    del message["data"][field]
    one = live(10)
    assert codes(take(one, message)) == ["frame.shape"]
    assert reason(one) is None


@pytest.mark.parametrize("ts", [-5, 10**17])
def test_an_impossible_time_stays_a_time(ts):
    one = live(10)
    (event,) = take(one, update(10, 11) | {"ts": ts})
    (trade,) = take(one, trades({"ts": ts}))
    assert 0 <= event.time_us < 253_402_300_800_000_000
    assert 0 <= trade.time_us < 253_402_300_800_000_000


def test_a_symbol_that_was_not_subscribed():
    one = live(10)
    for message in (
        update(1, 2, symbol="dogeusdt"),
        reply(1, symbol="dogeusdt"),
        trades({}, symbol="dogeusdt"),
    ):
        assert codes(take(one, message)) == ["frame.unknown_symbol"]
    assert reason(one) is None


# --- frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_blanks_the_order_of_keys_and_fields_of_others_decide_nothing(spaces):
    for message, expected in ((trades({"isRpiTrade": True}), "Trade"), (reply(10), "Snapshot")):
        for each in (message, {key: message[key] for key in reversed(message)} | {"new": [1]}):
            one = connection()
            take(one, update(9, 10))
            assert codes(take(one, json.dumps(each, separators=spaces).encode())) == [expected]
    one = live(10)
    turned = {key: update(10, 11)[key] for key in ("tick", "ts", "ch")}
    assert codes(take(one, json.dumps(turned, separators=spaces).encode())) == ["Delta"]


def test_a_frame_that_a_recorder_has_unpacked_is_read_too():
    one = connection()
    assert one.take(text(update(9, 10)), "ws", None, None) == []
    assert codes(one.take(text(reply(10)), "ws", None, None)) == ["Snapshot"]


@pytest.mark.parametrize(
    "frame",
    [{"ping": MS}, subbed("mbp.400"), subbed(symbol="ethusdt"), {"id": "1", "status": "ok", "ts": MS},
     {"status": "error", "err-code": "bad-request", "err-msg": "invalid symbol x", "id": "1", "ts": MS}, {},
     {"ch": "market.btcusdt.mbp.150", "tick": {"seqNum": 1, "prevSeqNum": 0}}, {"ch": "market.btcusdt.depth.step0"},
     {"ch": "market.BTC-USD.trade.detail", "ts": 1, "tick": {"data": [{}]}}, {"ch": "market.btcusdt.bbo", "tick": 5},
     {"rep": "market.btcusdt.mbp.150", "data": {}}, {"rep": "market.btcusdt.trade.detail", "data": []}, {"ch": 5},
     {"action": "close"}, {"action": "ping", "data": {"ts": MS}}, b"[1]"],
)  # fmt: skip
def test_other_channels_and_replies_pass_silently(frame):
    one = connection({"btcusdt": "BTCUSDT", "ethusdt": "ETHUSDT"})
    assert take(one, frame) == []
    assert one.decoder.met() == frozenset()


@pytest.mark.parametrize(
    "frame",
    [packed(update(10, 11))[:-1], packed(update(10, 11)) + b"x", b"\x1f\x8b", b"\x1f\x8b" + b"x" * 50,
     gzip.compress(b" " * (MAX_INFLATED + 1), mtime=0), packed(update(10, 11)) * 2],
)  # fmt: skip
def test_broken_gzip_and_bombs_are_rejected_and_may_have_been_an_update_of_any_book(frame):
    one = live(10)
    live_too(one, 5, "ethusdt")
    assert codes(one.take(frame, "ws", None, None)) == ["frame.gzip", "Lost", "Lost"]
    assert codes(one.take(frame, "ws", None, None)) == ["frame.gzip"], "lost once"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [(b"", ["frame.json", "Lost"]), (b"{", ["frame.json", "Lost"]), (b"\xff", ["frame.json", "Lost"]),
     (b"null", ["frame.shape", "Lost"]), (b"[]", ["frame.shape", "Lost"]),
     (b'{"ch":"market.btc', ["frame.json", "Lost"]),
     (b'{"ch":"market.btcusdt.mbp.400","ts":1,"tick":{"seq', ["frame.json", "Lost"]),
     (b'{"ch":"market.ethusdt.mbp.400","ts":1,"tick":{"seq', ["frame.json"]),
     (b'{"ch":"market.btcusdt.trade.detail","ts":1,"ti', ["frame.json"]),
     (b'{"id":"3","status":"ok","ts":1,"rep":"market.btcusdt.mbp.400","data":{"seqN', ["frame.json"]),
     (b'{"ping":17', ["frame.json"]), (b'{"id":"3","status', ["frame.json"]),
     (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ["frame.json", "Lost"])],
    ids=lambda value: repr(value[:40]),
)  # fmt: skip
def test_an_unreadable_frame_blinds_what_it_may_have_changed(frame, expected):
    assert codes(take(live(10), frame)) == expected


def test_a_rest_body_is_not_ours():
    assert EXCHANGE.decoder({}).decode(b"{broken", "http", "BTCUSDT", None) == []


def whole_life():
    """Frames of a connection on which most of what can happen does."""
    return [
        subbed(ts=MS), trades({"ts": MS - 5}), update(1, 5), update(5, 10, [(99, 1)]), reply(3), reply(5),
        update(10, 12, [(99.5, 1)]), trades({}, {"tradeId": 8}), update(12, 12), reply(12), update(13, 14), reply(20),
        update(14, 17), update(17, 20), update(20, 21, [(1, 0)]), b"{", update(21, 22), reply(22), update(22, 23),
        {"unsubbed": "market.btcusdt.mbp.400"}, update(23, 24), reply(24), update(24, 25), subbed(ts=MS), trades({}),
    ]  # fmt: skip


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    frames, straight = whole_life(), connection()
    expected = [take(straight, frame) for frame in frames]
    names = {name for events in expected for name in codes(events)}
    assert names == {"Snapshot", "Delta", "Trade", "Lost", "Stale", "frame.json"}
    assert [event.history for events in expected for event in events if isinstance(event, Trade)] == [
        True, False, False, True,
    ]  # fmt: skip
    for cut in range(len(frames) + 1):
        first, second = connection(), connection()
        before = [take(first, frame) for frame in frames[:cut]]
        saved = msgspec.msgpack.encode(first.save())
        second.load(msgspec.msgpack.decode(saved, type=ConnectionState))
        assert msgspec.msgpack.encode(second.save()) == saved
        assert before + [take(second, frame) for frame in frames[cut:]] == expected
        assert second.save() == straight.save()


def test_a_saved_book_of_a_symbol_served_no_more_is_not_lost_once_more():
    before = EXCHANGE.decoder(SYMBOLS)
    for symbol in SYMBOLS:
        before.decode(text(update(9, 10, symbol=symbol)), "ws", None, None)
        before.decode(text(reply(10, symbol=symbol)), "ws", None, None)
    after = EXCHANGE.decoder({"btcusdt": "BTCUSDT"})
    after.load(before.save())
    _, *lost = after.decode(b"\x1f\x8b", "ws", None, None)
    assert [event.symbol for event in lost] == ["BTCUSDT"]


def test_the_exchange_writes_its_symbols_small_and_lists_those_that_are_online():
    assert (EXCHANGE.exchange_symbol("BTCUSDT"), EXCHANGE.exchange_symbol("ETHBTC")) == ("btcusdt", "ethbtc")
    assert EXCHANGE.listing("https://rest") == "https://rest/v1/common/symbols"
    row = {"base-currency": "btc", "quote-currency": "usdt", "symbol": "btcusdt", "state": "online"}
    other = row | {"base-currency": "eth", "symbol": "ethusdt", "state": "offline"}
    assert EXCHANGE.listed(text({"status": "ok", "data": [row, other]})) == {"BTCUSDT": "btcusdt"}
    for body in (
        b"",
        b"[]",
        b"{}",
        b'{"status":"error"}',
        text({"data": [{}]}),
        text({"data": [row | {"symbol": 1}]}),
    ):
        with pytest.raises(ValueError, match="symbol"):
            EXCHANGE.listed(body)

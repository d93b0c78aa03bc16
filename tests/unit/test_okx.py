"""OKX v5, the decoding half, by EXCHANGES.md §5: made frames. Recordings: test_checksums.py."""

import json

import msgspec
import pytest

from COBY.exchanges.base import Delta, Lost, Notice, Rejected, Snapshot, Trade
from COBY.exchanges.okx import EXCHANGE
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from tests.decoded import codes, reason, text

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
MS = 1_700_000_000_123


def book(action, previous, number, bids=(), asks=(), symbol="BTC-USDT", **more):
    data = {"asks": [[*level, "0", "1"] for level in asks], "bids": [[*level, "0", "1"] for level in bids],
            "ts": str(MS), "checksum": 0, "prevSeqId": previous, "seqId": number}  # fmt: skip
    return {"arg": {"channel": "books", "instId": symbol}, "action": action, "data": [data | more]}


def trades(*rows, symbol="BTC-USDT"):
    data = [{"instId": symbol, "tradeId": "7", "px": "43474.1", "sz": "0.00373695", "side": "buy", "ts": str(MS)} | row
            for row in rows]  # fmt: skip
    return {"arg": {"channel": "trades", "instId": symbol}, "data": data}


def connection(symbols=SYMBOLS):
    return ConnectionProcessor(EXCHANGE, symbols, one_bucket)


def take(one, message):
    return one.take(text(message), "ws", None, None)


def live(last=10):
    one = connection()
    assert codes(take(one, book("snapshot", -1, last, [("100", "1")], [("101", "2")]))) == ["Snapshot"]
    return one


def without(message, *fields):
    for field in fields:
        del message["data"][0][field]
    return message


def test_a_snapshot_and_an_update_in_our_words():
    one = connection()
    snapshot = take(one, book("snapshot", -1, 10, [("100.10", "1.0")], [("1e2", "2")]))
    assert snapshot == [
        Snapshot("BTCUSDT", [("100.1", "1.0")], [("100", "2")], 10, MS * 1000, depth=400, checksum=None)
    ]
    (delta,) = take(one, book("update", 10, 15, [("100.1", "0")]))
    assert delta == Delta("BTCUSDT", [("100.1", "0")], [], None, 15, MS * 1000, None)
    one.book("BTCUSDT").flush()
    assert one.book("BTCUSDT").bids.texts == {}, "100.10 and 100.1 are one price"


def test_numbers_may_skip_and_go_down_as_long_as_each_names_the_last():
    """(a) kept alive with nothing in it, (b) begun anew by maintenance: EXCHANGES.md §5."""
    one = live(10)
    for previous, number in ((10, 10), (10, 10), (10, 50), (50, 3), (3, 3), (3, 0), (0, 4)):
        assert codes(take(one, book("update", previous, number))) == ["Delta"], (previous, number)
    assert reason(one) is None
    assert one.book("BTCUSDT").sequence_id == 4


@pytest.mark.parametrize(("previous", "number"), [(9, 11), (11, 12), (-1, 11), (15, 10)])
def test_an_update_that_does_not_name_the_last_blinds_until_the_next_snapshot(previous, number):
    one = live(10)
    (lost,) = take(one, book("update", previous, number))
    assert (type(lost), lost.reason, lost.detail) == (Lost, "sequence_gap", f"expected 10, got {previous}")
    assert reason(one) == "sequence_gap"
    assert take(one, book("update", 10, 11)) == [], "not even the right one, late"
    assert take(one, book("update", number, 12)) == []
    assert codes(take(one, book("snapshot", -1, 5))) == ["Snapshot"]
    assert codes(take(one, book("update", 5, 6))) == ["Delta"]
    assert reason(one) is None


def test_a_missing_link_is_no_link():
    one = live(10)
    assert codes(take(one, without(book("update", 10, 11), "prevSeqId"))) == ["Lost"]
    one = live(10)
    assert codes(take(one, without(book("update", 10, 11), "seqId"))) == ["Lost"], "nothing proves it"


def test_books_without_numbers_as_in_2022_are_proven_by_their_checksum():
    one = connection()
    first = without(book("snapshot", 0, 0, [("100", "1")], [("101", "2")]), "seqId", "prevSeqId")
    first["data"][0]["checksum"] = signed_crc("100:1:101:2")
    assert codes(take(one, first)) == ["Snapshot"]
    second = without(book("update", 0, 0, [("100", "0"), ("99", "3")]), "seqId", "prevSeqId")
    second["data"][0]["checksum"] = signed_crc("99:3:101:2")
    assert codes(take(one, second)) == ["Delta"]
    assert codes(take(one, second)) == ["Delta"], "the same again changes nothing"
    second["data"][0]["checksum"] += 1
    assert codes(take(one, second)) == ["Lost"]
    assert reason(one) == "checksum"


def signed_crc(string):
    """Bit by bit, polynomial 0xEDB88320."""
    register = 0xFFFFFFFF
    for byte in string.encode():
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    value = register ^ 0xFFFFFFFF
    return value - 2**32 if value >> 31 else value


def test_updates_before_the_first_snapshot_are_of_no_use_and_no_gap():
    one = connection()
    assert take(one, book("update", 1, 2)) == []
    assert reason(one) == "never_connected"


def test_a_repeated_snapshot_on_a_live_subscription_replaces_the_book_without_a_gap():
    one = live(10)
    assert codes(take(one, book("snapshot", -1, 3, [("50", "1")]))) == ["Snapshot"]
    assert reason(one) is None
    assert one.book("BTCUSDT").bids.texts == {"50": "1"}
    assert codes(take(one, book("update", 10, 11))) == ["Lost"]


def test_the_books_of_a_connection_are_apart():
    one = live(10)
    take(one, book("snapshot", -1, 99, symbol="ETH-USDT"))
    assert codes(take(one, book("update", 98, 100, symbol="ETH-USDT"))) == ["Lost"]
    assert codes(take(one, book("update", 10, 11))) == ["Delta"]
    assert reason(one) is None


def test_an_unsubscription_acknowledged_while_live_blinds():
    one = live(10)
    for channel, expected in (("trades", []), ("books", ["Lost"]), ("books", [])):
        ack = {
            "event": "unsubscribe",
            "arg": {"channel": channel, "instId": "BTC-USDT"},
            "connId": "a4d3ae55",
        }
        assert codes(take(one, ack)) == expected
    assert reason(one) == "sequence_gap"
    assert take(one, book("update", 10, 11)) == []


def test_the_window_is_four_hundred_levels():
    one = connection()
    take(one, book("snapshot", -1, 1, [(str(number), "1") for number in range(1, 401)]))
    take(one, book("update", 1, 2, [("401", "1"), ("402", "1")]))
    one.book("BTCUSDT").flush()
    texts = one.book("BTCUSDT").bids.texts
    assert len(texts) == 400
    assert {"1", "2"}.isdisjoint(texts)


BAD_NUMBERS = ["-1", "NaN", "inf", "1e400", "", " 1", "1,5", "0x1", "9" * 5000, "1" * 58 + "e-64"]


@pytest.mark.parametrize("price", [*BAD_NUMBERS, "0", "0.0", "1e-70"])
def test_an_update_with_no_price_is_rejected_and_found_missing(price):
    one = live(10)
    assert codes(take(one, book("update", 10, 11, [("99", "1"), (price, "1")]))) == ["frame.number", "Lost"]
    assert "99" not in one.book("BTCUSDT").bids.texts
    assert reason(one) == "sequence_gap"
    assert take(one, book("update", 11, 12)) == []


@pytest.mark.parametrize("size", [*BAD_NUMBERS[:-1], "1" * 23])
def test_an_update_with_no_size_is_rejected_and_found_missing(size):
    one = live(10)
    assert codes(take(one, book("update", 10, 11, [], [("99", size)]))) == ["frame.number", "Lost"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("asks", None, "frame.shape"), ("bids", [["1"]], "frame.shape"), ("bids", [[1, 2]], "frame.shape"),
     ("bids", [[None, "1"]], "frame.shape"), ("ts", 5, "frame.shape"), ("ts", "", "frame.number"),
     ("ts", "1e3", "frame.number"), ("ts", "9" * 5000, "frame.number"), ("seqId", "11", "frame.shape"),
     ("seqId", 2**63, "frame.shape"), ("seqId", -2, "frame.shape"), ("prevSeqId", 1.5, "frame.shape"),
     ("checksum", "0", "frame.shape")],
)  # fmt: skip
def test_an_update_with_a_wrong_field_has_its_code_and_is_found_missing(field, value, expected):
    one = live(10)
    message = book("update", 10, 11)
    message["data"][0][field] = value
    assert codes(take(one, message)) == [expected, "Lost"]
    assert take(one, book("update", 11, 12)) == []


@pytest.mark.parametrize("ts", ["-5", "9" * 30])
def test_an_impossible_time_stays_a_time(ts):
    (event,) = take(live(10), book("update", 10, 11, ts=ts))
    assert 0 <= event.time_us < 253_402_300_800_000_000
    (trade,) = take(connection(), trades({"ts": ts}))
    assert 0 <= trade.time_us < 253_402_300_800_000_000


def test_names_and_actions_that_are_not_known():
    one = live(10)
    assert codes(take(one, book("update", 10, 11, symbol="DOGE-USDT"))) == ["frame.unknown_symbol"]
    assert codes(take(one, trades({}, symbol="DOGE-USDT"))) == ["frame.unknown_symbol"]
    assert reason(one) is None
    assert codes(take(one, book("partial", 10, 11))) == ["frame.shape", "Lost"]
    one = live(10)
    unnamed = {key: value for key, value in book("", 10, 11).items() if key != "action"}
    assert codes(take(one, unnamed)) == ["frame.shape", "Lost"]


def test_trades_are_the_takers_and_several_of_a_frame_count():
    events = take(connection(), trades({}, {"tradeId": "8", "side": "sell", "px": "1.50", "sz": "5.33E-4"}))
    assert events == [
        Trade("BTCUSDT", "43474.1", "0.00373695", "buy", "7", MS * 1000),
        Trade("BTCUSDT", "1.5", "5.33E-4", "sell", "8", MS * 1000),
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [({"px": "-1"}, "frame.number"), ({"px": "0"}, "frame.number"), ({"px": "1" * 58 + "e-64"}, "frame.number"),
     ({"sz": "0.000"}, "frame.number"), ({"sz": "nan"}, "frame.number"), ({"ts": "soon"}, "frame.number"),
     ({"side": "hold"}, "frame.shape"), ({"instId": "X-USDT"}, "frame.unknown_symbol")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_its_neighbours_count(row, code):
    assert codes(take(connection(), trades({}, row, {}))) == ["Trade", code, "Trade"]


@pytest.mark.parametrize("row", [{"px": 1.5}, {"sz": None}, {"tradeId": 7}, {"ts": 1}])
def test_a_trade_of_another_shape_rejects_the_frame(row):
    assert codes(take(connection(), trades({}, row))) == ["frame.shape"]


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_blanks_and_the_order_of_keys_decide_nothing(spaces):
    for message, expected in ((trades({}), "Trade"), (book("snapshot", -1, 1), "Snapshot")):
        turned = {key: message[key] for key in reversed(message)} | {
            "arg": dict(reversed(message["arg"].items()))
        }
        for each in (message, turned):
            assert codes(take(connection(), json.dumps(each, separators=spaces).encode())) == [expected]


@pytest.mark.parametrize(
    "frame",
    [b"pong", {"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}, "connId": "a"},
     {"event": "channel-conn-count", "channel": "books", "connCount": "2", "connId": "a"},
     {"event": "error", "code": "60012", "msg": "Invalid request", "connId": "a"}, {},
     {"arg": {"channel": "books5", "instId": "BTC-USDT"}, "data": [{"asks": 5}]},
     {"arg": {"channel": "bbo-tbt", "instId": "BTC-USDT"}, "data": []},
     {"arg": {"channel": "instruments", "instType": "SPOT"}, "data": []},
     {"arg": {"channel": "trades-all", "instId": "BTC-USDT"}, "data": [{}]},
     {"table": "spot/trade", "data": [{}]}, b"[1]"],
)  # fmt: skip
def test_other_channels_and_replies_pass_silently(frame):
    one = connection({})
    assert take(one, frame) == []
    assert one.decoder.met() == frozenset()


def test_a_notice_is_a_status():
    notice = {"event": "notice", "code": "64008", "msg": "The connection will soon be closed", "connId": "a"}
    assert take(connection(), notice) == [Notice("notice", "64008: The connection will soon be closed")]


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"", "frame.json"), (b"{", "frame.json"), (b"ping", "frame.json"), (b"\xff", "frame.json"),
     (b"null", "frame.shape"), (b"[]", "frame.shape"), (b'{"arg":5}', "frame.shape"),
     (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "frame.json")],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_poison_is_rejected_with_its_code(frame, code):
    one = live(10)
    assert codes(take(one, frame)) == [code]
    assert reason(one) is None, "were it an update, the next one would not link to the last"


@pytest.mark.parametrize(
    "frame", [b'{"arg":{"channel":"books","instId":"BTC-USDT"},"act', b'{"arg":{"channel":"books",']
)
def test_an_unreadable_frame_of_books_blinds_what_it_may_have_changed(frame):
    one = live(10)
    assert codes(take(one, frame)) == ["frame.json", "Lost"]


def test_an_update_of_which_a_part_is_wrong_changes_nothing_and_nothing_follows_it():
    one = live(10)
    message = book("update", 10, 11, [("99", "1")])
    message["data"] += book("update", 11, 12, [("98", "x")])["data"]
    assert codes(take(one, message)) == ["frame.number", "Lost"]
    assert "99" not in one.book("BTCUSDT").bids.texts
    assert take(one, book("update", 12, 13)) == take(one, book("update", 11, 12)) == []


def test_a_snapshot_without_a_number_links_to_nothing():
    one = connection()
    take(one, without(book("snapshot", -1, 5, [("100", "1")], [("101", "1")]), "seqId", "prevSeqId"))
    assert codes(take(one, without(book("update", 0, 500), "prevSeqId"))) == ["Lost"]


def test_of_two_snapshots_in_a_frame_none_counts_after_a_wrong_checksum():
    """The decoder waits for a snapshot of a later frame: were the second taken, its updates would be dropped."""
    one = live(10)
    message = book("snapshot", -1, 20, [("100", "1")], [("101", "1")])
    message["data"][0]["checksum"] = 5
    message["data"] += book("snapshot", -1, 21, [("100", "1")], [("101", "1")])["data"]
    assert codes(take(one, message)) == ["Lost"]
    assert reason(one) == "checksum"
    assert codes(take(one, book("snapshot", -1, 22, [("100", "1")], [("101", "1")]))) == ["Snapshot"]
    assert codes(take(one, book("update", 22, 23))) == ["Delta"]


def test_a_rest_body_is_not_ours():
    assert EXCHANGE.decoder({}).decode(b"{broken", "http", "BTCUSDT", None) == []


def whole_life():
    """Frames of a connection on which most of what can happen does."""
    wrong = book("update", 3, 4)
    wrong["data"][0]["checksum"] = 5
    return [
        book("update", 1, 2), book("snapshot", -1, 10, [("100", "1"), ("99", "2")], [("101", "3")]),
        book("update", 10, 12, [("99.5", "1")]), trades({}, {}), book("update", 12, 12), book("update", 12, 3),
        wrong, book("update", 4, 5), book("snapshot", -1, 20, [("98", "1")], [("99", "1")]),
        book("update", 21, 22), book("snapshot", -1, 30, [("98", "1")]), b"{", book("snapshot", -1, 31),
        {"event": "unsubscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}}, book("update", 31, 32),
        book("snapshot", -1, 7, [("98", "1")]), book("update", 7, 8, [("98", "0")]),
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


def test_a_side_eaten_up_and_filled_again():
    one = live(10)
    take(one, book("update", 10, 11, [("100", "0")], [("101", "0")]))
    take(one, book("update", 11, 12, [("90", "1")], []))
    one.book("BTCUSDT").flush()
    assert (one.book("BTCUSDT").bids.texts, one.book("BTCUSDT").asks.texts) == ({"90": "1"}, {})
    assert reason(one) is None

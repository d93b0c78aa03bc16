"""Coinbase's decoder on what it should not get, on state saved and loaded anywhere, and on real frames."""

import gzip
import json
from collections import Counter

import msgspec
import pytest

from COBY.exchanges.base import Delta, Lost, Rejected, Repeated, Snapshot, Trade
from COBY.exchanges.coinbase import EXCHANGE
from COBY.processing import ConnectionState
from tests.coinbase_line import TIME, Line, codes, deal, deals, event, level, live

BAD_NUMBERS = [
    "-1",
    "NaN",
    "Infinity",
    "1e400",
    "",
    " 1",
    "1,5",
    "0x1",
    "9" * 5000,
    "1" * 58 + "e-64",
    "0.-10000",
]


def change(**more):
    """An update of one level, a field of which is replaced; None: it is missing."""
    fields = {key: value for key, value in (level("bid", "99", "1") | more).items() if value is not None}
    return {"type": "update", "product_id": "BTC-USDT", "updates": [level("bid", "98", "1"), fields]}


# --- books ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [*(("price_level", text, "frame.number") for text in [*BAD_NUMBERS, "0", "0.00"]),
     *(("new_quantity", text, "frame.number") for text in [*BAD_NUMBERS[:-2], "0.-10000", "1" * 23]),
     ("price_level", 99, "frame.shape"), ("new_quantity", 1, "frame.shape"), ("new_quantity", None, "frame.shape"),
     ("price_level", None, "frame.shape"), ("side", "ask", "frame.shape"), ("side", None, "frame.shape"),
     ("side", "BID", "frame.shape"), ("event_time", "soon", "frame.number"), ("event_time", 5, "frame.shape"),
     ("event_time", "2026-09-21T14:13:20", "frame.number")],
)  # fmt: skip
def test_an_update_with_a_wrong_field_changes_nothing_and_blinds_its_book_alone(field, value, code):
    line = live()
    rejected, lost = line.book(change(**{field: value}))
    assert rejected.code == code
    assert lost == Lost("BTCUSDT", "sequence_gap", lost.detail)
    assert line.texts()[0] == {"100": "1"}
    assert line.book(event("update", [("97", "1")])) == []
    assert line.reason("ETHUSDT") is None


@pytest.mark.parametrize("missing", ["type", "updates"])
def test_an_event_without_a_field_says_which(missing):
    line = live()
    rejected, lost = line.book({key: value for key, value in event("update").items() if key != missing})
    assert (rejected.code, missing in rejected.detail, lost.symbol) == ("frame.shape", True, "BTCUSDT")


def test_an_event_of_another_type_is_rejected():
    assert codes(live().book(event("reset"))) == ["frame.shape", "Lost"]


@pytest.mark.parametrize("broken", [{}, {"type": "update", "updates": []}, 5, None, [], {"product_id": 5}])
def test_an_event_that_names_no_product_may_have_been_of_any_book(broken):
    line = live()
    assert codes(line.book(broken)) == ["frame.shape", "Lost", "Lost"]


def test_a_broken_event_leaves_its_neighbours():
    line = live()
    found = line.book(event("update", [("x", "1")]), event("update", [("99", "1")], product="ETH-USDT"))
    assert [(type(each), each.symbol) for each in found] == [
        (Rejected, "BTCUSDT"), (Lost, "BTCUSDT"), (Delta, "ETHUSDT")]  # fmt: skip


def test_a_wrong_event_of_somebody_elses_blinds_nobody():
    line = live()
    assert codes(line.book({"type": 5, "product_id": "DOGE-USD", "updates": None})) == ["frame.shape"]
    assert codes(line.book(event("update", product="DOGE-USD"))) == ["frame.unknown_symbol"]
    assert (line.reason(), line.reason("ETHUSDT")) == (None, None)


@pytest.mark.parametrize("number", [None, "5", -1, 1.5, True, 2**63 - 1, 2**70, 10**400, [], "1" * 5000])
def test_a_message_without_a_usable_number_blinds_all(number):
    line = live()
    message = {"channel": "heartbeats", "sequence_num": number, "events": []}
    assert codes(line.raw(json.dumps(message).encode())) == ["frame.shape", "Lost", "Lost"]
    assert codes(line.book(event("snapshot", [("100", "1")], [("101", "1")]))) == ["Snapshot"]


@pytest.mark.parametrize("channel", [None, 5, [], {}])
def test_a_numbered_message_without_a_channel_blinds_all(channel):
    line = live()
    assert codes(line.say(channel)) == ["frame.shape", "Lost", "Lost"]


@pytest.mark.parametrize("events", [None, 5, {}, "x"])
def test_events_that_are_no_list(events):
    for channel, expected in (("l2_data", ["frame.shape", "Lost", "Lost"]), ("market_trades", ["frame.shape"]),
                              ("subscriptions", ["frame.shape"]), ("heartbeats", [])):  # fmt: skip
        line = live()
        frame = json.dumps({"channel": channel, "sequence_num": 2, "events": events}).encode()
        assert codes(line.raw(frame)) == expected, channel


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"", "frame.json"), (b"{", "frame.json"), (b"ping", "frame.json"), (b"\xff", "frame.json"),
     (b"null", "frame.shape"), (b"5", "frame.shape"), (b"[]", "frame.shape"),
     (b'{"channel":"l2_data","timestamp":"2026', "frame.json"),
     (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "frame.json")],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_a_frame_that_nobody_can_read_may_have_been_an_update_of_any_book(frame, code):
    line = live()
    assert codes(line.raw(frame)) == [code, "Lost", "Lost"]
    assert line.book(event("update", [("100", "9")])) == []


@pytest.mark.parametrize(
    "frame",
    [{"type": "error", "message": "Failed to subscribe", "reason": "x is not a valid product"}, {},
     {"type": "l2update", "product_id": "BTC-USDT", "changes": [["buy", "1", "1"]], "time": TIME},
     {"type": "match", "trade_id": 5, "sequence": 9, "product_id": "BTC-USDT", "size": "1", "price": "1"},
     {"type": "snapshot", "product_id": "BTC-USDT", "bids": [["1", "1"]], "asks": []}, [1]],
)  # fmt: skip
def test_errors_and_the_older_feed_are_not_counted_and_say_nothing(frame):
    line = live("BTC-USDT")
    assert line.raw(json.dumps(frame).encode()) == []
    assert codes(line.book(event("update", [("100", "2")]))) == ["Delta"]


def test_unknown_fields_and_another_order_of_keys_decide_nothing():
    message = {"events": [event("snapshot", [("1", "1")]) | {"new": [5]}], "sequence_num": 0, "client_id": "",
               "timestamp": "whenever", "channel": "l2_data", "new": {"a": 1}}  # fmt: skip
    for spaces in ((",", ":"), (" , ", " : ")):
        assert codes(Line().raw(json.dumps(message, separators=spaces).encode())) == ["Snapshot"]


def test_a_crossed_snapshot_is_taken_and_seen_to_be_crossed():
    line = Line()
    line.book(event("snapshot", [("102", "1")], [("101", "1")]))
    line.texts()
    assert line.one.book("BTCUSDT").crossed()


def test_a_rest_body_is_not_ours():
    assert EXCHANGE.decoder({}).decode(b"{broken", "http", "BTCUSDT", None) == []


# --- trades ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code"),
    [({"price": "-1"}, "frame.number"), ({"price": "0"}, "frame.number"), ({"size": "0.000"}, "frame.number"),
     ({"size": "nan"}, "frame.number"), ({"side": "buy"}, "frame.shape"),
     ({"product_id": "X-USD"}, "frame.unknown_symbol")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_its_neighbours_count(more, code):
    line = live()
    assert codes(line.trades(deal(), deal(**more), deal())) == ["Trade", code, "Trade"]
    assert line.reason() is None


@pytest.mark.parametrize(
    "more", [{"price": 1.5}, {"size": None}, {"trade_id": 7}, {"trade_id": ""}, {"time": 1}, {"time": "soon"}]
)
def test_a_trade_of_another_shape_rejects_the_message_and_no_book(more):
    line = live()
    assert codes(line.trades(deal(), deal(**more))) == ["frame.shape"]
    assert codes(line.say("market_trades", deals(deal(), kind="moo"))) == ["frame.shape"]
    assert (line.reason(), line.reason("ETHUSDT")) == (None, None)
    assert codes(line.book(event("update", [("100", "2")]))) == ["Delta"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59-23:59"])
def test_an_impossible_time_stays_a_time(time):
    (trade,) = Line().trades(deal(time=time))
    assert 0 <= trade.time_us < 253_402_300_800_000_000


# --- state ----------------------------------------------------------------------------------------------------------


def whole_life(line):
    """Messages of a connection on which most of what can happen does, as calls to make one after the other."""
    whole = event("snapshot", [("100", "1"), ("99", "2")], [("101", "3")])
    beats, both = {"heartbeats": ["heartbeats"]}, ["BTC-USDT", "ETH-USDT"]
    return [
        lambda: line.listed(**beats), lambda: line.book(whole), lambda: line.listed(**beats, level2=both),
        lambda: line.book(event("snapshot", [("9", "1")], product="ETH-USDT")), lambda: line.trades(deal(), deal()),
        lambda: line.book(event("update", [("100", "0")])), lambda: line.beat(number=3), lambda: line.beat(number=3),
        lambda: line.beat(number=6), lambda: line.book(event("update", [("98", "1")])),
        lambda: line.beat(number=9), lambda: line.book(event("update", [("97", "1")])), lambda: line.book(whole),
        lambda: line.listed(**beats, level2=["ETH-USDT"]), lambda: line.book(whole),
        lambda: line.listed(**beats, level2=both), lambda: line.raw(b"{"), lambda: line.beat(number=50),
        lambda: line.book(whole), lambda: line.book(event("update", [("97", "x")])), lambda: line.book(whole),
        lambda: line.beat(number=0), lambda: line.beat(number=0), lambda: line.beat(number=0),
        lambda: line.book(event("update", [("96", "1")])), lambda: line.book(whole),
    ]  # fmt: skip


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    straight = Line()
    expected = [say() for say in whole_life(straight)]
    assert {type(event) for events in expected for event in events} == {
        Snapshot,
        Delta,
        Trade,
        Lost,
        Rejected,
        Repeated,
    }
    for cut in range(len(expected) + 1):
        line = Line()
        found = [say() for say in whole_life(line)[:cut]]
        packed = msgspec.msgpack.encode(line.one.save())
        resumed = Line()
        resumed.number = line.number
        resumed.one.load(msgspec.msgpack.decode(packed, type=ConnectionState))
        assert msgspec.msgpack.encode(resumed.one.save()) == packed
        assert found + [say() for say in whole_life(resumed)[cut:]] == expected
        assert resumed.one.save() == straight.one.save()


# --- real frames ----------------------------------------------------------------------------------------------------


def fresh(frame):
    """The events of a frame, as the first of its connection."""
    return EXCHANGE.decoder({}).decode(frame.encode(), "ws", None, None)


def frames_of(folder, name):
    rows = [json.loads(text) for text in (folder / "coinbase" / name).read_text().splitlines()]
    return {row["channel"]: row["frame"] for row in rows if row.get("dir", "in") == "in"}


def test_real_trades_of_2024_are_the_takers_oldest_first(frames_dir):
    found = fresh(frames_of(frames_dir, "jkorf_subscriptions.jsonl")["Trades"])
    first, second = 1_728_026_011_084_859, 1_728_026_011_088_388  # 2024-10-04T07:13:31
    assert found == [
        Trade("ETHUSDT", "2375.56", "0.5", "sell", "22381690", first),
        Trade("ETHUSDT", "2375.56", "0.5", "sell", "22381691", second),
    ]


def test_a_real_heartbeat_follows_its_acknowledgement(frames_dir):
    lines = [
        json.loads(text)
        for text in (frames_dir / "coinbase/jkorf_subscriptions.jsonl").read_text().splitlines()
    ]
    acknowledged, beat = (
        row["frame"] for row in lines if row["channel"] == "Heartbeat" and row["dir"] != "out"
    )
    line = Line()
    assert line.raw(acknowledged.encode()) == line.raw(beat.encode()) == []
    line.number = 2
    assert line.book(event("snapshot", [("1", "1")]))[0].symbol == "BTCUSDT"
    assert line.reason() is None


def test_the_documented_book_is_the_sum_of_its_snapshot_and_update(frames_dir):
    frames = frames_of(frames_dir, "nautilus_ws_fixtures.jsonl")
    line = Line({})
    snapshot, update = (line.raw(frames[f"l2_data_{kind}"].encode())[0] for kind in ("snapshot", "update"))
    at_us = 1_775_572_200_123_456  # 2026-04-07T14:30:00.123456Z
    assert (snapshot.time_us, update.time_us) == (at_us, at_us + 1_333_333)
    bids, asks = line.texts("BTCUSD")
    assert bids == {"68900": "2.00000000", "68899.5": "0.75000000", "68899": "2.30000000"}
    assert asks == {"68901.5": "1.20000000", "68902": "0.80000000"}
    trades = fresh(frames["market_trades"])
    assert [(trade.trade_id, trade.side) for trade in trades] == [("995098701", "buy"), ("995098700", "sell")]
    assert fresh(frames["subscriptions"]) == fresh(frames["heartbeats"]) == fresh(frames["ticker"]) == []


# Made to be refused by their makers: a type that is false, and one that there is not. (number in the file)
NOT_SENT = {"gocryptotrader_frames.jsonl": [11, 12, 13, 14]}
# The older feed, acknowledgements and other channels give nothing.
FOUND = {
    "gocryptotrader_frames.jsonl": {Snapshot: 1},
    "jkorf_subscriptions.jsonl": {Trade: 2},
    "nautilus_ws_fixtures.jsonl": {Snapshot: 1, Trade: 2},
}


def test_of_all_real_frames_none_is_rejected_that_the_exchange_sends(frames_dir):
    paths = sorted((frames_dir / "coinbase").iterdir())
    assert len(paths) == 7
    for path in paths:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
        rows = {number: json.loads(text) for number, text in enumerate(lines)}
        found = {
            number: fresh(row["frame"])
            for number, row in rows.items()
            if row.get("dir", "in").startswith("in")
        }
        rejected = [number for number, events in found.items() if Rejected in map(type, events)]
        assert rejected == NOT_SENT.get(path.name, []), path
        kinds = Counter(type(event) for events in found.values() for event in events)
        assert kinds - Counter({Rejected: 4}) == FOUND.get(path.name, {}), path

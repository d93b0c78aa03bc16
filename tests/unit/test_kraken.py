"""Kraken v2, the decoding half, by EXCHANGES.md §3: made frames. Recordings: test_checksums.py."""

import json
from zlib import crc32

import msgspec
import pytest

from COBY.exchanges.base import Delta, Lost, Notice, Rejected, Snapshot, Trade
from COBY.exchanges.kraken import EXCHANGE
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from tests.decoded import codes
from tests.naive_book import NaiveBook

SYMBOLS = {"BTC/USD": "BTCUSD", "ETH/USD": "ETHUSD"}
TIME = "2026-07-10T00:00:01.123457Z"
TIME_US = 1_783_641_601_123_457
INSTRUMENT = (
    '{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":'
    '[{"symbol":"BTC/USD","price_precision":1,"qty_precision":8}]}}'
)


def digits(book, places):
    """The exchange's checksum of a naive book, by its description."""
    texts = [
        f"{number:.{decimals}f}"
        for name in ("asks", "bids")
        for level in book.levels(name)[:10]
        for number, decimals in zip(level, places, strict=True)
    ]
    return crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())


def book_frame(kind, bids, asks, crc, symbol="BTC/USD", time=TIME):
    """Numbers as they are given: texts of JSON."""
    sides = [",".join(f'{{"price":{price},"qty":{size}}}' for price, size in side) for side in (bids, asks)]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],'
        f'"asks":[{sides[1]}],"checksum":{crc},"timestamp":"{time}"}}]}}'
    ).encode()


def trade_frame(*trades, kind="update"):
    """(price, size, side, id) as JSON texts."""
    made = [
        f'{{"symbol":"BTC/USD","side":"{side}","price":{price},"qty":{size},"ord_type":"limit",'
        f'"trade_id":{number},"timestamp":"{TIME}"}}'
        for price, size, side, number in trades
    ]
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(made)}]}}'.encode()


class Wire:
    """A connection told of a book as the exchange would: right checksums, from the naive book."""

    def __init__(self, places=(1, 8), symbols=SYMBOLS):
        self.one = ConnectionProcessor(EXCHANGE, symbols, one_bucket)
        self.naive, self.places = NaiveBook(1000), places
        self.take(INSTRUMENT.encode())

    def take(self, frame):
        return self.one.take(frame, "ws", None, None)

    def frame(self, kind, bids, asks, **more):
        self.naive.take(bids, asks, kind == "snapshot")
        return book_frame(kind, bids, asks, self.told(), **more)

    def told(self):
        return digits(self.naive, self.places)

    def book(self, kind, bids, asks, **more):
        return self.take(self.frame(kind, bids, asks, **more))

    def live(self):
        self.book("snapshot", [("100.0", "1.00000000")], [("101.0", "2.50000000")])
        assert self.reason is None
        return self

    @property
    def reason(self):
        return self.one.book("BTCUSD").reason


def test_a_snapshot_and_an_update_in_our_words():
    wire = Wire()
    (snapshot,) = wire.book("snapshot", [("100", "1")], [("101.5", "5.1e-05")])
    assert snapshot == Snapshot(
        "BTCUSD", [("100.0", "1.00000000")], [("101.5", "0.00005100")], None, TIME_US,
        depth=1000, checksum=wire.told(),
    )  # fmt: skip
    (delta,) = wire.book("update", [("100.0", "0")], [])
    assert delta == Delta("BTCUSD", [("100.0", "0.00000000")], [], None, None, TIME_US, wire.told())
    assert wire.one.book("BTCUSD").bids.texts == {}


def test_a_repeated_snapshot_on_a_live_subscription_replaces_the_book_without_a_gap():
    wire = Wire().live()
    assert codes(wire.book("snapshot", [("99.0", "3")], [])) == ["Snapshot"]
    assert wire.reason is None
    assert wire.one.book("BTCUSD").bids.texts == {"99.0": "3.00000000"}
    assert codes(wire.book("update", [("98.0", "1")], [])) == ["Delta"]


def test_updates_before_the_first_snapshot_are_of_no_use_and_no_gap():
    wire = Wire()
    assert wire.take(book_frame("update", [("1.0", "1")], [], 0)) == []
    assert wire.reason == "never_connected"


@pytest.mark.parametrize("kind", ["snapshot", "update"])
def test_a_wrong_checksum_blinds_until_a_right_snapshot(kind):
    wire = Wire().live()
    assert codes(wire.take(book_frame(kind, [("100.5", "1")], [], 1))) == ["Lost"]
    assert wire.reason == "checksum"
    assert wire.book("update", [("100.6", "1")], []) == []
    assert codes(wire.book("snapshot", [("100.0", "1")], [])) == ["Snapshot"]
    assert wire.reason is None


def test_the_window_is_cut_to_the_depth_of_the_subscription_as_the_exchange_never_says_what_falls_out():
    wire = Wire()
    wire.naive.depth = 10
    ack = {
        "method": "subscribe",
        "success": True,
        "result": {"channel": "book", "depth": 10, "symbol": "BTC/USD"},
    }
    assert wire.take(json.dumps(ack).encode()) == []
    wire.book("snapshot", [(f"{number}.0", "1") for number in range(90, 100)], [])
    wire.book("update", [("99.5", "1"), ("99.6", "1")], [])
    assert "91.0" not in wire.one.book("BTCUSD").bids.texts
    wire.book("update", [("99.6", "0"), ("99.5", "0")], [])
    assert wire.reason is None, "90 and 91 are not in it again"
    assert len(wire.one.book("BTCUSD").bids.texts) == 8


def test_an_unsubscription_acknowledged_while_live_blinds_and_only_a_snapshot_ends_it():
    wire = Wire().live()
    ack = {
        "method": "unsubscribe",
        "req_id": 2,
        "success": True,
        "result": {"channel": "book", "symbol": "BTC/USD"},
    }
    assert wire.take(json.dumps(ack | {"success": False}).encode()) == []
    other = ack | {"result": {"channel": "trade", "symbol": "BTC/USD"}}
    assert wire.take(json.dumps(other).encode()) == []
    (lost,) = wire.take(json.dumps(ack).encode())
    assert (lost.symbol, lost.reason, lost.detail) == ("BTCUSD", "sequence_gap", "unsubscribed")
    assert wire.take(json.dumps(ack).encode()) == [], "once"
    assert wire.book("update", [("100.5", "1")], []) == []
    assert wire.reason == "sequence_gap"
    wire.live()


@pytest.mark.parametrize(("places", "blind"), [((1, 8), False), ((2, 8), True), ((1, 7), True)])
def test_other_precisions_while_live_blind_the_book_whose_texts_they_change(places, blind):
    wire = Wire().live()
    pair = {"symbol": "BTC/USD", "price_precision": places[0], "qty_precision": places[1]}
    frame = {"channel": "instrument", "type": "update", "data": {"pairs": [pair]}}
    assert codes(wire.take(json.dumps(frame).encode())) == ["Lost"] * blind
    wire.places = places
    wire.book("snapshot", [("100.0", "1")], [])
    assert wire.reason is None


def test_precisions_of_pairs_that_are_not_ours_mean_nothing():
    assert Wire(symbols={"ETH/USD": "ETHUSD"}).one.books.keys() == {"ETHUSD"}


@pytest.mark.parametrize(
    ("price", "size", "expected"),
    [
        ("1", "-1", ["frame.number", "Lost"]),
        ("-1", "1", ["frame.number", "Lost"]),
        ("0", "1", ["frame.number", "Lost"]),
        ("1e400", "1", ["frame.number", "Lost"]),
        ("1", "1e22", ["frame.number", "Lost"]),
        ("1", "1e-70", ["frame.number", "Lost"]),
        ("1" * 58 + "e-64", "1", ["frame.number", "Lost"]),
        ("1", '"1"', ["frame.number", "Lost"]),
        ("null", "1", ["frame.number", "Lost"]),
        ("[1]", "1", ["frame.number", "Lost"]),
        ("NaN", "1", ["frame.json", "Lost"]),
        ("1", "", ["frame.json", "Lost"]),
        ("01", "1", ["frame.json", "Lost"]),
    ],
)
def test_an_update_with_a_wrong_number_is_rejected_and_missing_so_the_book_is_blind(price, size, expected):
    """No sequence number would tell it later, and the checksum only if it were among the best ten levels."""
    wire = Wire().live()
    assert codes(wire.take(book_frame("update", [("99.0", "1"), (price, size)], [], 0))) == expected
    assert wire.reason == "sequence_gap"
    wire.live()


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("symbol", "DOGE/USD", ["frame.unknown_symbol"]),
        ("symbol", None, ["frame.shape", "Lost"]),
        ("bids", None, ["frame.shape", "Lost"]),
        ("asks", [{"price": 1}], ["frame.shape", "Lost"]),
        ("checksum", "1", ["frame.shape", "Lost"]),
        ("checksum", None, ["frame.shape", "Lost"]),
        ("checksum", -(10**30), ["Lost"]),
        ("timestamp", "2026-07-10T00:00:00", ["frame.shape", "Lost"]),
        ("timestamp", "2026-02-30T00:00:00Z", ["frame.shape", "Lost"]),
        ("timestamp", 5, ["frame.shape", "Lost"]),
    ],
)
def test_an_update_with_a_wrong_field_has_its_code(field, value, expected):
    wire = Wire().live()
    message = json.loads(book_frame("update", [], [], 0))
    message["data"][0][field] = value
    assert codes(wire.take(json.dumps(message, separators=(",", ":")).encode())) == expected


@pytest.mark.parametrize(
    "frame",
    [b'{"channel":"book","type":"upd', b'{"channel":"book","type":"x","data":[{}]}', b'{"channel":"book"}',
     book_frame("refresh", [], [], 0), b'{"data":5,"channel":"book"}'],
)  # fmt: skip
def test_a_book_frame_that_cannot_be_read_blinds_what_it_may_have_changed(frame):
    wire = Wire().live()
    first, *lost = wire.take(frame)
    assert isinstance(first, Rejected)
    assert first.code in ("frame.json", "frame.shape")
    assert [event.symbol for event in lost] == ["BTCUSD"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b'{"channel":"trade","data":[{}]}', "frame.shape"), (b'{"channel":"status","data":{}}', "frame.shape"),
     (b'{"channel":"instrument","data":[]}', "frame.shape")],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_a_broken_frame_of_another_channel_leaves_books_alone(frame, code):
    wire = Wire().live()
    assert codes(wire.take(frame)) == [code]
    assert wire.reason is None


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"", "frame.json"), (b"{", "frame.json"), (b"\xff", "frame.json"), (b"null", "frame.shape"),
     (b"5", "frame.shape"), (b"[]", "frame.shape"),
     (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "frame.json")],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_poison_may_have_been_an_update_so_books_are_blind(frame, code):
    """No number would tell later, and the checksum covers ten levels."""
    wire = Wire().live()
    assert codes(wire.take(frame)) == [code, "Lost"]
    assert wire.reason == "sequence_gap"


def test_one_absurd_number_does_not_spoil_the_precisions_seen_for_ever():
    one = ConnectionProcessor(EXCHANGE, SYMBOLS, one_bucket)
    one.take(book_frame("snapshot", [("1", "1e-60"), ("2", "-1")], [], 0), "ws", None, None)
    for size in ("12345", "123456789012345678901"):
        events = one.take(book_frame("snapshot", [("100.5", size)], [], 0), "ws", None, None)
        assert codes(events) == ["Lost"], "its digits are not those, but it is a book"


def test_trades_are_the_takers_and_keep_their_ids():
    wire = Wire()
    assert wire.take(trade_frame((100.5, "0.25", "buy", 122), ("5.1e-05", "1E+2", "sell", 2**70))) == [
        Trade("BTCUSD", "100.5", "0.25", "buy", "122", TIME_US),
        Trade("BTCUSD", "0.000051", "100", "sell", str(2**70), TIME_US),
    ]


def test_the_trades_of_a_snapshot_are_history():
    history = Wire().take(trade_frame(("1", "1", "buy", 1), ("1", "1", "buy", 2), kind="snapshot"))
    assert [event.history for event in history] == [True, True]


@pytest.mark.parametrize(
    ("trade", "code"),
    [(("-1", "1", "buy", 2), "frame.number"), (("1", "0.0", "buy", 2), "frame.number"),
     (("1", "0e5", "sell", 2), "frame.number"), (("1", "1e-70", "buy", 2), "frame.number"),
     (("1" * 58 + "e-64", "1", "buy", 2), "frame.number"), (('"1"', "1", "buy", 2), "frame.number"),
     (("1", "null", "buy", 2), "frame.number"), (("1", "1", "hold", 2), "frame.shape")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_its_neighbours_count(trade, code):
    events = Wire().take(trade_frame(("1", "1", "buy", 1), trade, ("1", "1", "buy", 3)))
    assert codes(events) == ["Trade", code, "Trade"]


@pytest.mark.parametrize("number", ['"7"', "1.5", "null"])
def test_an_id_that_is_no_integer_rejects_the_frame(number):
    assert codes(Wire().take(trade_frame(("1", "1", "buy", number)))) == ["frame.shape"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [("0001-01-01T00:00:00+10:00", 0), ("1969-12-31T23:59:59Z", 0), ("9999-12-31T23:59:59-10:00", 253402300799999999),
     ("2026-07-10T02:00:00.5+02:00", 1783641600500000), ("2026-07-10T00:00:60Z", None), ("now", None), ("", None)],
)  # fmt: skip
def test_times_out_of_range_stay_times_and_no_times_are_rejected(time, expected):
    (event,) = Wire().take(trade_frame(("1", "1", "buy", 1)).replace(TIME.encode(), time.encode()))
    assert getattr(event, "time_us", None) == expected
    assert isinstance(event, Rejected) is (expected is None)


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_blanks_and_the_order_of_keys_decide_nothing(spaces):
    wire = Wire()
    message = json.loads(trade_frame(("1", "1", "buy", 1)))
    turned = {key: message[key] for key in reversed(message)}
    for each in (message, turned):
        assert codes(wire.take(json.dumps(each, separators=spaces).encode())) == ["Trade"]


def test_the_exchanges_state_is_a_notice_and_rest_bodies_are_not_ours():
    frame = b'{"channel":"status","data":[{"system":"maintenance","connection_id":99999999999999999999}]}'
    one = EXCHANGE.decoder({})
    assert one.decode(frame, "ws", None, None) == [Notice("maintenance", "")]
    assert one.decode(b"{broken", "http", "BTCUSD", None) == []


def whole_life():
    """Frames of a connection on which most of what can happen does."""
    wire = Wire()
    book = wire.frame
    snapshot = ("snapshot", [("100.0", "1"), ("99.0", "2")], [("101.0", "3")])
    return [
        INSTRUMENT.encode(), book_frame("update", [("1.0", "1")], [], 0), book(*snapshot),
        book("update", [("99.5", "1")], []), trade_frame(("100", "1", "buy", 1), ("100", "1", "buy", 1)),
        book("update", [], [("101.0", "0"), ("101.5", "1")]), book("snapshot", [("98.0", "1")], [("99.0", "1")]),
        book_frame("update", [("98.5", "1")], [], 5), book("update", [("97.0", "1")], []), book(*snapshot),
        b'{"method":"unsubscribe","success":true,"result":{"channel":"book","symbol":"BTC/USD"}}',
        book("update", [("99.7", "1")], []), book(*snapshot), book("update", [("100.0", "0")], []),
        INSTRUMENT.replace('"price_precision":1', '"price_precision":2').encode(), b'{"channel":"book",',
    ]  # fmt: skip


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    frames = whole_life()
    straight = ConnectionProcessor(EXCHANGE, SYMBOLS, one_bucket)
    expected = [straight.take(frame, "ws", None, None) for frame in frames]
    assert {type(event) for events in expected for event in events} == {
        Snapshot,
        Delta,
        Trade,
        Lost,
        Rejected,
    }
    for cut in range(len(frames) + 1):
        first, second = (ConnectionProcessor(EXCHANGE, SYMBOLS, one_bucket) for _ in range(2))
        before = [first.take(frame, "ws", None, None) for frame in frames[:cut]]
        packed = msgspec.msgpack.encode(first.save())
        second.load(msgspec.msgpack.decode(packed, type=ConnectionState))
        assert msgspec.msgpack.encode(second.save()) == packed
        assert before + [second.take(frame, "ws", None, None) for frame in frames[cut:]] == expected
        assert second.save() == straight.save()


@pytest.mark.parametrize("depth", [10**30, True, -1, "10", [10], None, 11])
def test_a_depth_that_does_not_exist_is_not_believed(depth):
    wire = Wire()
    ack = {
        "method": "subscribe",
        "success": True,
        "result": {"channel": "book", "depth": depth, "symbol": "BTC/USD"},
    }
    assert wire.take(json.dumps(ack).encode()) == []
    (snapshot,) = wire.book("snapshot", [], [])
    assert snapshot.depth == 1000
    assert msgspec.msgpack.encode(wire.one.save())

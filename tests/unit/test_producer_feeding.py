"""A recording becomes raw records and marks: producers/feeding.py."""

import json

import pytest

from COBY.exchanges import load
from COBY.exchanges.base import Slot
from COBY.recordings import RecordedFrame, parse_recording
from COBY.utils.exceptions import ValidationError
from producers.feeding import Feeder, Mark, Plan, scan, symbols_in
from producers.raw import RawRecord

SECOND_NS = 1_000_000_000
SLOT = Slot("binance-0", "binance", {"BTCUSDT": "BTCUSDT", "!XUSDT": "XUSDT"})
PLAN = Plan({"binance-0": SLOT}, "binance-0", "BTCUSDT", False, 100 * SECOND_NS, 0, 500_000)


def rows(*items: dict[str, object]) -> list[RecordedFrame]:
    return list(parse_recording([json.dumps(item) for item in items]))


def at(seconds: float, frame: str = "x", **more: object) -> dict[str, object]:
    return {"received_at_ns": int(seconds * SECOND_NS), "frame": frame, **more}


def fed(plan: Plan, *items: dict[str, object]) -> list[RawRecord | Mark]:
    return list(Feeder(plan).feed(rows(*items)))


def records(items: list[RawRecord | Mark]) -> list[RawRecord]:
    return [item for item in items if isinstance(item, RawRecord)]


def event(record: RawRecord) -> str | None:
    return json.loads(record.value or b"")["event"] if record.kind == "event" else None


def test_marks_come_before_the_first_record_at_their_time_and_5_s_after_the_last():
    items = fed(PLAN, at(100.2), at(100.9), at(101.0))
    order = [item.time_us if isinstance(item, Mark) else item.value for item in items if event_less(item)]
    assert order[:6] == [100_000_000, b"x", 100_500_000, b"x", 101_000_000, b"x"]
    marks = [item.time_us for item in items if isinstance(item, Mark)]
    assert marks == list(range(100_000_000, 106_000_001, 500_000))


def event_less(item: RawRecord | Mark) -> bool:
    return isinstance(item, Mark) or item.kind != "event"


def test_a_recording_without_events_gets_connected_subscribed_and_a_sign_of_life_each_second():
    found = records(fed(PLAN, at(100.2, "first"), at(103.7, "last")))
    assert [record.seq for record in found] == list(range(1, len(found) + 1))
    assert {record.conn for record in found} == {"feed-0"}
    assert [event(record) or record.value for record in found[:3]] == ["connected", "subscribed", b"first"]
    assert json.loads(found[0].value or b"") == {
        "event": "connected",
        "exchange": "binance",
        "slot": "binance-0",
        "symbols": ["BTCUSDT"],
        "url": None,
    }
    assert json.loads(found[1].value or b"")["channels"] == ["book", "trade"]
    alive = [record.received_ns // SECOND_NS for record in found if event(record) == "alive"]
    assert alive == [101, 102, 103, 104, 105, 106, 107, 108]


def test_a_connect_row_ends_the_connection_and_starts_another():
    connect = {"dir": "connect", "url": "wss://x", "frame": None, "received_at_ns": 101 * SECOND_NS}
    found = records(fed(PLAN, connect, at(101.1, "a"), connect | {"url": "wss://y"}, at(101.3, "b")))
    shown = [(record.conn, record.seq, event(record) or record.value) for record in found][:7]
    assert shown == [
        ("feed-0", 1, "connected"),
        ("feed-0", 2, "subscribed"),
        ("feed-0", 3, b"a"),
        ("feed-0", 4, "disconnected"),
        ("feed-1", 1, "connected"),
        ("feed-1", 2, "subscribed"),
        ("feed-1", 3, b"b"),
    ]
    assert json.loads(found[4].value or b"")["url"] == "wss://y"


def test_our_own_records_keep_conn_seq_kind_slot_and_bytes_and_nothing_is_added():
    own = [
        at(100.1, '{"event":"connected"}', dir="meta", kind="event", conn="a", seq=1, slot="binance-0"),
        at(100.2, "/w==", encoding="base64", conn="a", seq=2, kind="ws"),
        at(100.3, "{}", dir="http", conn="a", seq=3, kind="http", url="http://x", symbol="BTCUSDT"),
        {"frame": None, "conn": "a", "seq": 9, "kind": "ws"},
    ]
    found = records(fed(PLAN._replace(has_events=scan(rows(*own)).has_events), *own))
    assert [(r.conn, r.seq, r.kind, r.value, r.url, r.symbol) for r in found] == [
        ("a", 1, "event", b'{"event":"connected"}', None, None),
        ("a", 2, "ws", b"\xff", None, None),
        ("a", 3, "http", b"{}", "http://x", "BTCUSDT"),
        ("a", 9, "ws", None, None, None),
    ]


def test_times_are_shifted_and_rows_without_one_take_the_last():
    plan = PLAN._replace(shift_ns=50 * SECOND_NS, base_ns=150 * SECOND_NS)
    found = records(fed(plan, {"frame": "none yet"}, at(100.5, "a"), {"frame": "b"}, at(100.1, "earlier")))
    times = [record.received_ns / SECOND_NS for record in found if record.kind == "ws"]
    assert times == [150.0, 150.5, 150.5, 150.1]


def test_a_long_silence_is_passed_over_by_its_newest_mark():
    items = fed(PLAN, at(100.0), at(10_000.3))
    marks = [item.time_us // 1000 for item in items if isinstance(item, Mark)]
    assert marks[:3] == [100_000, 10_000_000, 10_000_500]
    alive = [
        item for item in records(items) if event(item) == "alive" and item.received_ns < 9_999 * SECOND_NS
    ]
    assert alive == []


def test_a_body_without_a_name_belongs_to_the_only_symbol_else_is_an_error():
    body = at(100.0, "{}", dir="http")
    assert [record.symbol for record in records(fed(PLAN, body)) if record.kind == "http"] == ["BTCUSDT"]
    with_url = body | {"url": "http://x?symbol=ETHUSDT"}
    (record,) = [r for r in records(fed(PLAN._replace(symbol=None), with_url)) if r.kind == "http"]
    assert (record.symbol, record.url) == (None, "http://x?symbol=ETHUSDT")
    with pytest.raises(ValidationError, match=r"feed.unknown_symbol.*line 2"):
        fed(PLAN._replace(symbol=None), at(99.0), body)


def test_a_scan_tells_times_names_events_and_the_first_nameless_body():
    seen = scan(
        rows(
            {"dir": "connect", "frame": None, "exchange": "binance", "received_at_ns": 1},
            at(101, "a", symbol="BTCUSDT"),
            at(100, "b", slot="binance-1"),
            {"frame": "{}", "dir": "http"},
            {"frame": "{}", "dir": "http"},
        )
    )
    assert (seen.first_ns, seen.last_ns, seen.rows) == (100 * SECOND_NS, 101 * SECOND_NS, 4)
    assert (seen.exchanges, seen.symbols, seen.slots) == ({"binance"}, {"BTCUSDT"}, {"binance-1"})
    assert (seen.has_events, seen.nameless_line) == (False, 4)


def test_the_symbols_of_frames_are_read_by_the_exchanges_decoder():
    trade = '{"e":"trade","E":1,"s":"%s","t":1,"p":"1","q":"1","T":1700000000000,"m":false,"M":true}'
    found = symbols_in(
        rows({"frame": trade % "BTCUSDT"}, {"frame": trade % "ETHUSDT"}, {"frame": "{"}),
        load("binance").decoder({}),
    )
    assert found == {"BTCUSDT", "ETHUSDT"}

"""Holes, and bytes that can not be used: dead letters, never an exception."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.records import BookTick, Gap, TradeEvent
from COBY.stage import StoredRecord, header, parse_position
from tests.normalize_log import ASKS, BIDS, CONFIG, POISON, at, dead, of, run, started, task, ticks
from tests.raw import book_body, depth, trade


def test_offsets_gone_by_retention_make_a_gap_and_forget_the_books():
    log = started()
    log.beat(0.5)
    log.records = [
        record._replace(offset=record.offset + 100) if record.offset > 2 else record for record in log.records
    ]
    log.ws(0.6, depth(11, 11, [], []))
    log.records[-1] = log.records[-1]._replace(offset=104)
    log.mark(at(1.0))
    log.records[-1] = log.records[-1]._replace(offset=105)
    found = run(log)
    gaps = of(found, Gap)
    assert [gap.reason for gap in gaps] == ["retention", "sequence_gap", "retention"], "its end, at the mark"
    assert gaps[0].detail == "offsets 3 to 102 are gone"
    assert not ticks(found)[1.0][0]


def test_what_can_not_be_used_goes_to_the_dead_letters_with_its_bytes_and_place():
    log = started()
    log.ws(0.2, b"\xff\x00broken")
    log.beat(0.5)
    (letter,) = [one for one in run(log) if hasattr(one, "topic")]
    assert (letter.topic, letter.key, letter.value) == ("dlq", b"binance-0", b"\xff\x00broken")
    assert header(letter.headers, "stage") == b"normalize"
    assert header(letter.headers, "code") == b"frame.json"
    assert header(letter.headers, "source").startswith(b"raw.binance.v1/")
    assert parse_position(header(letter.headers, "position")) == (3, 0)
    assert header(letter.headers, "detail")


@pytest.mark.parametrize("kind", ["ws", "http", "event"])
@pytest.mark.parametrize("value", POISON, ids=lambda value: repr(value[:24]))
def test_a_poison_frame_is_one_dead_letter_and_stops_nothing(kind, value):
    log = started()
    log.frame(at(0.2), value, kind=kind, symbol="BTCUSDT")
    log.ws(0.3, trade(5, "100", "1", at(0.3) // 10**6))
    log.beat(0.5)
    one = task()
    found = run(log, one=one)
    letters = [each for each in found if hasattr(each, "topic")]
    assert len(letters) == 1
    assert sum(len(text) for _, text in letters[0].headers) < 2_000, (
        "or the letter itself is too large for Kafka"
    )
    assert sum(count for key, count in one.counters().items() if key[0] == "rejected") == 1
    assert len(of(found, TradeEvent)) == 1
    assert list(ticks(found)) == [0.5]


@pytest.mark.parametrize(
    "value",
    [[1], None, 7, {"event": None}, {"event": ["dropped"]}, {"event": "refused", "symbol": ["BTCUSDT"]},
     {"event": "refused", "symbol": {}}, {"event": "refused"}, {"event": "refused", "symbol": "DOGEUSDT"},
     {"event": "no such"}, {"event": "dropped", "from_seq": "x" * 10**6}],
)  # fmt: skip
def test_an_odd_event_stops_nothing(value):
    log = started()
    log.frame(at(0.2), value if value is not None else b"null", kind="event")
    log.beat(0.5)
    assert list(ticks(run(log))) == [0.5]


GOOD = {"received_ns": str(at(0.2)).encode(), "conn": b"c1", "seq": b"3", "kind": b"ws"}


@pytest.mark.parametrize(
    "headers",
    [{}, *({name: value for name, value in GOOD.items() if name != left} for left in GOOD),
     *(GOOD | {name: None} for name in GOOD), *(GOOD | {name: b"\xff"} for name in GOOD),
     GOOD | {"received_ns": b"-1"}, GOOD | {"received_ns": b"9" * 30}, GOOD | {"received_ns": b"9" * 5000},
     GOOD | {"received_ns": b"1.5"}, GOOD | {"seq": b"0"}, GOOD | {"seq": b"-1"}, GOOD | {"seq": b"9" * 30},
     GOOD | {"kind": b"WS"}, GOOD | {"kind": b"mark", "received_ns": b"x"}],
)  # fmt: skip
def test_odd_headers_are_a_dead_letter(headers):
    log = started()
    log.records.append(StoredRecord(3, 0, b"binance-0", b"{}", list(headers.items())))
    log.beat(0.5)
    log.records[4:] = [record._replace(offset=at_) for at_, record in enumerate(log.records[4:], 4)]
    one = task()
    assert dead(run(log, one=one)) == ["record.headers"]
    assert one.save()


@pytest.mark.parametrize("key", [None, b"", b"binance-9", b"\xff", b"clock"])
def test_a_record_of_no_slot_of_ours_is_a_dead_letter(key):
    log = started()
    log.ws(0.2, b"{}")
    log.records[-1] = log.records[-1]._replace(key=key)
    assert dead(run(log)) == ["record.unknown_slot"]


@pytest.mark.parametrize(
    "headers", [{"symbol": "DOGEUSDT"}, {"url": "http://["}, {"url": "https://x/?symbol=DOGEUSDT"}, {}]
)
def test_a_body_of_a_symbol_that_is_not_ours_is_a_dead_letter(headers):
    log = started()
    log.frame(at(0.2), book_body(99, BIDS, ASKS), kind="http", **headers)
    log.beat(0.5)
    found = run(log)
    assert len(dead(found)) == 1
    assert of(found, BookTick)[0].sequence_id == 10


def test_numbers_beyond_what_can_be_stored_are_refused_where_they_come_in():
    log, one = started(), task()
    for data in (depth(11, 10**30, [], []), depth(11, 12, [["1", "1" * 30]], []), trade(10**30, "1", "1", 1)):
        log.ws(0.2, data)
    log.body(0.3, 10**30)
    message = depth(11, 12, [], [])
    message["data"]["E"] = 10**30
    log.ws(0.4, message)
    log.beat(0.5)
    found = run(log, one=one)
    assert dead(found) == ["frame.shape", "frame.number", "frame.shape", "frame.shape"]
    assert of(found, BookTick)[0].reason == "sequence_gap"
    assert one.save()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["binance-0", "clock", "x", None]),
            st.one_of(st.none(), st.binary(max_size=40), st.sampled_from(POISON[:6])),
            st.lists(
                st.tuples(
                    st.sampled_from(["received_ns", "conn", "seq", "kind", "symbol", "url"]),
                    st.sampled_from([b"1", b"2", b"3", b"ws", b"http", b"event", b"mark", b"\xff", b"", b"BTCUSDT",
                                     b"1700000000000000000", b"1700000001000000000", b"9" * 20]),
                ),
                max_size=8,
            ),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_no_bytes_at_all_make_the_task_raise(rows):
    one = task(CONFIG)
    records = [
        StoredRecord(offset, 0, None if key is None else key.encode(), value, headers)
        for offset, (key, value, headers) in enumerate(rows)
    ]
    one.process(records)
    again = task(CONFIG)
    again.load(one.save())
    assert again.save() == one.save()
    assert one.next_offset == (len(rows) or None)

"""Bytes that the aggregate stage can not use: dead letters, never an exception."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.codec import encode
from COBY.records import TradeEvent
from tests.aggregate_topic import NAMES, START, Topic, U, codes, numbers, task, tick

TRADE = TradeEvent("BTCUSDT", "a", START, START, U, U, "buy", "1")


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (None, (), "codec.null"),
        (b"", (), "codec.format"),
        (b"{}xxxxx", (), "codec.format"),
        (b"\0\0\0\xff\xff", (), "codec.unknown_schema"),
        (encode(tick("a", 1))[:-3], (), "codec.broken"),
        (encode(tick("a", 1)) + b"\0", (), "codec.broken"),
        (encode(TRADE), (), "record.schema"),
        (encode(tick("z", 1)), (), "record.not_configured"),
        (encode(tick("a", 1, "ETHUSDT")).replace(b"ETHUSDT", b"DOGUSDT"), (), "record.not_configured"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"x")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"1:2:3")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"\xff"), ("position", b"1:2")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"9" * 30 + b":0")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"9" * 5000 + b":0")], "record.headers"),
    ],
)
def test_what_can_not_be_used_is_a_dead_letter_and_stops_nothing(value, headers, code):
    topic, one = Topic(), task()
    topic.raw(value, headers)
    for exchange in NAMES:
        topic.add(tick(exchange, 1))
    outputs = one.process(topic.records)
    assert codes(outputs) == [code]
    assert outputs[0].value == (value or b"")
    assert one.counters()["rejected", code] == 1
    assert numbers(outputs) == [1]
    assert one.next_offset == 4
    assert one.save()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.none(),
                st.binary(max_size=60),
                st.binary(max_size=60).map(lambda tail: b"\0\0\0\0\2" + tail),
            ),
            st.lists(
                st.tuples(
                    st.sampled_from(["source", "position"]), st.sampled_from([None, b"", b"1:1", b"\xff"])
                )
            ),
        ),
        max_size=10,
    )
)
def test_no_bytes_at_all_make_the_task_raise(rows):
    topic, one = Topic(), task()
    for value, headers in rows:
        topic.raw(value, headers)
    one.process(topic.records)
    assert one.save()

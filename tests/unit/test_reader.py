"""Dropping repeats: by topic partition and source, the newest position wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.runtime.reader import Reader, place_of
from COBY.utils.exceptions import ProcessingError

TOPIC, SOURCE = "coby.trade.v1", "raw.binance.v1/0"


def test_a_position_is_new_once():
    reader = Reader()
    assert reader.is_new(TOPIC, 0, SOURCE, (5, 0))
    assert not reader.is_new(TOPIC, 0, SOURCE, (5, 0))
    assert not reader.is_new(TOPIC, 0, SOURCE, (4, 9))
    assert reader.is_new(TOPIC, 0, SOURCE, (5, 1))


def test_positions_are_pairs_of_ints_not_texts():
    reader = Reader()
    assert reader.is_new(TOPIC, 0, SOURCE, (9, 0))
    assert reader.is_new(TOPIC, 0, SOURCE, (10, 0))
    assert reader.is_new(TOPIC, 0, SOURCE, (10, 10))
    assert not reader.is_new(TOPIC, 0, SOURCE, (10, 9))


def test_topics_partitions_and_sources_are_independent():
    reader = Reader()
    assert reader.is_new(TOPIC, 0, SOURCE, (5, 0))
    assert reader.is_new(TOPIC, 1, SOURCE, (5, 0))
    assert reader.is_new("coby.book.v1", 0, SOURCE, (5, 0))
    assert reader.is_new(TOPIC, 0, "raw.binance.v1/1", (5, 0))


def test_forgetting_makes_everything_new_again():
    reader = Reader()
    reader.is_new(TOPIC, 0, SOURCE, (5, 0))
    reader.is_new(TOPIC, 1, SOURCE, (5, 0))
    reader.forget(TOPIC, 0)
    assert reader.is_new(TOPIC, 0, SOURCE, (5, 0))
    assert not reader.is_new(TOPIC, 1, SOURCE, (5, 0))


positions = st.tuples(st.integers(0, 2**53), st.integers(0, 50))


@given(st.lists(st.tuples(st.sampled_from("abc"), positions)), st.integers(0, 100))
def test_saved_and_loaded_anywhere_it_decides_the_same(taken, cut):
    whole, first, second = Reader(), Reader(), Reader()
    expected = [whole.is_new(TOPIC, 3, source, position) for source, position in taken]
    found = [first.is_new(TOPIC, 3, source, position) for source, position in taken[:cut]]
    second.load(TOPIC, 3, first.save(TOPIC, 3))
    found += [second.is_new(TOPIC, 3, source, position) for source, position in taken[cut:]]
    assert found == expected
    assert second.save(TOPIC, 3) == whole.save(TOPIC, 3)


@given(st.lists(positions, unique=True))
def test_what_is_taken_rises_and_a_second_pass_takes_nothing(taken):
    reader = Reader()
    kept = [position for position in taken if reader.is_new(TOPIC, 0, SOURCE, position)]
    assert kept == sorted(kept)
    assert max(taken, default=None) == max(kept, default=None)
    assert not any(reader.is_new(TOPIC, 0, SOURCE, position) for position in taken)


def test_the_place_of_a_derived_record_is_its_source_and_position():
    headers = [("source", b"aggregate/BTCUSDT"), ("position", b"1790000000000000:12"), ("settings", b"h")]
    assert place_of(headers) == ("aggregate/BTCUSDT", (1_790_000_000_000_000, 12))


def test_a_replayed_record_goes_by_session_run_and_number():
    headers = [("source", b"s"), ("position", b"1:2"), ("session", b"abc"), ("run", b"2"), ("n", b"17")]
    assert place_of(headers) == ("abc", (2, 17))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("source", b"s")],
        [("position", b"1:2")],
        [("source", b"s"), ("position", b"12")],
        [("source", b"s"), ("position", b"a:b")],
        [("source", b"\xff"), ("position", b"1:2")],
        [("source", b"s"), ("position", b"1:2"), ("session", b"abc"), ("run", b"1")],
    ],
)
def test_a_record_without_a_usable_place_is_an_error_with_a_code(headers):
    with pytest.raises(ProcessingError) as caught:
        place_of(headers)
    assert caught.value.code == "reader.no_position"

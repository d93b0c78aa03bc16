"""Messages wait their turn: no window ever holds more than allowed, none is lost, the order stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.exchanges.base import Send
from COBY.pacing import Paced


def test_what_is_beyond_waits_until_the_window_has_passed():
    one = Paced(2, 1.0)
    one.add("a", "b", "c", socket=1)
    one.add("d")
    assert one.due(10.0) == [Send("a", 1), Send("b", 1)]
    assert one.due(10.9) == []
    assert one.due(11.0) == [Send("c", 1), Send("d", None)]
    assert one.due(50.0) == []


def test_a_turn_that_was_not_used_is_no_reserve():
    one = Paced(2, 1.0)
    assert one.due(0.0) == []
    one.add(*"abcdef")
    assert [one.due(at) for at in (100.0, 100.5)] == [[Send("a"), Send("b")], []]
    assert one.due(101.0) == [Send("c"), Send("d")]


def test_none_at_all_would_never_end():
    with pytest.raises(ValueError, match="0 messages in 2 s"):
        Paced(0, 2.0)


@given(
    st.integers(1, 5),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 7)), max_size=40),
)
def test_no_window_holds_more_and_all_come_in_order(most, window, steps):
    one, now, asked, sent = Paced(most, float(window)), 0, [], []
    for wait, count in steps:
        now += wait
        texts = [f"{len(asked) + place}" for place in range(count)]
        asked += texts
        one.add(*texts)
        sent += [(now, command.text) for command in one.due(float(now))]
    for _ in range(len(asked)):
        now += window
        sent += [(now, command.text) for command in one.due(float(now))]
    assert [text for _, text in sent] == asked
    times = [at for at, _ in sent]
    assert all(later - at >= window for at, later in zip(times, times[most:], strict=False))

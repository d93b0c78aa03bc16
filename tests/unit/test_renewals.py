"""Which books are being subscribed anew."""

from hypothesis import given
from hypothesis import strategies as st

from COBY.renewals import ANSWER_SECONDS, Awaited, Renewals


def test_a_renewal_is_begun_once_and_ends_with_the_answer():
    one = Renewals()
    assert one.begin("a", 10.0, 0.0)
    assert not one.begin("a", 10.1, 0.0)
    assert one.begin("b", 10.1, 0.0), "each book by itself"
    assert one.confirmed("a")
    assert not one.confirmed("a")
    assert one.begin("a", 10.2, 0.0)


def test_a_request_from_before_the_last_subscription_is_served_by_it():
    one = Renewals()
    one.subscribed(["a", "b"], 100.0)
    assert not one.begin("a", 103.0, 3.1), "asked at 99.9"
    assert one.begin("a", 103.0, 2.9), "asked at 100.1"
    assert one.begin("c", 103.0, 50.0)


def test_what_is_not_answered_is_asked_for_again_until_it_is():
    one = Awaited()
    one.asked("book", ["a", "b"], 10.0)
    one.asked("trade", ["a"], 11.0)
    assert one.overdue(24.9) == []
    assert one.overdue(25.0) == [("book", "a"), ("book", "b")]
    assert one.overdue(25.1) == []
    one.answered("book", "a")
    assert one.overdue(26.0) == [("trade", "a")]
    one.answered(None, "a")
    assert one.overdue(1_000.0) == [("book", "b")]


def test_an_answer_that_nobody_waits_for_means_nothing():
    assert not Renewals().confirmed("a")


def test_without_an_answer_it_ends_after_five_seconds():
    one = Renewals()
    one.begin("a", 10.0, 0.0)
    one.begin("b", 12.0, 0.0)
    assert ANSWER_SECONDS == 5.0
    assert one.overdue(14.9) == []
    assert one.overdue(15.0) == ["a"]
    assert one.overdue(16.0) == [], "once"
    assert not one.confirmed("a"), "an answer that came late"
    assert one.overdue(17.0) == ["b"]


@given(st.lists(st.tuples(st.sampled_from("bco"), st.sampled_from("xy"), st.floats(0, 3))))
def test_every_unsubscription_is_followed_by_exactly_one_subscription(steps):
    one, now, open_since = Renewals(), 0.0, {}
    for kind, name, seconds in steps:
        now += seconds
        if kind == "b":
            assert one.begin(name, now, 0.0) == (name not in open_since)
            open_since.setdefault(name, now)
        elif kind == "c":
            assert one.confirmed(name) == (name in open_since)
            open_since.pop(name, None)
        else:
            late = {each for each, since in open_since.items() if now >= since + 5.0}
            assert set(one.overdue(now)) == late
            open_since = {each: since for each, since in open_since.items() if each not in late}

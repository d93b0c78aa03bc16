"""Burrow's rules, by the examples that its wiki gives and by what they must never say."""

from hypothesis import given
from hypothesis import strategies as st

from COBY.lag import Point, Status, Windows, judge

WINDOW = 30.0


def points(committed, lags, step=5.0):
    return [Point(step * n, at, lag) for n, (at, lag) in enumerate(zip(committed, lags, strict=True))]


def seen(committed, lags, has_members=True, step=5.0):
    return judge(points(committed, lags, step), WINDOW, has_members)


def test_a_group_that_stands_still_with_lag_has_stalled():
    # Burrow's wiki: "If the consumer offset does not change over the window, and the lag is either fixed or increasing"
    assert seen([10] * 7, [50] * 7) is Status.STALL
    assert seen([10] * 7, [50, 51, 52, 53, 54, 55, 60]) is Status.STALL


def test_a_group_without_members_that_stands_still_has_stopped():
    assert seen([10] * 7, [50, 51, 52, 53, 54, 55, 60], has_members=False) is Status.STOP


def test_a_group_that_goes_on_and_falls_behind_is_a_warning():
    # "increasing over the window, but the lag either stays the same or increases between every pair of offsets"
    assert seen([10, 20, 30, 40, 50, 60, 70], [1, 3, 3, 5, 8, 8, 9]) is Status.WARN


def test_one_look_at_which_it_caught_up_a_little_is_no_warning():
    assert seen([10, 20, 30, 40, 50, 60, 70], [1, 3, 2, 5, 8, 8, 9]) is Status.OK


def test_a_lag_of_nothing_anywhere_in_the_window_is_well():
    # "If any lag within the window is zero, the status is considered to be OK"
    assert seen([10] * 7, [0, 5, 9, 9, 9, 9, 9]) is Status.OK
    assert seen([10] * 7, [9, 9, 9, 9, 9, 9, 0]) is Status.OK


def test_who_is_always_one_record_behind_is_well():
    assert seen([1, 2, 3, 4, 5, 6, 7], [1] * 7) is Status.OK


def test_a_high_lag_that_is_being_worked_off_is_well():
    assert seen([10, 20, 30, 40, 50, 60, 70], [10**9 - n for n in range(7)]) is Status.OK


def test_offsets_that_were_set_back_are_no_stall():
    assert seen([70, 10, 10, 10, 20, 30, 40], [5, 65, 66, 67, 68, 69, 70]) is Status.OK


def test_nothing_is_said_before_the_window_is_full():
    assert seen([10] * 6, [50] * 6) is Status.OK, "25 s of 30"


def test_windows_say_nothing_of_what_they_have_not_seen_for_long_enough():
    windows = Windows(WINDOW)
    assert windows.status("a", has_members=True) is None
    for number in range(6):
        windows.add("a", Point(5.0 * number, 10, 50))
        assert windows.status("a", has_members=True) is None
    windows.add("a", Point(30.0, 10, 50))
    assert windows.status("a", has_members=True) is Status.STALL
    windows.add("b", Point(30.0, 10, 0))
    assert windows.status("b", has_members=True) is Status.OK, "nothing to read needs no window"


def test_windows_forget_what_is_gone():
    windows = Windows(WINDOW)
    for at in (0.0, 30.0):
        windows.add("a", Point(at, 10, 50))
    windows.keep(["b"])
    assert windows.status("a", has_members=True) is None


def test_a_stall_ends_with_the_first_progress():
    windows = Windows(WINDOW)
    for number in range(20):
        windows.add("a", Point(5.0 * number, 10, 50 + number))
    assert windows.status("a", has_members=True) is Status.STALL
    windows.add("a", Point(100.0, 11, 70))
    assert windows.status("a", has_members=True) in (Status.OK, Status.WARN)


@given(st.floats(0.5, 20), st.integers(2, 500))
def test_windows_hold_no_more_looks_than_they_need(step, count):
    windows = Windows(WINDOW)
    for number in range(count):
        windows.add("a", Point(step * number, 1, 1))
    assert len(windows._points["a"]) <= WINDOW / step + 3


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=7, max_size=7), st.booleans())
def test_stall_and_stop_mean_no_progress_and_something_to_read(rows, has_members):
    committed, lags = zip(*rows, strict=True)
    status = seen(committed, lags, has_members)
    stands = len(set(committed)) == 1 and all(lags)
    assert (status in (Status.STALL, Status.STOP)) == stands
    if status is Status.WARN:
        assert lags[-1] > lags[0]
        assert committed[-1] > committed[0]

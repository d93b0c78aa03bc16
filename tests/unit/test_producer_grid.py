"""Which grid points are due: producers/grid.py."""

from hypothesis import given
from hypothesis import strategies as st

from producers.grid import mark_due, marks_passed

HALF = 500_000


def test_the_first_mark_is_the_newest_grid_point():
    assert mark_due(None, 10_700_000, HALF) == 10_500_000
    assert mark_due(None, 10_500_000, HALF) == 10_500_000


def test_a_grid_point_is_due_once():
    assert mark_due(10_000_000, 10_499_999, HALF) is None
    assert mark_due(10_000_000, 10_500_000, HALF) == 10_500_000
    assert mark_due(10_500_000, 10_999_999, HALF) is None


def test_a_delayed_clock_writes_only_the_newest_grid_point():
    assert mark_due(10_000_000, 17_300_000, HALF) == 17_000_000


def test_a_clock_set_back_waits_until_time_has_passed_the_last_mark():
    assert mark_due(20_000_000, 10_700_000, HALF) is None
    assert mark_due(20_000_000, 20_499_999, HALF) is None
    assert mark_due(20_000_000, 20_500_001, HALF) == 20_500_000


@given(st.lists(st.integers(0, 10**8)), st.sampled_from([10_000, 500_000, 1_000_000, 333_000]))
def test_marks_lie_on_the_grid_and_only_rise_whatever_the_wall_clock_does(times, grid_us):
    last, written = None, []
    for now_us in times:
        due = mark_due(last, now_us, grid_us)
        if due is not None:
            written.append(due)
            last = due
            assert now_us - grid_us < due <= now_us
    assert written == sorted(set(written))
    assert all(mark % grid_us == 0 for mark in written)


def test_a_recording_passes_every_grid_point_up_to_its_time():
    assert list(marks_passed(1_000_000, 2_600_000, HALF, 10**9)) == [1_500_000, 2_000_000, 2_500_000]
    assert list(marks_passed(1_000_000, 1_499_999, HALF, 10**9)) == []
    assert list(marks_passed(1_000_000, 500_000, HALF, 10**9)) == []


def test_a_recording_that_leaps_passes_only_the_newest_grid_point():
    assert list(marks_passed(None, 2_600_000, HALF, 10**9)) == [2_500_000]
    assert list(marks_passed(1_000_000, 99_700_000, HALF, 60_000_000)) == [99_500_000]

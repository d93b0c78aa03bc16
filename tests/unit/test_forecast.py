"""How many days the disk lasts: sums by hand, and the same walked second by second."""

from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.forecast import DAY_SECONDS, Growth, days_left, still_needed_bytes

GIB = 2**30


def growth(per_day: float, held_days: float, keep_days: float) -> Growth:
    """By the day: so much comes, so many days of it are there, so many are kept."""
    return Growth("", per_day / DAY_SECONDS, per_day * held_days, keep_days * DAY_SECONDS)


@pytest.mark.parametrize(
    ("free", "growths", "days"),
    [
        (10 * GIB, [growth(GIB, 0, 0)], 10.0),  # kept for ever
        (10 * GIB, [growth(GIB, 3, 7)], inf),  # four more days fill what is kept, then it stays
        (3 * GIB, [growth(GIB, 3, 7)], 3.0),  # full a day before
        (10 * GIB, [growth(GIB, 9, 7)], inf),  # retention is behind, not ahead
        # Both for two days (4 GiB), then one alone at 1 GiB a day.
        (10 * GIB, [growth(GIB, 0, 2), growth(GIB, 0, 0)], 8.0),
        (0.0, [growth(GIB, 0, 0)], 0.0),
        (10 * GIB, [], inf),
        (10 * GIB, [growth(0, 0, 7)], inf),
    ],
)
def test_space_lasts_as_long_as_by_hand(free: float, growths: list[Growth], days: float):
    assert days_left(free, growths) == pytest.approx(days)


def test_what_is_still_needed_is_what_retention_has_not_reached():
    assert still_needed_bytes([growth(GIB, 3, 7), growth(2 * GIB, 0, 1)]) == pytest.approx(6 * GIB)
    assert still_needed_bytes([growth(GIB, 3, 0)]) == 0  # for ever: no sum would be the end of it
    assert still_needed_bytes([growth(0, 3, 7)]) == 0


@given(
    st.integers(0, 500),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 100), st.integers(0, 60)), max_size=4),
)
def test_space_lasts_as_long_as_walked_step_by_step(free: int, rows: list[tuple[int, int, int]]):
    growths = [Growth("", rate, held, keep) for rate, held, keep in rows]
    step, left, held = 0.125, float(free), [float(row[1]) for row in rows]
    walked = inf
    for number in range(int(600 / step)):
        if left <= 0 and any(rate for rate, _, _ in rows):
            walked = number * step
            break
        for at, (rate, _, keep) in enumerate(rows):
            if not keep or held[at] < rate * keep:
                held[at] += rate * step
                left -= rate * step
    found = days_left(free, growths) * DAY_SECONDS
    # Each of them may walk one step too far, and the slowest that goes on has to fill what that took.
    unsure = 1.0 + step * sum(rate for rate, _, _ in rows)
    if abs(still_needed_bytes(growths) - free) <= unsure * 9:
        return  # retention comes just when the disk is full: a step decides
    if walked == inf:
        assert found > 600 - unsure
    else:
        assert isclose(found, walked, abs_tol=unsure)

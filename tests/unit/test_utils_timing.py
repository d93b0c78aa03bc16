"""Times: conversion, text, grids, clocks."""

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.utils import timing
from COBY.utils.exceptions import ValidationError
from COBY.utils.timing import (
    Stopwatch,
    WallClock,
    floor_us,
    format_us,
    from_us,
    interval_us,
    measure,
    parse_time,
    to_us,
    utc_now,
)

MICROSECONDS = st.datetimes(timezones=st.just(UTC))
# `date -u -d 2026-01-02T03:04:05Z +%s` says 1767323045.
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MOMENT_US = 1_767_323_045_678_901


def test_a_known_moment_converts_both_ways():
    assert to_us(MOMENT) == MOMENT_US
    assert from_us(MOMENT_US) == MOMENT
    assert from_us(MOMENT_US).tzinfo is UTC
    assert format_us(MOMENT_US) == "2026-01-02T03:04:05.678901Z"
    assert format_us(0) == "1970-01-01T00:00:00.000000Z"
    assert format_us(-1) == "1969-12-31T23:59:59.999999Z"


@given(MICROSECONDS)
def test_conversion_is_exact_over_all_years(moment):
    assert from_us(to_us(moment)) == moment
    text = format_us(to_us(moment))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert parse_time(text) == to_us(moment)


def test_another_offset_is_the_same_moment():
    assert to_us(MOMENT.astimezone(timezone(timedelta(hours=-7)))) == MOMENT_US


@pytest.mark.parametrize(
    ("value", "expected_us"),
    [
        ("2026-01-02T03:04:05.678901Z", MOMENT_US),
        ("2026-01-02t05:34:05.678901+02:30", MOMENT_US),
        ("2026-01-02 03:04:05Z", 1_767_323_045_000_000),
        ("2026-01-02T03:04:05.6z", 1_767_323_045_600_000),
        ("2026-01-02T03:04:05.678901999Z", MOMENT_US),
        (1_767_323_045_678, 1_767_323_045_678_000),
        ("1767323045678", 1_767_323_045_678_000),
        (0, 0),
        ("-1", -1_000),
    ],
)
def test_every_allowed_form_is_read(value, expected_us):
    assert parse_time(value) == expected_us


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("2026-01-02T03:04:05", "time.naive"),
        ("2026-01-02 03:04:05.5", "time.naive"),
        ("2026-01-02", "time.invalid"),
        ("2026-02-30T00:00:00Z", "time.invalid"),
        ("2026-01-02T24:00:00Z", "time.invalid"),
        ("2016-12-31T23:59:60Z", "time.invalid"),
        ("2026-01-02T03:04:05+25:00", "time.invalid"),
        ("2026-W01-5T03:04:05Z", "time.invalid"),
        ("2026-01-02T03:04:05,5Z", "time.invalid"),
        ("٢٠٢٦-01-02T03:04:05Z", "time.invalid"),
        ("0000-01-01T00:00:00Z", "time.invalid"),
        ("0001-01-01T00:00:00+01:00", "time.invalid"),
        ("now", "time.invalid"),
        ("", "time.invalid"),
        (1.5, "time.invalid"),
        (True, "time.invalid"),
        (None, "time.invalid"),
        (10**18, "time.invalid"),
        ("9" * 15, "time.invalid"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(value, code):
    with pytest.raises(ValidationError) as caught:
        parse_time(value)
    assert caught.value.code == code
    assert caught.value.allowed


def test_a_naive_datetime_is_refused():
    with pytest.raises(ValidationError, match=r"time\.naive"):
        to_us(datetime(2026, 1, 1))  # noqa: DTZ001 - a naive time is the point


@given(st.integers(-(10**17), 10**17), st.integers(1, 10**12))
def test_the_floor_is_the_last_grid_point_at_or_before(time_us, grid_us):
    floor = floor_us(time_us, grid_us)
    assert floor % grid_us == 0
    assert floor <= time_us < floor + grid_us


def test_a_grid_of_zero_is_refused():
    with pytest.raises(ValidationError, match=r"interval\.invalid"):
        floor_us(1, 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("1m", 60),
        ("5m", 300),
        ("15m", 900),
        ("1h", 3600),
        ("4h", 14400),
        ("1d", 86400),
        ("500ms", 0.5),
    ],
)
def test_intervals_are_read(text, seconds):
    assert interval_us(text) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "1", "s", "0s", "-1s", "1.5s", "1 s", "1S", "1w", "01s", "1s1s"])
def test_other_intervals_are_refused(text):
    with pytest.raises(ValidationError, match=r"interval\.invalid"):
        interval_us(text)


def test_now_is_now_in_utc():
    before = time.time()
    now = utc_now()
    assert now.tzinfo is UTC
    assert before - 1 <= now.timestamp() <= time.time() + 1


def test_a_wall_clock_ignores_steps_of_the_machines_clock():
    wall, monotonic = [1_000_000_000_000_000_000], [5_000]
    clock = WallClock(lambda: wall[0], lambda: monotonic[0])
    assert clock.now_ns() == 1_000_000_000_000_000_000
    wall[0] -= 3_600_000_000_000
    monotonic[0] += 1_999
    assert clock.now_ns() == 1_000_000_000_000_001_999
    assert clock.now_us() == 1_000_000_000_000_001


def test_the_real_wall_clock_tells_the_time_and_never_goes_back():
    clock = WallClock()
    readings = [clock.now_ns() for _ in range(1_000)]
    assert readings == sorted(readings)
    before, now, after = time.time_ns(), clock.now_ns(), time.time_ns()
    assert before - 1_000_000_000 < now < after + 1_000_000_000


def test_a_stopwatch_runs_until_it_is_stopped():
    watch = Stopwatch()
    time.sleep(0.01)
    seconds = watch.stop()
    assert seconds >= 0.01
    time.sleep(0.002)
    assert watch.seconds == watch.stop() == seconds


def test_measure_tells_the_seconds_also_when_the_block_fails():
    told: list[float] = []
    with measure(told.append) as watch:
        time.sleep(0.005)
    with pytest.raises(RuntimeError), measure(told.append):
        raise RuntimeError
    assert told[0] == watch.seconds >= 0.005
    assert len(told) == 2


def test_timing_offers_all_of_intervals():
    assert {"floor_us", "format_us", "from_us", "interval_us", "parse_time", "to_us"} <= set(timing.__all__)

"""When to try again: producers/backoff.py."""

import random

import pytest

from producers.backoff import Backoff, Limiter, Limits

LIMITS = Limits(
    base_seconds=1.0, cap_seconds=8.0, stable_seconds=60.0, breaker_failures=5, open_seconds=100.0
)


def test_the_bound_doubles_with_each_failure_up_to_the_cap():
    backoff = Backoff(lambda: 1.0, LIMITS._replace(breaker_failures=1_000))
    assert [backoff.failed(0) for _ in range(6)] == [1, 2, 4, 8, 8, 8]


def test_full_jitter_draws_evenly_from_zero_to_the_bound():
    delays = []
    for seed in range(2_000):
        backoff = Backoff(random.Random(seed).random, LIMITS)
        delays.append([backoff.failed(0), backoff.failed(0)][1])
    assert 0 <= min(delays) < 0.05
    assert 1.95 < max(delays) <= 2
    assert sum(delays) / len(delays) == pytest.approx(1.0, abs=0.05)


def test_a_short_connection_keeps_the_failures_and_a_stable_one_forgets_them():
    backoff = Backoff(lambda: 1.0, LIMITS)
    assert [backoff.failed(0), backoff.failed(0)] == [1, 2]
    assert backoff.ended(59.9, 100) == 4
    assert backoff.ended(60.0, 200) == 1


def test_after_failures_in_a_row_the_breaker_opens_then_tries_once_more():
    backoff = Backoff(lambda: 0.0, LIMITS)
    for now in range(4):
        assert backoff.failed(now) == 0.0
        assert backoff.breaker(now) == "closed"
    assert backoff.failed(10) == 100
    assert backoff.breaker(109.9) == "open"
    assert backoff.breaker(110) == "half_open"
    assert backoff.failed(111) == 100
    assert backoff.breaker(112) == "open"
    backoff.subscribed()
    assert backoff.breaker(212) == "closed"


def test_once_open_the_next_attempt_comes_within_the_time_for_it():
    limits = LIMITS._replace(half_open_seconds=6.0)
    backoff = Backoff(lambda: 0.5, limits)
    assert [backoff.failed(0) for _ in range(6)] == [0.5, 1, 2, 4, 103, 103]
    assert Limits().open_seconds + Limits().half_open_seconds <= 30
    assert Limits().cap_seconds <= 30


def test_many_failures_never_overflow():
    backoff = Backoff(lambda: 1.0, LIMITS._replace(breaker_failures=10**9))
    assert max(backoff.failed(0) for _ in range(5_000)) == 8


def test_the_limiter_lets_a_burst_through_and_spreads_the_rest():
    limiter = Limiter(burst=3, seconds=5.0)
    for _ in range(3):
        assert limiter.wait("a", 0.0) == 0
        limiter.take("a", 0.0)
    assert limiter.wait("a", 0.0) == limiter.wait("a", 0.0) == 5  # asking takes nothing
    assert limiter.wait("a", 4.0) == 1
    limiter.take("a", 5.0)
    assert limiter.wait("a", 5.0) == 5
    assert limiter.wait("b", 5.0) == 0
    assert limiter.wait("a", 1_000.0) == 0


def test_the_limiter_never_passes_more_than_burst_and_rate():
    limiter, dice = Limiter(burst=4, seconds=5.0), random.Random(7)
    now, passed = 0.0, []
    for _ in range(500):
        now += dice.random() * 3
        now += limiter.wait("a", now)
        limiter.take("a", now)
        passed.append(now)
    for start in passed:
        assert len([at for at in passed if start <= at < start + 50]) <= 4 + 10

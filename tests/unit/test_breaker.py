"""An exchange that refuses for two minutes, on a virtual clock: its breaker opens, half-opens and closes by itself, at
times worked out by hand; the others go on as if nothing had happened."""

import asyncio
from itertools import groupby

from producers.backoff import DEFAULTS, Limits
from tests.virtual_producers import START_NS, House, producing, run
from tests.waiting import until

SYMBOLS = ("BTCUSDT", "ETHUSDT")
LIVED_SECONDS, CALM_SECONDS, REFUSES_SECONDS = 100.0, 80.0, 120.0
# By DEFAULTS with every draw a half: after a loss the waits are halves of 0.5, 1, 2, 4, 8, 16 and 30 (32 is beyond the
# cap) seconds, so attempts come 0.25, 0.75, 1.75, 3.75, 7.75, 15.75 and 30.75 s after it. The last of these is the
# eighth failure, the loss itself being the first: the breaker is open for 20 s, then half open; the next attempt comes
# 20 s and half of 10 s later, at 55.75 s, in vain, and so do those at 80.75 and 105.75 s; at 130.75 s it is back.
ATTEMPTS = [0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 30.75, 55.75, 80.75, 105.75, 130.75]
BREAKER = [
    ("open", 30.75), ("half_open", 50.75), ("open", 55.75), ("half_open", 75.75), ("open", 80.75),
    ("half_open", 100.75), ("open", 105.75), ("half_open", 125.75), ("closed", 130.75),
]  # fmt: skip


def metric(producer, name, **labels):
    return producer.metrics.registry.get_sample_value(f"coby_{name}", labels)


async def refused(limits, refuses_seconds, sample=()):
    """Times after the refusal began: attempts, changes of the breaker; gauge samples; frames of the other exchange."""
    houses = [House("binance", SYMBOLS, rate=4), House("okx", SYMBOLS, rate=4)]
    loop, frames = asyncio.get_running_loop(), {}
    houses[0].latency = lambda: 0.0
    async with producing(houses, SYMBOLS, backoff=limits, random=lambda: 0.5) as (one, other):
        playing = [asyncio.create_task(house.play()) for house in houses]
        await asyncio.sleep(LIVED_SECONDS - CALM_SECONDS)  # with what comes on subscribing
        first = other.outlet.records["ws"]
        await asyncio.sleep(CALM_SECONDS)
        began, before, count = loop.time(), len(houses[0].attempts), other.outlet.records["ws"]
        frames["before"] = count - first
        houses[0].refuses = True
        houses[0].drop()
        samples = []
        for at in sample:
            await asyncio.sleep(began + at - loop.time())
            samples.append(metric(one, "breaker_state", exchange="binance", slot="binance-0"))
        await asyncio.sleep(began + refuses_seconds - loop.time())
        houses[0].refuses = False
        frames["while"] = other.outlet.records["ws"] - count
        await until(lambda: one.acknowledged(), 200)
        await asyncio.sleep(2)
        attempts = [at - began for at in houses[0].attempts[before:]]
        words = [
            (status.breaker, status.observed_at / 1e6 - START_NS / 1e9 - began)
            for status in one.outlet.statuses
        ]
        changes = [next(group) for _, group in groupby(words, key=lambda word: word[0])]
        assert {status.breaker for status in other.outlet.statuses} == {"closed"}
        for task in playing:
            task.cancel()
        return attempts, changes, samples, frames


def test_the_breaker_of_an_exchange_that_refuses_for_two_minutes():
    sample = (29.0, 32.0, 52.5, 57.0)
    attempts, changes, samples, frames = run(refused(DEFAULTS, REFUSES_SECONDS, sample))
    assert [round(at, 2) for at in attempts] == ATTEMPTS
    assert changes[0][0] == "closed"
    for (word, at), (expected, expected_at) in zip(changes[1:], BREAKER, strict=True):
        # The status is written on each change, and the breaker half-opens by time alone: seen within a second.
        assert word == expected
        assert expected_at - 0.01 <= at <= expected_at + 1.01
    assert samples == [0, 2, 1, 2]
    # As many frames a second of the other exchange as before.
    assert frames["before"] > 200
    assert abs(frames["while"] / REFUSES_SECONDS / (frames["before"] / CALM_SECONDS) - 1) < 0.02


def test_the_same_with_other_limits():
    """Half of 1 s, then the cap's half of 1 s: attempts 0.5, 1.0, of which the second is the third failure; 4 s and a
    half later the next."""
    limits = Limits(
        base_seconds=1.0,
        cap_seconds=1.0,
        stable_seconds=50.0,
        breaker_failures=3,
        open_seconds=4.0,
        half_open_seconds=1.0,
    )
    attempts, changes, _, _ = run(refused(limits, 7.0))
    assert [round(at, 2) for at in attempts] == [0.5, 1.0, 5.5, 10.0]
    assert [word for word, _ in changes] == ["closed", "open", "half_open", "open", "half_open", "closed"]

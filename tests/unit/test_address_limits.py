"""Forty symbols on all ten exchanges, and all sockets dropped at once: no documented limit is broken.

Counted by the simulator's own limits, which are those of the exchanges' documents (EXCHANGES.md), on a virtual clock.
tests/integration/test_forty_symbols.py does the same over real sockets.
"""

import asyncio

import pytest

from COBY.limits import Rate, Window
from producers.allowance import Allowance
from simulator.exchanges import EXCHANGES
from tests.virtual_producers import House, producing, run
from tests.waiting import until

SYMBOLS = tuple(f"{letter}{other}AUSDT" for letter in "BCDFG" for other in "KLMNPRST")
WANTED = {(symbol, channel) for symbol in SYMBOLS for channel in ("book", "trade")}
# 40 symbols by what each socket carries: 10, 12, 20, 10, 20, 20 on two, 20, 20, 15, 20.
SOCKETS = {"binance": 4, "bitfinex": 4, "bybit": 2, "coinbase": 4, "gateio": 2, "huobi": 4,
           "kraken": 2, "kucoin": 2, "mexc": 3, "okx": 2}  # fmt: skip
BOOKS_BY_REST = ("binance", "kucoin", "mexc")
# Documented, so that a limit that nobody counts shows: EXCHANGES.md 1, 2, 3, 4, 5, 7, 9.
CONNECTS = {
    "binance": 300,
    "bitfinex": 20,
    "bybit": 500,
    "coinbase": 8,
    "kraken": 150,
    "kucoin": 30,
    "okx": 3,
}
ALL_BACK_SECONDS = 300.0


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_no_limit_is_broken_at_start_and_after_all_sockets_drop(name):
    async def live():
        house = House(name, SYMBOLS)
        async with producing([house], SYMBOLS) as (producer,):
            await until(lambda: producer.acknowledged() == WANTED, 120)
            if name in BOOKS_BY_REST:
                await until(lambda: len(house.asked) >= len(SYMBOLS), 180)
            first = len(house.asked)
            assert len(house.sockets) == SOCKETS[name] <= 5
            assert house.drop() == SOCKETS[name]
            await until(lambda: not producer.acknowledged(), 5)
            await until(lambda: producer.acknowledged() == WANTED, ALL_BACK_SECONDS)
            if name in BOOKS_BY_REST:
                await until(lambda: len(house.asked) >= first + len(SYMBOLS), ALL_BACK_SECONDS)
        return house

    house = run(live())
    assert house.broken == {}
    assert house.venue.limits.connects_max == CONNECTS.get(name, 0)
    assert len(house.attempts) >= 2 * SOCKETS[name]
    if name in CONNECTS:
        assert 0 < house.peaks["connects"] <= CONNECTS[name]


def test_an_exchange_that_ends_every_connection_is_not_asked_more_often_than_it_allows():
    async def live():
        house = House("bitfinex", SYMBOLS)
        house.refuses = True
        async with producing([house], SYMBOLS):
            await asyncio.sleep(600)
        return house

    house = run(live())
    assert house.broken == {}
    assert len(house.attempts) > 40
    # In any minute, counted here: no more than the documented 20.
    times = house.attempts
    assert max(sum(at <= other < at + 60 for other in times) for at in times) <= 20


def test_books_by_rest_are_asked_for_at_once_as_far_as_their_weight_allows():
    """Binance: 6,000 a minute, 250 a book (EXCHANGES.md 1): 24 in any minute, of which a margin is left."""

    async def live():
        house = House("binance", SYMBOLS)
        async with producing([house], SYMBOLS):
            await until(lambda: len(house.asked) >= 40, 120)
        return house

    house = run(live())
    times = house.asked
    assert 20 <= sum(at < times[0] + 5 for at in times) <= 24
    assert max(sum(at <= other < at + 60 for other in times) for at in times) <= 24
    assert 60 < times[39] - times[0] < 68


def test_who_gives_up_waiting_uses_nothing_up():
    async def live():
        loop = asyncio.get_running_loop()
        allowance = Allowance(Rate(2, 10.0), loop.time)
        await allowance.take(2)
        waiting = [asyncio.create_task(allowance.take()) for _ in range(5)]
        await asyncio.sleep(1)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await allowance.take()
        return loop.time()

    assert run(live()) == 10.0


def test_a_window_lets_no_more_than_its_rate_through_wherever_it_is_laid():
    window, went, now = Window(Rate(3, 2.0)), [], 0.0
    for step in (0.0, 0.1, 0.5, 0.0, 0.0, 3.0, 0.0, 0.7, 0.0, 0.0, 0.0):
        now += step
        now += window.wait_seconds(now)
        window.went(now)
        went.append(now)
    assert max(sum(at <= other < at + 2.0 for other in went) for at in went) == 3
    assert went[:4] == [0.0, 0.1, 0.6, 2.0]


def test_processes_of_one_address_share_what_it_may_do():
    assert Rate(6, 1.0).shared(2) == (3, 1.0)
    assert Rate(2, 1.0).shared(3) == (1, 1.0)

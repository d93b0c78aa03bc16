"""All ten exchanges over real sockets: the books that a producer's connection and the pipeline's own functions make of
what comes, against the simulator's, level by level, when the market has ended."""

import asyncio
import time
from decimal import Decimal

import pytest

from COBY.exchanges import load
from COBY.exchanges.base import Endpoints, slots
from COBY.text import PRICES
from producers.check import examine
from simulator.exchanges import EXCHANGES
from simulator.runner import Pace
from tests.simulator_client import serving

pytestmark = pytest.mark.usefixtures("in_real_time")

SYMBOLS = ("BTCUSDT", "ETHUSDT")
PATIENCE_SECONDS = 120.0


def slot_of(name):
    exchange = load(name)
    (slot,) = slots(exchange, {symbol: exchange.exchange_symbol(symbol) for symbol in SYMBOLS}, 1)
    return slot


def held(side, sign):
    """Price -> size; without what a cut snapshot can't know."""
    known = {
        price: size
        for price, size in side.texts.items()
        if side.edge is None or sign * PRICES[price] >= side.edge
    }
    return {Decimal(price): Decimal(size) for price, size in known.items()}


def sent(levels, side, sign):
    """The same of the simulator's book."""
    known = (one for one in levels if side.edge is None or sign * PRICES[one[0]] >= side.edge)
    return {Decimal(price): Decimal(size) for price, size in known}


async def ended(reader):
    """Until every market has sent its last frame."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while {one["state"] for one in (await reader.get("/_sim/ledger"))["exchanges"].values()} != {"ended"}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def agreed(reader, watches):
    """Whether what was sent last has arrived everywhere: every book is the simulator's."""
    for name, watch in watches.items():
        for symbol in SYMBOLS:
            if (book := watch._state.shown(symbol)) is None:
                return False
            book.flush()
            truth = await reader.get(f"/_sim/book?exchange={name}&symbol={symbol}")
            sides = ((book.bids, truth["bids"], 1), (book.asks, truth["asks"], -1))
            if any(held(side, sign) != sent(levels, side, sign) for side, levels, sign in sides):
                return False
    return len(watches) == len(EXCHANGES)


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)]
)
async def test_every_book_is_the_simulators(seed):
    names, watches, over = tuple(sorted(EXCHANGES)), {}, asyncio.Event()

    def follow(name):
        def enough(watch):
            watches[name] = watch
            return over.is_set()

        here = f"127.0.0.1:{server.port}/{name}"
        where = Endpoints(f"ws://{here}", f"http://{here}")
        return examine(load(name), slot_of(name), where, PATIENCE_SECONDS, enough)

    pace = Pace(settle_seconds=4)
    async with serving(exchanges=names, rate=300, seconds=8, seed=seed, pace=pace) as (server, reader):
        tasks = [asyncio.create_task(follow(name)) for name in names]
        try:
            await ended(reader)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline and not await agreed(reader, watches):
                await asyncio.sleep(0.2)
            for name in names:
                for symbol in SYMBOLS:
                    book = watches[name]._state.shown(symbol)
                    assert book is not None, f"{name} {symbol} is not live"
                    book.flush()
                    truth = await reader.get(f"/_sim/book?exchange={name}&symbol={symbol}")
                    assert watches[name].updates[symbol] > 5
                    for side, levels, sign in ((book.bids, truth["bids"], 1), (book.asks, truth["asks"], -1)):
                        assert held(side, sign) == sent(levels, side, sign), f"{name} {symbol}"
                        assert len(held(side, sign)) > 50
        finally:
            over.set()
            await asyncio.gather(*tasks)

"""What the tests of COBY.orchestrator share: reading until nothing comes, records in their order, equal sets."""

import asyncio
import itertools

import numpy as np

from COBY.orchestrator import DataAdapter, Missed, Update
from tests.waiting import until

EVERYTHING = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv")
SECONDS_QUIET = 2.0
SECONDS_MOST = 240
"""A bound against hanging."""


async def drained(messages, enough, seconds=SECONDS_QUIET):
    """What comes until it is enough and nothing more has come for a while."""
    found = []
    async with messages, asyncio.timeout(SECONDS_MOST):
        while True:
            try:
                async with asyncio.timeout(seconds):  # wait_for of Python 3.11 can swallow an outer timeout
                    found.append(await anext(messages))
            except TimeoutError:
                if enough(found):
                    return found


async def ended(messages):
    """What comes until it ends."""
    async with messages, asyncio.timeout(SECONDS_MOST):
        return [one async for one in messages]


def sequences(messages):
    """Records by (channel, symbol, source), in their order; every message has to be a record."""
    assert {type(one) for one in messages} <= {Update}, [
        one for one in messages if not isinstance(one, Update)
    ]
    keyed = sorted(messages, key=lambda one: (one.channel, one.symbol, one.source))  # stable
    groups = itertools.groupby(keyed, key=lambda one: (one.channel, one.symbol, one.source))
    return {name: list(ones) for name, ones in groups}


def trained(world, messages, symbol="BTCUSDT"):
    """A set of most of the run; ``world.at``: its seconds as times."""
    adapter = DataAdapter(symbol, depth=10, timeframes=("1s", "1m"), candles=5)
    for one in messages:
        adapter.add(one)
    return adapter.cut(world.at(5), world.at(70))


def assert_same(one, other):
    arrays, others = one.numpy(), other.numpy()
    assert arrays.keys() == others.keys()
    for name, values in arrays.items():
        assert np.array_equal(values, others[name], equal_nan=values.dtype.kind == "f"), name
    assert (one.gaps, one.proof, one.missed) == (other.gaps, other.proof, other.missed)


class Listening:
    """A subscription that is read in the background: `async with Listening(market.subscribe(…)) as one`."""

    def __init__(self, subscription):
        self.subscription = subscription
        self.came = []

    async def __aenter__(self):
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.subscription.aclose()

    async def _listen(self):
        async for one in self.subscription:
            self.came.append(one)

    async def until(self, holds):
        """Wait until it holds; an error that ends the subscription is raised."""
        await until(lambda: self._task.done() or holds(), 120)
        if self._task.done():
            self._task.result()
        assert holds(), self.came

    async def begun(self):
        """Wait until it is subscribed: what is written from now on comes."""
        await self.until(lambda: self.subscription.cursor is not None)

    def missed(self):
        """What it was told that it has missed."""
        return [one for one in self.came if isinstance(one, Missed)]

    def updates(self):
        """The records after the scene."""
        return [one for one in self.came if isinstance(one, Update) and not one.prelude]

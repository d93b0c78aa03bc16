"""What the tests of COBY.orchestrator share: reading until nothing comes, records in their order, equal sets."""

import asyncio
import itertools

import numpy as np

from COBY.orchestrator import DataAdapter, Update

EVERYTHING = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv")
SECONDS_QUIET = 2.0


async def drained(messages, seconds=SECONDS_QUIET):
    """What comes until nothing has come for a while, or it ends."""
    found = []
    async with messages:
        while True:
            try:
                found.append(await asyncio.wait_for(anext(messages), seconds))
            except (TimeoutError, StopAsyncIteration):
                return found


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

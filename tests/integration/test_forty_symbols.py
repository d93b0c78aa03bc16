"""Forty symbols on all ten exchanges over real sockets: no documented limit is broken at start, nor after all sockets
drop at once, as the simulator's server counts. tests/unit/test_address_limits.py has it on a virtual clock."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from COBY.exchanges import load
from COBY.exchanges.base import Endpoints, slots
from COBY.runtime.metrics import Metrics
from COBY.utils.timing import WallClock
from producers.allowance import Allowances
from producers.backoff import Backoff
from producers.connector import SlotConnector
from producers.rest import Rest
from producers.supervisor import Supervisor
from simulator.exchanges import EXCHANGES
from tests.simulator_client import serving
from tests.unit.test_address_limits import BOOKS_BY_REST, CONNECTS, SOCKETS
from tests.unit.test_address_limits import SYMBOLS as FORTY
from tests.virtual_producers import Kept
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("in_real_time")

PATIENCE_SECONDS = 600.0


class Collected:
    """A producer of one exchange as its program makes it, but for Kafka."""

    def __init__(self, name, server, http, symbols, stop, group):
        here = f"127.0.0.1:{server.port}/{name}"
        where, exchange = Endpoints(f"ws://{here}", f"http://{here}"), load(name)
        self.outlet, random = Kept(WallClock()), Random(name).random
        allowances = Allowances.of(exchange.limits)
        rest = Rest(http, random, requests=allowances.requests)
        named = {symbol: exchange.exchange_symbol(symbol) for symbol in symbols}
        self.connectors = [
            SlotConnector(slot, exchange, where, self.outlet, rest, allowances=allowances)
            for slot in slots(exchange, named, 5)
        ]
        metrics = Metrics(CollectorRegistry())
        for connector in self.connectors:
            supervisor = Supervisor(connector, self.outlet, Backoff(random), metrics)
            group.create_task(supervisor.run(stop))

    def acknowledged(self):
        found = [one.current.acknowledged for one in self.connectors if one.current is not None]
        return set().union(*found)


@asynccontextmanager
async def collecting(names, symbols):
    """Producers of these exchanges, and the simulator's server with its client."""
    stop = asyncio.Event()
    async with (
        serving(exchanges=names, symbols=symbols, rate=len(names)) as (server, reader),
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as group,
    ):
        try:
            yield {name: Collected(name, server, http, symbols, stop, group) for name in names}, reader
        finally:
            stop.set()


async def all_there(producers, symbols, bodies):
    """All is confirmed, and a body came for each book that has one; ``bodies``: how often by now."""
    wanted = {(symbol, channel) for symbol in symbols for channel in ("book", "trade")}
    for name, producer in producers.items():
        await until(lambda producer=producer: producer.acknowledged() == wanted, PATIENCE_SECONDS)
        if name in BOOKS_BY_REST:
            count = bodies * len(symbols)
            await until(lambda p=producer, n=count: p.outlet.records["http"] >= n, PATIENCE_SECONDS)


async def no_limit_is_broken(names, symbols):
    async with collecting(names, symbols) as (producers, reader):
        await all_there(producers, symbols, 1)
        for name in names:
            await reader.post("/_sim/fault", {"kind": "disconnect", "exchange": name})
        for producer in producers.values():
            await until(lambda producer=producer: not producer.acknowledged(), PATIENCE_SECONDS)
        await all_there(producers, symbols, 2)
        found = (await reader.get("/_sim/ledger"))["exchanges"]
    assert {name: one["limits_broken"] for name, one in found.items()} == {name: {} for name in names}
    for name in set(names) & set(CONNECTS):
        assert 0 < found[name]["limit_peaks"]["connects"] <= CONNECTS[name]
    return found


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_no_limit_is_broken_with_forty_symbols_on_all_ten():
    found = await no_limit_is_broken(tuple(sorted(EXCHANGES)), FORTY)
    for name, one in found.items():
        assert one["connections"]["opened"] >= 2 * SOCKETS[name]


async def test_no_limit_is_broken_where_they_are_tightest():
    """The one with a limit of connections a second, on two connections; sockets of real life, some seconds."""
    symbols = tuple(sorted(FORTY)[:22])
    found = await no_limit_is_broken(("okx",), symbols)
    assert found["okx"]["connections"]["opened"] >= 4

"""Cut at random and resumed at another API process: each trade exactly once, against the topic read by hand."""

import asyncio
import random
import threading
from contextlib import closing

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from api.ws.channels import CHANNELS, Selection
from COBY.codec import encode
from tests.integration.sink_helpers import Feeder, gap, trade
from tests.integration.ws_world import logged_errors, trades_by_hand, world
from tests.ws_client import client

PREFIX = "twsresume"
EXCHANGES = ("binance", "kraken", "okx")
CUTS = 12


@pytest.fixture(scope="module")
def there(kafka, timescale, redis_session, tmp_path_factory):
    """(cfg, two API processes)."""
    folder = tmp_path_factory.mktemp("api")
    with (
        world(kafka, timescale, redis_session, folder, PREFIX) as (cfg, started),
        started() as a,
        started() as b,
    ):
        yield cfg, [a, b]
        assert logged_errors(a) == logged_errors(b) == []


class Market(threading.Thread):
    """Trades of three exchanges; now and then a writer dies and writes its last ones again, as after a snapshot."""

    def __init__(self, cfg, seed, symbol):
        super().__init__(daemon=True)
        self._feeder, self._random, self._symbol = Feeder(cfg), random.Random(seed), symbol
        self._next = dict.fromkeys(EXCHANGES, 0)
        self._closed = threading.Event()

    def run(self):
        while not self._closed.wait(self._random.random() / 50):
            self._write(self._random.choice(EXCHANGES))

    def close(self):
        self._closed.set()
        self.join()

    def _write(self, exchange):
        number = self._next[exchange]
        first = max(0, number - self._random.randint(1, 40)) if self._random.random() < 0.1 else number
        for one in range(first, number + self._random.randint(1, 5)):
            record = trade(one, exchange=exchange, symbol=self._symbol)
            self._feeder.send(record, f"{one}:0", source=f"raw.{exchange}.v1/0")
            self._next[exchange] = max(self._next[exchange], one + 1)
        self._feeder.flush()


def ids(messages):
    return [(record["exchange"], record["trade_id"]) for record in messages]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_each_trade_comes_exactly_once_however_often_a_client_is_cut(there, seed):
    cfg, apis = there
    symbol = ("BTCUSDT", "ETHUSDT")[seed % 2]
    market = Market(cfg, seed, symbol)
    # What other tests wrote: they run in any order.
    before = await asyncio.to_thread(trades_by_hand, cfg, symbol)
    async with client(apis[0].ws_url) as first:  # begins before the market does, so that all of it is to come
        await first.subscribe(f"trade:{symbol}")
        await first.of(f"trade:{symbol}", 1)
        first.socket.transport.abort()
    with closing(market):
        market.start()
        got, cursors, seqs = await resumed(first, apis, f"trade:{symbol}", seed)
    expected = (await asyncio.to_thread(trades_by_hand, cfg, symbol))[len(before) :]
    async with client(apis[1].ws_url, cursors=cursors, seqs=seqs) as last:  # the rest of it, and nothing else
        await last.subscribe(f"trade:{symbol}", cursors=dict(cursors))
        await last.of(f"trade:{symbol}", len(expected) - len(got))
        with pytest.raises(TimeoutError):
            await last.until(lambda message: message["type"] == "update", 2)
        got += last.data(f"trade:{symbol}")
    assert ids(got) == expected
    assert len(got) > 300


async def resumed(first, apis, name, seed):
    """Trades as a client gets them that is cut CUTS times and goes on at any process.

    Its numbers run on. (trades, cursors and numbers to go on from).
    """
    draw, got = random.Random(seed), []
    cursors, seqs = {name: first.cursors[name]}, {name: first.seqs[name]}
    loop = asyncio.get_running_loop()
    for _ in range(CUTS):
        async with client(draw.choice(apis).ws_url, cursors=cursors, seqs=seqs) as one:
            await one.subscribe(name, cursors=dict(cursors))
            until = loop.time() + draw.random() / 2
            while (left := until - loop.time()) > 0:
                try:
                    await one.next(left)
                except TimeoutError:
                    break
            if draw.random() < 0.5:
                one.socket.transport.abort()
        got += one.data(name)
        assert not [message for message in one.messages if message["type"] in ("error", "snapshot")]
        cursors, seqs = {name: one.cursors[name]}, {name: one.seqs[name]}
    return got, cursors, seqs


async def test_a_repeat_of_long_before_is_known_where_its_source_was_silent_since(there):
    """A writer falls back by an hour: what it writes again lies farther back than what is looked at first."""
    cfg, apis = there
    feeder = Feeder(cfg)

    def send(exchange, first, end):
        for number in range(first, end):
            own = [
                ("source", f"raw.{exchange}.v1/1".encode()),
                ("position", b"%d:0" % number),
                ("settings", b"s"),
            ]
            feeder._producer.produce(
                f"{PREFIX}.trade.v1",
                encode(trade(number, exchange=exchange)),
                b"BTCUSDT",
                own,
                timestamp_ms=1_790_000_000_000 + number * 36_000,  # an hour is a hundred of them
            )
        feeder.flush()

    send("bybit", 0, 200)
    send("okx", 1000, 1001)
    async with client(apis[1].ws_url) as one:
        await one.subscribe("trade:BTCUSDT")
        await one.of("trade:BTCUSDT", 1)
        send("bybit", 50, 201)
        send("okx", 1001, 1002)
        found = await one.of("trade:BTCUSDT", 3)
        assert ids([message["data"] for message in found[1:]]) == [("bybit", "200"), ("okx", "1001")]
        cursor = found[2]["cursor"]
    async with client(apis[0].ws_url, seqs={"trade:BTCUSDT": 3}) as other:
        await other.subscribe("trade:BTCUSDT", cursors={"trade:BTCUSDT": cursor})
        send("bybit", 10, 204)
        found = await other.of("trade:BTCUSDT", 3)
        assert ids([message["data"] for message in found]) == [("bybit", str(n)) for n in (201, 202, 203)]


async def test_a_cursor_that_retention_has_overtaken_names_what_was_missed(there, kafka):
    cfg, apis = there
    feeder = Feeder(cfg)
    async with client(apis[0].ws_url) as one, client(apis[1].ws_url) as two:
        for each in (one, two):
            await each.subscribe("gap:ETHUSDT")
            await each.of("gap:ETHUSDT", 1)
        cursor = one.cursors["gap:ETHUSDT"]
        for number in range(3):
            feeder.send(gap(symbol="ETHUSDT"), f"{number}:0")
        feeder.flush()
        for each in (one, two):  # both have read them: they would tell of a loss, rightly
            await each.of("gap:ETHUSDT", 4)
    ((_, partition),) = Selection(CHANNELS["gap"], "ETHUSDT").partitions()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    place = TopicPartition(f"{PREFIX}.gap.v1", partition, 2)
    for done in admin.delete_records([place]).values():
        done.result(30)
    async with client(apis[1].ws_url) as other:
        await other.send(
            op="subscribe",
            channels=[{"name": "gap", "symbols": ["ETHUSDT"]}],
            cursors={"gap:ETHUSDT": cursor},
        )
        error = await other.until(lambda message: message["type"] == "error")
        assert (error["code"], error["subscription"]) == ("cursor.expired", "gap:ETHUSDT")
        assert error["missed"] == [
            {"topic": f"{PREFIX}.gap.v1", "partition": partition, "from_offset": 0, "until_offset": 2}
        ]
        # The connection goes on, and the subscription begins anew without a cursor.
        await other.subscribe("gap:ETHUSDT")
        await other.of("gap:ETHUSDT", 1)


@pytest.mark.parametrize("cursor", ["nonsense", "live.1.99999999.0", "live.1.0", "replay.abc.1.1.1.1"])
async def test_a_cursor_of_elsewhere_is_refused_and_the_connection_goes_on(there, cursor):
    _, apis = there
    async with client(apis[0].ws_url) as one:
        await one.send(
            op="subscribe",
            channels=[{"name": "book", "symbols": ["BTCUSDT"]}],
            cursors={"book:BTCUSDT": cursor},
        )
        error = await one.until(lambda message: message["type"] == "error")
        assert (error["code"], error["id"], error["subscription"]) == ("cursor.invalid", 1, "book:BTCUSDT")
        assert (await one.answer("subscriptions", op="list"))["subscriptions"] == []

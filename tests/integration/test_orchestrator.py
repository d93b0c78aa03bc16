"""One program on live topics and on a replay of them: the same messages, the same tensors; cut off, it goes on."""

import asyncio
import itertools

import pytest

from COBY.orchestrator import Moved, OrchestratorInterface, Update
from COBY.records import UNITS
from COBY.replays.manager import KafkaReplayManager
from COBY.runtime.kafka import apply_topics
from COBY.utils.exceptions import CobyError
from tests.conftest import delete_topics
from tests.integration.orchestrator_world import (
    EVERYTHING,
    Listening,
    assert_same,
    drained,
    ended,
    sequences,
    trained,
)
from tests.integration.replay_world import all_of, at_ms, by_sequence, derived_topics, working
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SECONDS, SYMBOLS, Made, Run, frames, started_ns, told

PREFIX = "torchestrator"


class World:
    """A run of 75 s, written in two halves while a program of ours listens."""

    def __init__(self, cfg, log):
        self.cfg, self.log = cfg, log
        self.first_ms = log.records[0].timestamp
        self.outputs = Made(log, cfg).outputs
        self.live = asyncio.run(self._heard())

    async def _heard(self):
        """What two subscriptions of everything hear: one goes on, one is cut halfway and resumed by its cursor."""
        async with self.client() as market, self.client() as other:
            whole, first = market.subscribe(EVERYTHING), other.subscribe(EVERYTHING)
            waiting = [asyncio.ensure_future(anext(one)) for one in (whole, first)]
            while (
                whole.cursor is None or first.cursor is None
            ):  # connected: what is written from now on comes
                await asyncio.sleep(0.1)
            half = len(self.outputs) // 2
            run = await asyncio.to_thread(Run, self.cfg, self.log, self.outputs[:half], told(self.cfg))
            heads = [await one for one in waiting]
            some = [heads[1], *[await anext(first) for _ in range(half // 2)]]
            cursor = first.cursor
            await first.aclose()
            await asyncio.to_thread(run.write, self.outputs[half:])
            count = sum(one.topic in EVERYTHING for one in self.outputs)
            rest = other.subscribe(EVERYTHING, cursor=cursor)
            self.cut = some + await drained(rest, lambda found: len(some) + len(found) >= count)
            return [heads[0], *await drained(whole, lambda found: 1 + len(found) >= count)]

    def client(self):
        return OrchestratorInterface.from_kafka(self.cfg)

    def at(self, seconds):
        return at_ms(self.first_ms + round(1000 * seconds))


@pytest.fixture(scope="module")
def world(kafka):
    cfg = settings(kafka, prefix=PREFIX, EXCHANGES="binance", SYMBOLS=",".join(SYMBOLS))
    apply_topics(cfg)
    with working(cfg):
        yield World(cfg, frames(started_ns()))
    delete_topics(kafka.bootstrap_servers, PREFIX)


def test_live_brings_each_record_once_also_when_cut_and_resumed(world):
    in_kafka = by_sequence(all_of(world.cfg.kafka_bootstrap_servers, *derived_topics(PREFIX)))
    whole = sequences(world.live)
    assert {name: len(ones) for name, ones in whole.items()} == {
        (topic.split(".")[1], key.decode(), source): len(ones)
        for (topic, key, source), ones in in_kafka.items()
    }
    assert sequences(world.cut) == whole


async def test_the_same_program_on_a_replay_gives_equal_messages_and_equal_tensors(world):
    async with world.client() as market:
        replayed = await ended(
            market.replay(world.at(0), world.at(SECONDS), 0, channels=EVERYTHING, symbols=list(SYMBOLS))
        )
    assert {one.session is None for one in replayed if isinstance(one, Update)} == {False}
    records = [one for one in replayed if isinstance(one, Update) and not one.prelude]
    end_us = (world.first_ms + 1000 * SECONDS) * 1000
    assert sequences(records) == sequences([one for one in world.live if one.received_us < end_us])
    for symbol in SYMBOLS:
        live = trained(world, world.live, symbol)
        assert_same(live, trained(world, replayed, symbol))
        assert live.known.any()
        assert not live.known.all(axis=(1, 2)).all(), "its lost connection"
        assert live.gaps
        assert live.proof
    assert_same(trained(world, world.cut), trained(world, world.live))
    assert KafkaReplayManager(world.cfg).list_sessions() == [], "its session went with it"


async def test_history_is_the_records_of_a_range_alone(world):
    async with world.client() as market:
        found = await ended(
            market.history(world.at(20), world.at(40), channels=["heatmap", "trade"], symbols="ETHUSDT")
        )
    lower, upper = (1000 * (world.first_ms + 1000 * seconds) for seconds in (20, 40))
    expected = [
        one
        for one in world.live
        if one.channel in ("heatmap", "trade")
        and one.symbol == "ETHUSDT"
        and lower <= one.received_us < upper
    ]
    assert sequences(found) == sequences(expected)
    assert all(one.received_us <= following.received_us for one, following in itertools.pairwise(found))


async def test_the_latest_of_each_kind(world):
    async with world.client() as market:
        got = await market.latest("heatmap", "BTCUSDT")
        assert got == max((one for one in world.live if (one.channel, one.symbol) == ("heatmap", "BTCUSDT")),
                          key=lambda one: one.received_us)  # fmt: skip
        minute = await market.latest("ohlcv", "ETHUSDT", timeframe="1m")
        assert (minute.record.timeframe, minute.record.trade_count) == ("1m", 80), (
            "40 s of its minute, two a second"
        )
        assert minute.record.close == (SYMBOLS["ETHUSDT"] * 100 + 25) * UNITS // 100
        assert await market.latest("trade", "ETHUSDT", exchange="okx") is None
        assert await market.latest("ohlcv", "ETHUSDT", timeframe="1d") is None


async def test_a_subscription_begins_with_the_newest_of_each_state(world):
    async with world.client() as market:
        scene = await drained(
            market.subscribe(["heatmap", "book", "trade"], "BTCUSDT"), lambda found: len(found) >= 2
        )
    assert [(one.channel, one.prelude) for one in scene] == [("heatmap", True), ("book", True)] or [
        (one.channel, one.prelude) for one in scene
    ] == [("book", True), ("heatmap", True)]
    last = {one.channel: one for one in world.live if one.symbol == "BTCUSDT"}
    assert all(one == last[one.channel] for one in scene)


async def test_a_replay_that_is_sought_says_so(world):
    manager = KafkaReplayManager(world.cfg)
    async with world.client() as market:
        replay = market.replay(world.at(0), world.at(60), 1, channels="heatmap", symbols="BTCUSDT")
        before = await anext(replay)
        await manager.seek(before.session, world.at(50))
        await manager.set_speed(before.session, 0)
        found = await ended(replay)
        (moved,) = [number for number, one in enumerate(found) if isinstance(one, Moved)]
        assert found[moved] == Moved(before.session, 1)
        after = [one for one in found[moved + 1 :] if isinstance(one, Update)]
        assert [one.received_us for one in after] == [
            1000 * (world.first_ms + 50_000 + 500 * number) for number in range(20)
        ]
    manager.close()


async def test_what_can_not_be_is_refused(world):
    async with world.client() as market:
        for call in (lambda: market.subscribe("candles"), lambda: market.subscribe([])):
            with pytest.raises(CobyError, match=r"replay\.channel"):
                call()
        for code, messages in (
            ("replay.cursor", market.subscribe("trade", cursor="x")),
            ("replay.range", market.history(world.at(5), world.at(5), channels="trade")),
            ("replay.speed", market.replay(world.at(0), world.at(5), 5_000, channels="trade")),
            (
                "replay.empty",
                market.history(world.at(-9_000), world.at(-8_000), channels="trade", source="topics"),
            ),
        ):
            with pytest.raises(CobyError) as caught:
                await anext(messages)
            assert caught.value.code == code
    other = await ended_cursor(world)
    async with world.client() as market:
        with pytest.raises(CobyError, match=r"replay\.cursor"):
            await anext(market.subscribe("heatmap", "BTCUSDT", cursor=other))


async def ended_cursor(world):
    """The cursor of a subscription to trades."""
    async with world.client() as market:
        subscription = market.subscribe("trade", "BTCUSDT")
        async with Listening(subscription) as one:
            await one.begun()
        return subscription.cursor

"""COBY.orchestrator through `python -m api`: the messages of Kafka, resumed after a cut, and the same tensors."""

import asyncio
from collections import Counter
from types import SimpleNamespace

import pytest

from COBY.codec import decode
from COBY.orchestrator import Missed, Moved, OrchestratorInterface, Update
from COBY.orchestrator.api_feed import cursors_of
from COBY.orchestrator.messages import channel_of
from COBY.replays.manager import KafkaReplayManager
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from COBY.stage import parse_position
from COBY.utils.exceptions import CobyError
from sinks.schema import migrate
from tests.api_server import api_server
from tests.conftest import delete_topics
from tests.integration.orchestrator_world import EVERYTHING, assert_same, drained, ended, sequences, trained
from tests.integration.replay_world import at_ms, working
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SECONDS, SYMBOLS, Made, Run, frames, started_ns, told

PREFIX = "torchestratorapi"
STATES = ("book", "heatmap", "consolidated")
PIECE = 40


@pytest.fixture(scope="module")
def world(kafka, timescale, redis_session, tmp_path_factory):
    """An API, a replay worker, and a run that is written while a subscription of everything listens."""
    more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "API_RATE": "1000"}
    with timescale.database() as database:
        cfg = settings(kafka, database, redis_session, prefix=PREFIX, **more)
        apply_topics(cfg)
        with connect(cfg) as conn:
            migrate(conn)
        env = {**kafka.env, **database.env, **redis_session.env, "TOPIC_PREFIX": PREFIX, **more}
        with api_server(env, tmp_path_factory.mktemp("api")) as api, working(cfg):
            log = frames(started_ns())
            first_ms = log.records[0].timestamp
            found = SimpleNamespace(
                cfg=cfg,
                url=api.url,
                log=log,
                outputs=Made(log, cfg).outputs,
                first_ms=first_ms,
                at=lambda seconds: at_ms(first_ms + round(1000 * seconds)),
            )
            found.written = [written(one) for one in found.outputs if one.topic in EVERYTHING]
            found.live = asyncio.run(heard(found))
            yield found
    delete_topics(kafka.bootstrap_servers, PREFIX)


def written(output):
    """An output as a message."""
    headers = dict(output.headers)
    record = decode(output.value)
    return Update(channel_of(record), record, headers["source"].decode(), parse_position(headers["position"]))


async def heard(world):
    """What a subscription of everything hears; its connection breaks when half is written."""
    async with OrchestratorInterface.from_api(world.url) as market:
        subscription = market.subscribe(EVERYTHING)
        waiting = asyncio.ensure_future(anext(subscription))
        while len(cursors_of(subscription.cursor or "") if subscription.cursor else {}) < len(
            EVERYTHING
        ) * len(SYMBOLS):
            await asyncio.sleep(0.1)
        run = await asyncio.to_thread(Run, world.cfg, world.log, [], told(world.cfg))
        half = len(world.outputs) // 2

        async def write():
            for first in range(0, len(world.outputs), PIECE):
                await asyncio.to_thread(run.write, world.outputs[first : first + PIECE])
                if first <= half < first + PIECE:
                    await subscription._feed.close()

        writing = asyncio.create_task(write())
        first = await waiting
        rest = await drained(subscription, lambda rest: is_whole(world.written, [first, *rest]))
        found = [first, *rest]
        await writing
        return found


def is_whole(written, found):
    """Whether what came of each channel, and what was left out, is as much as was written."""
    came = Counter()
    for one in found:
        if isinstance(one, Missed):
            came[one.channel] += one.count
        elif not one.prelude:
            came[one.channel] += 1
    return all(came[name] >= count for name, count in Counter(one.channel for one in written).items())


def test_events_come_once_also_over_a_broken_connection_and_states_say_what_was_left_out(world):
    updates = [one for one in world.live if isinstance(one, Update)]
    events = [one for one in updates if one.channel not in STATES]
    assert sequences(events) == sequences([one for one in world.written if one.channel not in STATES])
    assert {one.reason for one in world.live if isinstance(one, Missed)} <= {"slow"}
    for channel in STATES:
        whole = [one for one in world.written if one.channel == channel]
        came = [one for one in updates if one.channel == channel and not one.prelude]
        left_out = sum(one.count for one in world.live if isinstance(one, Missed) and one.channel == channel)
        assert len(came) + left_out == len(whole)
        assert all(one in whole for one in came[:20])


async def test_a_replay_through_the_api_is_what_was_live(world):
    async with OrchestratorInterface.from_api(world.url) as market:
        replayed = await ended(
            market.replay(world.at(0), world.at(SECONDS), 0, channels=EVERYTHING, symbols=list(SYMBOLS))
        )
    records = [one for one in replayed if isinstance(one, Update) and not one.prelude]
    end_us = (world.first_ms + 1000 * SECONDS) * 1000
    expected = [one for one in world.written if one.received_us < end_us]
    assert sequences(records) == sequences(expected)
    for symbol in SYMBOLS:
        made = trained(world, replayed, symbol)
        assert_same(made, trained(world, world.written, symbol))
        assert made.known.any()
    assert KafkaReplayManager(world.cfg).list_sessions() == [], "its session went with it"


async def test_history_and_the_latest(world):
    async with OrchestratorInterface.from_api(world.url) as market:
        found = await ended(market.history(world.at(20), world.at(40), channels="heatmap", symbols="ETHUSDT"))
        last = await market.latest("heatmap", "BTCUSDT")
        nothing = await market.latest("ohlcv", "ETHUSDT", timeframe="1d")
    lower, upper = (1000 * (world.first_ms + 1000 * seconds) for seconds in (20, 40))
    heatmaps = [one for one in world.written if one.channel == "heatmap"]
    ours = [one for one in heatmaps if one.symbol == "ETHUSDT" and lower <= one.received_us < upper]
    assert found == ours
    assert last == [one for one in heatmaps if one.symbol == "BTCUSDT"][-1]
    assert nothing is None


async def test_a_replay_that_is_sought_says_so(world):
    manager = KafkaReplayManager(world.cfg)
    async with OrchestratorInterface.from_api(world.url) as market:
        replay = market.replay(world.at(0), world.at(60), 1, channels="heatmap", symbols="BTCUSDT")
        before = await anext(replay)
        await manager.seek(before.session, world.at(50))
        await manager.set_speed(before.session, 0)
        found = await ended(replay)
    manager.close()
    (moved,) = [number for number, one in enumerate(found) if isinstance(one, Moved)]
    after = [one for one in found[moved + 1 :] if isinstance(one, Update)]
    assert [one.received_us for one in after] == [
        1000 * (world.first_ms + 50_000 + 500 * number) for number in range(20)
    ]


async def test_what_the_api_refuses_is_raised_with_its_code(world):
    async with OrchestratorInterface.from_api(world.url) as market:
        for code, messages in (
            ("replay.cursor", market.subscribe("trade", cursor="x")),
            ("replay.range", market.history(world.at(5), world.at(5), channels="trade")),
            (
                "config.unknown_symbol",
                market.history(world.at(0), world.at(5), channels="trade", symbols="XRPUSDT"),
            ),
            (
                "replay.empty",
                market.history(world.at(-9_000), world.at(-8_000), channels="trade", source="topics"),
            ),
        ):
            with pytest.raises(CobyError) as caught:
                await anext(messages)
            assert caught.value.code == code
    async with OrchestratorInterface.from_api(world.url, "no key of ours") as market:
        with pytest.raises(CobyError, match=r"api\.key_wrong"):
            await anext(market.subscribe("trade"))

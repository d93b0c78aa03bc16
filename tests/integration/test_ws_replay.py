"""Replays over the WebSocket: the messages of live, at any API process, as fast as the client takes them."""

import asyncio
from collections import Counter

import pytest

from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from sinks.schema import migrate
from tests.api_server import api_server
from tests.conftest import delete_topics
from tests.integration.replay_world import all_of, at_ms, derived_topics, managing, working
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SECONDS, SYMBOLS, Made, Run, frames, started_ns, told
from tests.integration.ws_world import logged_errors
from tests.ws_client import client

PREFIX = "twsreplay"
CHANNELS = ("trade", "heatmap", "book", "consolidated", "ohlcv", "gap")
OF_A_SESSION = ("seq", "cursor", "session", "run", "n", "conflated")
WHERE = ("partition", "offset")


@pytest.fixture(scope="module")
def there(kafka, timescale, redis_session, tmp_path_factory):
    """A run of 75 s in the topics, a worker, a manager, two API processes: (run, manager, first ms, apis)."""
    more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS)}
    folder = tmp_path_factory.mktemp("api")
    with timescale.database() as database:
        cfg = settings(kafka, redis_session, database, prefix=PREFIX, **more)
        apply_topics(cfg)
        env = {**kafka.env, **database.env, **redis_session.env, "TOPIC_PREFIX": PREFIX, **more}
        with connect(cfg) as conn:
            migrate(conn)
        with api_server(env, folder) as a, api_server(env, folder) as b:
            log = frames(started_ns())
            run = Run(cfg, log, Made(log, cfg).outputs, told(cfg))
            with working(cfg), managing(cfg) as manager:
                yield run, manager, log.records[0].timestamp, [a, b]
            assert logged_errors(a) == logged_errors(b) == []
    delete_topics(kafka.bootstrap_servers, PREFIX)


async def made(there, first=0.0, last=SECONDS + 5, speed=0.0, *, start=True):
    """A session over seconds of the run."""
    _, manager, first_ms, _ = there
    times = at_ms(first_ms + 1000 * first), at_ms(first_ms + 1000 * last)
    session = await asyncio.to_thread(manager.create_replay_session, *times, speed)
    if start:
        await manager.start_replay(session)
    return session


def bare(message):
    """A message without what only a session has, or only live has."""
    data = message["data"]
    rest = {name: value for name, value in message.items() if name not in OF_A_SESSION and name != "data"}
    return rest, {name: value for name, value in data.items() if name not in WHERE}


def came(one, name):
    """What came of a subscription, but for its snapshots: of each topic in its order.

    Between the topics there is one order in a replay; live it is that of arrival.
    """
    of = [message for message in one.messages if message.get("subscription") == name]
    return {kind: [bare(message) for message in of if message["type"] == kind] for kind in ("update", "gap")}


async def replayed(one, session, *channels, cursors=None):
    answer = await one.answer("replaying", op="replay", session=session)
    assert answer["session"] == session
    asked = [{"name": name} for name in channels]
    await one.answer("subscribed", op="subscribe", channels=asked, cursors=cursors or {})


def counted(cfg):
    """How many messages each subscription has to bring, by a plain consumer: its records and its symbol's gaps."""
    seen = all_of(cfg.kafka_bootstrap_servers, *derived_topics(PREFIX))
    of = Counter(f"{one.topic.split('.')[1]}:{one.key.decode()}" for one in seen)
    gaps = {symbol: of[f"gap:{symbol}"] for symbol in SYMBOLS}
    return {
        f"{name}:{symbol}": of[f"{name}:{symbol}"] + (gaps[symbol] if name != "gap" else 0)
        for name in CHANNELS
        for symbol in SYMBOLS
    }


async def live_from_the_beginning(there, api):
    """All of the topics over the WebSocket, by cursors that stand at their beginnings."""
    symbols = SYMBOLS
    names = [f"{channel}:{symbol}" for channel in CHANNELS for symbol in symbols]
    cursors = {name: "live.0.0" if name.startswith("gap") else "live.0.0.0" for name in names}
    async with client(api.ws_url) as one:
        await one.answer(
            "subscribed", op="subscribe", channels=[{"name": name} for name in CHANNELS], cursors=cursors
        )
        counts = await asyncio.to_thread(counted, there[0].cfg)
        for name in names:
            await one.of(name, counts[name])
        await one.until(lambda message: message["type"] == "heartbeat")  # nothing more came with it
        return {name: came(one, name) for name in names}


async def test_live_and_replayed_messages_of_the_same_records_are_equal(there):
    _, _, _, (a, b) = there
    session = await made(there)
    live = await live_from_the_beginning(there, a)
    async with client(b.ws_url) as one:
        await replayed(one, session, *CHANNELS)
        end = await one.until(lambda message: message["type"] == "end", 120)
        assert (end["reason"], end["session"], end["error"]) == ("finished", session, None)
        got = {name: came(one, name) for name in live}
        firsts = {name: next(m for m in one.messages if m.get("subscription") == name) for name in live}
    assert {message["type"] for message in firsts.values()} == {"snapshot"}
    assert got == live
    assert sum(len(found) for kinds in live.values() for found in kinds.values()) > 500
    # One order over all of them: n rises from message to message.
    order = [(message["run"], message["n"]) for message in one.messages if message["type"] == "update"]
    assert order == sorted(order)


async def test_the_scene_is_the_snapshot(there):
    _, _, _, (a, _) = there
    session = await made(there, 30, 40)
    async with client(a.ws_url) as one:
        await replayed(one, session, "book", "heatmap")
        await one.until(lambda message: message["type"] == "end")
        snapshots = {m["subscription"]: m for m in one.messages if m["type"] == "snapshot"}
        assert set(snapshots) == {f"{name}:{symbol}" for name in ("book", "heatmap") for symbol in SYMBOLS}
        for name, snapshot in snapshots.items():
            (record,) = snapshot["data"]
            first = next(m for m in one.messages if m.get("subscription") == name and m["type"] == "update")
            assert record["timestamp"] < first["data"]["timestamp"]


async def test_cut_and_resumed_elsewhere_each_record_comes_once(there):
    _, _, _, apis = there
    session = await made(there)
    async with client(apis[0].ws_url) as whole:
        await replayed(whole, session, "trade", "heatmap")
        await whole.until(lambda message: message["type"] == "end", 120)
    names = [f"{channel}:{symbol}" for channel in ("trade", "heatmap") for symbol in SYMBOLS]
    wanted = {name: came(whole, name) for name in names}
    got = {name: {"update": [], "gap": []} for name in names}
    cursors, seqs = {}, {}
    for turn in range(40):
        async with client(apis[turn % 2].ws_url, cursors=cursors, seqs=seqs) as one:
            await replayed(one, session, "trade", "heatmap", cursors=cursors)
            ended = False
            for _ in range(60 + turn):
                ended = ended or (await one.next())["type"] == "end"
                if ended:
                    break
            one.socket.transport.abort()
        for name in names:
            for kind, found in came(one, name).items():
                got[name][kind] += found
        cursors = dict(one.cursors)
        seqs = {name: seq for name, seq in one.seqs.items() if name in cursors}
        if ended:
            break
    assert ended
    assert turn > 3
    assert got == wanted


async def test_a_replay_waits_for_a_slow_client(there):
    """Nothing is left out and nobody is cut off, however long the client takes."""
    _, _, _, (a, _) = there
    session = await made(there)
    async with client(a.ws_url, max_queue=1) as one:
        await replayed(one, session, "book", "trade")
        await asyncio.sleep(7)  # longer than an event may wait live
        end = await one.until(lambda message: message["type"] == "end", 120)
        assert end["reason"] == "finished"
        assert not [message for message in one.messages if message["type"] == "error"]
        assert {message["conflated"] for message in one.messages if message["type"] == "update"} == {0}


async def test_after_a_seek_a_new_run_begins_with_a_snapshot(there):
    _, manager, first_ms, (a, _) = there
    session = await made(there, 20, 60)
    async with client(a.ws_url) as one:
        await replayed(one, session, "heatmap")
        await one.until(lambda message: message["type"] == "end")
        await manager.seek(session, at_ms(first_ms + 50_000))
        again = await one.until(lambda message: message["type"] == "snapshot")
        assert (again["data"], again["complete"]) == ([], False)
        update = await one.until(lambda message: message["type"] == "update")
        assert update["run"] == 1
        assert update["data"]["timestamp"] >= at_ms(first_ms + 50_000).isoformat(timespec="microseconds")[:26]
        assert (await one.until(lambda message: message["type"] == "end"))["reason"] == "finished"


async def test_a_session_that_is_deleted_ends(there):
    _, manager, _, (a, _) = there
    session = await made(there, start=False)
    async with client(a.ws_url) as one:
        await replayed(one, session, "trade")
        await manager.delete(session)
        end = await one.until(lambda message: message["type"] == "end")
        assert end["reason"] == "deleted"


async def test_replay_comes_before_subscriptions_and_once(there):
    _, manager, _, (a, _) = there
    session = await made(there, start=False)
    async with client(a.ws_url) as one:
        await one.subscribe("status")
        await one.send(op="replay", session=session)
        error = await one.until(lambda message: message["type"] == "error")
        assert error["code"] == "ws.replay_late"
    async with client(a.ws_url) as one:
        await replayed(one, session, "trade")
        await one.send(op="subscribe", channels=[{"name": "heatmap", "symbols": ["BTCUSDT"]}],
                       cursors={"heatmap:BTCUSDT": "live.1.2.3"})  # fmt: skip
        error = await one.until(lambda message: message["type"] == "error")
        assert (error["code"], error["subscription"]) == ("cursor.invalid", "heatmap:BTCUSDT")
    await manager.delete(session)

"""Open sockets and COBY.orchestrator through the API when servers go: broker, API processes, topics, retention.

Whatever went, each record comes once, or it is said that it is missed.
"""

import asyncio
import contextlib
import signal
import time

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from api.ws.channels import CHANNELS, Selection
from COBY.orchestrator import Missed, OrchestratorInterface
from COBY.runtime.kafka import apply_topics
from deploy.local.ports import free_ports
from tests.integration.orchestrator_world import Listening
from tests.integration.sink_helpers import START_US, Feeder, candle, gap, trade
from tests.integration.ws_world import world
from tests.ws_client import client

PREFIX = "twsoutages"


@pytest.fixture(scope="module")
def there(kafka, timescale, redis_session, tmp_path_factory):
    """(cfg, an API process, a function that gives more of them)."""
    folder = tmp_path_factory.mktemp("api")
    with (
        world(kafka, timescale, redis_session, folder, PREFIX) as (cfg, started),
        started() as api,
    ):
        yield cfg, api, started
        assert [line for line in api.log() if line["event"] in ("bug", "hub_failed")] == []


class Writer:
    """Numbered records of one source, each send going on where the last one ended; tests run in any order."""

    numbers = iter(range(10**6))

    def __init__(self, cfg, make):
        self._feeder, self._make = Feeder(cfg), make
        self.written = []

    def write(self, count):
        """So many more, delivered."""
        for _ in range(count):
            number = next(self.numbers)
            self._feeder.send(self._make(number), f"{number}:0", source="raw.binance.v1/7")
            self.written.append(number)
        self._feeder.flush()


def gaps(number):
    return gap(symbol="ETHUSDT", detail=str(number))


def trades(number):
    return trade(number, symbol="ETHUSDT")


def candles(number):
    return candle(symbol="ETHUSDT", timestamp=START_US + number * 1_000_000, trade_count=number)


def place_of(cfg, channel):
    """Where the records of ETHUSDT of a channel lie: (topic, partition)."""
    return f"{cfg.topic_prefix}.{channel}.v1", Selection(CHANNELS[channel], "ETHUSDT").partitions()[0][1]


def end_of(cfg, place):
    """Where that partition ends."""
    consumer = Consumer({"bootstrap.servers": cfg.kafka_bootstrap_servers, "group.id": "x"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(*place), 30)[1]
    finally:
        consumer.close()


def take(cfg, place, until_offset):
    """As retention does; asked again while the broker is busy."""
    admin = AdminClient({"bootstrap.servers": cfg.kafka_bootstrap_servers, "log_level": 0})
    end = time.monotonic() + 120
    while True:
        try:
            for done in admin.delete_records([TopicPartition(*place, until_offset)]).values():
                done.result(60)
            return
        except KafkaException:
            assert time.monotonic() < end
            time.sleep(0.2)


def details(records):
    return [int(record["detail"]) for record in records]


@contextlib.contextmanager
def stopped(process):
    """It hangs."""
    process.send_signal(signal.SIGSTOP)
    try:
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def explained(numbers, missed, written, begin):
    """Whether what came and what was said to be missed is exactly what was written, in its order.

    ``missed``: [first, end) offsets; ``begin``: the offset of the first one written.
    """
    gone = [written[offset - begin] for first, end in missed for offset in range(first, end)]
    return sorted(numbers + gone) == written and numbers == sorted(numbers)


async def test_what_retention_takes_before_the_hub_has_read_it_is_said_and_the_rest_comes(there):
    cfg, api, _ = there
    place, writer = place_of(cfg, "gap"), Writer(cfg, gaps)
    async with client(api.ws_url) as one:
        await one.subscribe("gap:ETHUSDT")
        await one.of("gap:ETHUSDT", 1)
        begin = await asyncio.to_thread(end_of, cfg, place)
        with stopped(api.process):
            # What it has asked Kafka for is answered by the first, or after 50 ms: the others are not on their way.
            await asyncio.to_thread(writer.write, 1)
            await asyncio.sleep(1)
            await asyncio.to_thread(writer.write, 9)
            await asyncio.to_thread(take, cfg, place, begin + 7)
        await asyncio.to_thread(writer.write, 1)
        last = str(writer.written[-1])
        await one.until(
            lambda message: message.get("data", {}).get("detail") == last if message["type"] == "gap" else 0
        )
    came = [message for message in one.messages if message["type"] in ("gap", "error")]
    told = [message for message in came if message["type"] == "error"]
    assert {(message["code"], message["subscription"]) for message in told} == {("ws.missed", "gap:ETHUSDT")}
    (missed,) = [row for message in told for row in message["missed"]]
    assert (missed["topic"], missed["partition"]) == place
    parts = [(missed["from_offset"], missed["until_offset"])]
    numbers = details(one.data("gap:ETHUSDT", "gap"))
    assert explained(numbers, parts, writer.written, begin)
    # It is said where it is missing, not afterwards.
    before = [
        message
        for message in came
        if message["type"] == "gap"
        and int(message["data"]["detail"]) < writer.written[missed["from_offset"] - begin]
    ]
    assert came.index(told[0]) == len(before)


async def test_a_program_is_told_of_what_retention_took_and_gets_all_that_is_left(there):
    """While the API hangs, and while it is away itself: `ws.missed`, or an expired cursor."""
    cfg, api, _ = there
    place, writer = place_of(cfg, "gap"), Writer(cfg, gaps)
    async with OrchestratorInterface.from_api(api.url) as market:
        async with Listening(market.subscribe("gap", "ETHUSDT")) as one:
            await one.begun()
            begin = await asyncio.to_thread(end_of, cfg, place)
            with stopped(api.process):
                await asyncio.to_thread(writer.write, 6)
                await asyncio.to_thread(take, cfg, place, begin + 4)
            await one.until(
                lambda: one.updates() and one.updates()[-1].record.detail == str(writer.written[-1])
            )
            cursor = one.subscription.cursor
        await asyncio.to_thread(writer.write, 6)
        await asyncio.to_thread(take, cfg, place, begin + 9)
        async with Listening(market.subscribe("gap", "ETHUSDT", cursor=cursor)) as two:
            await two.until(
                lambda: two.updates() and two.updates()[-1].record.detail == str(writer.written[-1])
            )
    came = [update for each in (one, two) for update in each.updates()]
    numbers = [int(update.record.detail) for update in came]
    assert numbers == sorted(set(numbers))
    assert numbers[-5:] == [*writer.written[4:6], *writer.written[9:]]
    assert {missed.reason for missed in one.missed() + two.missed()} == {"retention"}
    assert sum(missed.count for missed in one.missed() + two.missed()) == 12 - len(numbers)
    assert two.came[0] == Missed(
        "retention", f"{place[0]}/{place[1]}: offsets {begin + 6} to {begin + 9} did not come", "gap", 3
    )


def refusal(code, name):
    """For `until`: that error of that subscription."""
    return lambda message: (
        message["type"] == "error" and (message["code"], message["subscription"]) == (code, name)
    )


def delete(cfg, topic):
    """Delete a topic, and wait until nobody knows it any more."""
    admin = AdminClient({"bootstrap.servers": cfg.kafka_bootstrap_servers, "log_level": 0})
    for done in admin.delete_topics([topic], operation_timeout=60).values():
        done.result(90)


async def test_a_topic_deleted_and_made_anew_is_said_and_all_of_the_new_one_comes(there, kafka):
    """After a restart of the broker: it has raised the epochs of leaders, and those of the new topic begin at 0."""
    cfg, api, started = there
    topic = f"{PREFIX}.ohlcv.v1"
    old, other, name = Writer(cfg, candles), Writer(cfg, trades), "ohlcv:ETHUSDT"
    with started() as another:
        async with (
            client(api.ws_url) as one,
            client(another.ws_url) as neighbour,
            OrchestratorInterface.from_api(api.url) as market,
            Listening(market.subscribe("ohlcv", "ETHUSDT")) as program,
        ):
            await one.subscribe(name)
            await neighbour.subscribe("trade:ETHUSDT")
            await neighbour.of("trade:ETHUSDT", 1)
            await program.begun()
            await asyncio.to_thread(old.write, 5)
            await one.of(name, 6)
            await program.until(lambda: len(program.updates()) == 5)
            async with away(kafka):
                pass
            await asyncio.to_thread(old.write, 1)  # they have seen the restart
            await one.of(name, 7)
            await asyncio.to_thread(delete, cfg, topic)
            # While it is away others are not held up, and who asks for it is told.
            await neighbour.subscribe(name)
            await asyncio.to_thread(other.write, 1)
            await neighbour.of("trade:ETHUSDT", 2)
            await neighbour.until(refusal("topics.missing", name))
            await asyncio.to_thread(apply_topics, cfg)
            new = Writer(cfg, candles)
            await asyncio.to_thread(new.write, 3)
            ended = await one.until(refusal("cursor.expired", name))
            before = one.cursors[name]
            await one.subscribe(name, cursors={name: ended["resume"]})
            await one.of(name, 10)
            await program.until(lambda: len(program.updates()) == 9)
            # Who comes with a cursor of the old one, wherever: the same.
            await neighbour.subscribe(name, cursors={name: before})
            again = await neighbour.until(refusal("cursor.expired", name))
            neighbour.seqs[name] = one.seqs[name] - 3
            await neighbour.subscribe(name, cursors={name: again["resume"]})
            await neighbour.of(name, 3)
    assert [record["trade_count"] for record in one.data(name)] == old.written + new.written
    assert [record["trade_count"] for record in neighbour.data(name)] == new.written
    assert [update.record.trade_count for update in program.updates()] == old.written + new.written
    assert [missed.reason for missed in program.missed()] == ["retention"]
    assert isinstance(program.came[-4], Missed)


@contextlib.asynccontextmanager
async def away(kafka):
    """The broker is dead."""
    if kafka.server is None:
        pytest.skip("a broker in a container is not killed")
    kafka.server.kill()
    try:
        yield
    finally:
        kafka.server.begin()  # in this thread, with which it would end
        await asyncio.to_thread(kafka.server.finish)


async def test_while_the_broker_is_away_sockets_stay_and_say_so_and_after_it_each_record_comes_once(
    there, kafka
):
    cfg, api, _ = there
    writer, name = Writer(cfg, trades), "trade:ETHUSDT"
    await asyncio.to_thread(writer.write, 1)

    def beat_of(message):
        found = [row for row in message.get("channels", ()) if row["channel"] == "trade"]
        return found[0] if message["type"] == "heartbeat" and found else None

    async with (
        client(api.ws_url) as one,
        OrchestratorInterface.from_api(api.url) as market,
        Listening(market.subscribe("trade", "ETHUSDT")) as program,
        Listening(market.subscribe("book", "BTCUSDT")) as waiting,
    ):
        await one.subscribe(name)
        await one.of(name, 1)
        await program.begun()
        await asyncio.to_thread(writer.write, 3)
        await one.of(name, 4)
        await one.until(lambda message: (beat_of(message) or {}).get("current_at"))
        async with away(kafka):
            asked = await one.send(
                op="subscribe", channels=[{"name": "consolidated", "symbols": ["ETHUSDT"]}]
            )
            late = asyncio.create_task(late_subscription(api))
            refused = await one.until(lambda message: message["type"] == "error")
            assert (refused["id"], refused["subscription"]) == (asked, "consolidated:ETHUSDT")
            assert refused["code"].startswith("kafka.")
            assert (await one.answer("pong", op="ping"))["type"] == "pong"
            first = beat_of(await one.until(beat_of))
            for _ in range(3):
                beat = beat_of(await one.until(beat_of))
                assert beat["current_at"] == first["current_at"], "it is not known to be current"
        await asyncio.to_thread(writer.write, 4)
        await one.of(name, 8)
        later = beat_of(
            await one.until(lambda message: (beat_of(message) or first)["current_at"] > first["current_at"])
        )
        assert later["behind_records"] == 0
        await one.subscribe("consolidated:ETHUSDT")
        await one.of("consolidated:ETHUSDT", 1)
        await program.until(lambda: len(program.updates()) == 7)
        await waiting.begun()
        await late
    ids = [str(number) for number in writer.written[1:]]
    assert [record["trade_id"] for record in one.data(name)] == ids
    assert [update.record.trade_id for update in program.updates()] == ids
    assert program.missed() == []


async def late_subscription(api):
    """A program that begins while the broker is away: it waits."""
    async with (
        OrchestratorInterface.from_api(api.url) as market,
        Listening(market.subscribe("heatmap", "ETHUSDT")) as one,
    ):
        await one.begun()


async def test_a_program_goes_on_at_another_process_and_at_a_restarted_one(there):
    cfg, second, started = there
    writer = Writer(cfg, trades)
    ports = dict(zip(("API_PORT", "WS_PORT"), map(str, free_ports(2)), strict=True))
    with contextlib.ExitStack() as running:
        first = running.enter_context(started(**ports))
        async with (
            OrchestratorInterface.from_api(first.url) as market,
            Listening(market.subscribe("trade", "ETHUSDT")) as one,
        ):
            await one.begun()
            await asyncio.to_thread(writer.write, 3)
            await one.until(lambda: len(one.updates()) == 3)
            cursor = one.subscription.cursor
            first.process.kill()
            await asyncio.to_thread(first.process.wait)
            await asyncio.to_thread(writer.write, 3)
            async with (
                OrchestratorInterface.from_api(second.url) as other,
                Listening(other.subscribe("trade", "ETHUSDT", cursor=cursor)) as two,
            ):
                await two.until(lambda: len(two.updates()) == 3)
                await asyncio.to_thread(writer.write, 2)
                await two.until(lambda: len(two.updates()) == 5)
            with started(**ports):
                await one.until(lambda: len(one.updates()) == 8)
                await asyncio.to_thread(writer.write, 2)
                await one.until(lambda: len(one.updates()) == 10)
    ids = [str(number) for number in writer.written]
    assert [update.record.trade_id for update in one.updates()] == ids
    assert [update.record.trade_id for update in two.updates()] == ids[3:8]
    assert one.missed() == two.missed() == []

"""Reconnecting, farewells, resyncs and the full buffer, on real sockets and a real Kafka."""

import asyncio
from itertools import groupby, pairwise

import pytest
from confluent_kafka import Producer as KafkaProducer

from COBY.codec import decode, encode
from COBY.records import Resync, Status
from tests.producer_world import (
    QUICK,
    SYMBOLS,
    Raw,
    Seen,
    configured,
    read_topic,
    supervised,
    tiny_server,
    without_alive,
)
from tests.servers import KafkaServer
from tests.waiting import until


def raw_topic(kafka: KafkaServer, prefix: str) -> list[Raw]:
    return read_topic(kafka.bootstrap_servers, f"{prefix}.raw.binance.v1")


def by_conn(records: list[Raw]) -> dict[str, list[Raw]]:
    found: dict[str, list[Raw]] = {}
    for record in records:
        found.setdefault(record.conn, []).append(record)
    return found


def names(records: list[Raw]) -> list[str]:
    return [record.event["event"] or record.kind for record in without_alive(records)]


def statuses(kafka: KafkaServer, prefix: str) -> list[Status]:
    found = [decode(raw.value) for raw in read_topic(kafka.bootstrap_servers, f"{prefix}.status.v1")]
    return [status for status in found if isinstance(status, Status)]


def complain(kafka: KafkaServer, prefix: str, *requests: Resync) -> None:
    producer = KafkaProducer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for request in requests:
        producer.produce(f"{prefix}.control.v1", encode(request), request.exchange.encode())
    producer.flush(60)


async def test_a_lost_connection_is_followed_by_one_with_another_conn(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        for number in range(1, 4):
            await seen.until(2 * number, "http")
            server.sockets[-1].transport.abort()
        await seen.until(8, "http")
    conns = by_conn(raw_topic(kafka, topic_prefix))
    assert len(conns) == 4
    for records in conns.values():
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        assert names(records)[0] == "connected"
        assert names(records)[-1] == "disconnected"
        assert names(records).count("http") == 2
    assert producer.metrics.registry.get_sample_value("coby_reconnects_total", {"exchange": "binance"}) == 3
    last = statuses(kafka, topic_prefix)[-1]
    assert (last.state, last.reconnects, last.conn) == ("stopped", 3, None)


@pytest.mark.long
async def test_the_status_follows_each_change_of_state(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints):
        await until(lambda: len(server.requests) == 2)
        await asyncio.sleep(2.3)
        server.sockets[-1].transport.abort()
        await until(lambda: len(server.requests) == 4)
        await asyncio.sleep(0.3)
    found = statuses(kafka, topic_prefix)
    states = [state for state, _ in groupby(status.state for status in found)]
    assert states.count("subscribed") == 2
    between = states[states.index("subscribed") + 1 : len(states) - 2]
    assert set(between) <= {"disconnected", "connecting", "connected"}
    assert states[-2:] == ["subscribed", "stopped"]
    subscribed = [status for status in found if status.state == "subscribed"]
    assert len(subscribed) >= 4
    assert all(status.error is None and status.breaker == "closed" for status in subscribed)
    assert all(status.conn is not None and status.last_message_at is not None for status in subscribed)
    assert any(status.state == "disconnected" and status.error for status in found)
    assert {raw.key for raw in read_topic(kafka.bootstrap_servers, f"{topic_prefix}.status.v1")} == {
        b"binance-0"
    }


async def test_attempts_in_vain_are_repeated_until_the_exchange_is_back(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server:
        server.answers = False
        # Open for longer than this process may stand still between the opening and the look at it.
        limits = QUICK._replace(breaker_failures=3, open_seconds=5.0)
        async with supervised(cfg, server.endpoints, limits) as producer:
            for number in range(1, 4):
                await until(lambda number=number: server.opened == number and server.sockets)
                server.sockets[-1].transport.abort()
            await until(lambda: producer.connector.get_connection_status().breaker == "open")
            assert server.opened == 3
            server.answers = True
            await until(lambda: producer.connector.get_connection_status().state == "subscribed")
            await until(lambda: producer.connector.get_connection_status().breaker == "closed")


async def test_on_farewell_the_new_connection_comes_before_the_old_one_ends(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        await server.send(b"before", b"bye", b"still here")
        await until(lambda: server.opened == 2 and len(server.sockets) == 1)
        await until(lambda: len(server.requests) == 4)
        await server.send(b"after")
        await seen.until_value(b"after")
    records = raw_topic(kafka, topic_prefix)
    old, new = by_conn(records).values()
    assert b"still here" in [record.value for record in old]
    assert old[-1].event == {"event": "disconnected", "reason": "farewell"}
    subscribed = next(record for record in new if record.event["event"] == "subscribed")
    assert subscribed.offset < old[-1].offset
    assert b"after" in [record.value for record in new]


async def test_a_resync_request_leads_to_a_rest_record_of_the_same_connection(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        conn = producer.connector.connections[0].conn
        complain(
            kafka,
            topic_prefix,
            Resync("binance", "binance-0", "binance-0-gone", "BTCUSDT", "checksum", 1),
            Resync("binance", "binance-7", conn, "BTCUSDT", "checksum", 1),
            Resync("other", "binance-0", conn, "BTCUSDT", "checksum", 1),
            Resync("binance", "binance-0", conn, "XYZUSDT", "checksum", 1),
            Resync("binance", "binance-0", conn, "ETHUSDT", "sequence_gap", 1),
        )
        await until(lambda: len(server.requests) == 3)
        await seen.until(3, "http")
        await asyncio.sleep(0.5)  # in which the others would have been served
        assert server.requests[2:] == ["ETHUSDT"]
    bodies = [record for record in raw_topic(kafka, topic_prefix) if record.kind == "http"]
    assert [record.conn for record in bodies] == [conn] * 3
    assert dict(bodies[-1].headers)["symbol"] == "ETHUSDT"


@pytest.mark.long
async def test_a_flood_of_resync_requests_is_limited_and_none_is_forgotten(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        await until(lambda: len(server.requests) == 2)
        conn = producer.connector.connections[0].conn
        request = Resync("binance", "binance-0", conn, "BTCUSDT", "sequence_gap", 1)
        for _ in range(8):
            complain(kafka, topic_prefix, *[request] * 50)
            await asyncio.sleep(0.3)
        assert len(server.requests) == 2 + 4
        await until(lambda: len(server.requests) == 2 + 5, 8)


async def test_a_full_buffer_drops_the_newest_frames_and_says_which(kafka, topic_prefix, monkeypatch):
    cfg = configured(kafka.env, topic_prefix, DATA_BUFFER_SIZE="100")
    frames = [b"frame %d" % number for number in range(3_000)]
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await seen.until(2, "http")
        stream = producer.connector.connections[0].stream
        # Nothing is taken in as delivered meanwhile, or a machine quick at Kafka and slow at this would drop nothing.
        with monkeypatch.context() as held:
            held.setattr(producer.publisher._producer, "poll", lambda *_: 0)
            await server.send(*frames)
            await until(lambda: sum(one.kind == "ws" for one in seen) + stream.dropped == 3_001)
        await until(lambda: not producer.publisher.full)
        await until(lambda: len(server.requests) >= 4)
        await until(lambda: sum(one.kind == "http" for one in seen) == len(server.requests))
        await server.send(b"last")
        await seen.until_value(b"last")
        lost = stream.dropped
    records = raw_topic(kafka, topic_prefix)
    holes = [record.event for record in records if record.event["event"] == "dropped"]
    missing = {seq for hole in holes for seq in range(hole["from_seq"], hole["to_seq"] + 1)}
    seqs = [record.seq for record in records]
    assert lost > 0
    assert len(missing) == lost
    assert seqs == sorted(seqs)
    assert not missing & set(seqs)
    assert missing | set(seqs) == set(range(1, max(seqs) + 1))
    written = [record.value for record in records if record.kind == "ws"]
    assert written == [b"ok", *[frame for frame in frames if frame in set(written)], b"last"]
    assert len(written) == 3_002 - lost
    for record, following in pairwise(records):
        # the hole before it is covered before any other record follows
        if following.seq != record.seq + 1:
            assert following.event == {
                "event": "dropped",
                "from_seq": record.seq + 1,
                "to_seq": following.seq - 1,
            }
    after = records[records.index(next(r for r in records if r.event["event"] == "dropped")) :]
    assert {dict(record.headers)["symbol"] for record in after if record.kind == "http"} == set(SYMBOLS)


async def test_a_stalled_kafka_fills_the_buffer_and_the_connection_survives(kafka, topic_prefix):
    if kafka.server is None:
        pytest.skip("a broker in a container is not paused")
    cfg = configured(kafka.env, topic_prefix, DATA_BUFFER_SIZE="200")
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        await until(lambda: len(server.requests) == 2)
        stream = producer.connector.connections[0].stream
        kafka.server.pause()
        try:
            await server.send(*[b"x" * 100] * 500)
            await until(lambda: stream.dropped > 200)
        finally:
            kafka.server.resume()
        await until(lambda: not producer.publisher.full)
        await until(lambda: len(server.requests) >= 4)
    records = raw_topic(kafka, topic_prefix)
    assert len(by_conn(records)) == 1
    holes = [record.event for record in records if record.event["event"] == "dropped"]
    assert sum(hole["to_seq"] - hole["from_seq"] + 1 for hole in holes) == stream.dropped

"""What one connection leaves in the raw topic, on a real socket and a real Kafka."""

import asyncio
import hashlib
import os

import pytest

from COBY.exchanges.base import Endpoints
from COBY.topics import partition_of
from COBY.utils.exceptions import ConfigurationError, ExchangeError, ValidationError
from tests.producer_world import (
    SLOT,
    SYMBOLS,
    Raw,
    Seen,
    configured,
    connectors,
    read_topic,
    supervised,
    tiny_server,
    without_alive,
)
from tests.servers import KafkaServer
from tests.waiting import until


def raw_topic(kafka: KafkaServer, prefix: str) -> list[Raw]:
    return read_topic(kafka.bootstrap_servers, f"{prefix}.raw.binance.v1")


async def test_frames_bodies_and_events_share_conn_and_a_seq_without_holes(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    frames = [b'{"n":%d}' % number for number in range(500)]
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        await server.send(*frames)
        await seen.until(1 + len(frames), "ws")
        await until(lambda: any(b'"alive"' in (one.value or b"") for one in seen if one.kind == "event"))
    records = raw_topic(kafka, topic_prefix)
    assert {record.partition for record in records} == {partition_of(b"binance-0", 4)}
    assert {record.key for record in records} == {b"binance-0"}
    assert len({record.conn for record in records}) == 1
    assert records[0].conn.startswith("binance-0-")
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    sent = [record.value for record in records if record.kind == "ws"]
    assert sent == [b"ok", *frames]
    events = [record.event for record in without_alive(records) if record.kind == "event"]
    assert events == [
        {
            "event": "connected",
            "exchange": "binance",
            "slot": "binance-0",
            "symbols": list(SYMBOLS),
            "url": server.endpoints.ws_url,
        },
        {"event": "subscribed", "symbols": list(SYMBOLS), "channels": ["book", "trade"]},
        {"event": "disconnected", "reason": "stopped"},
    ]
    assert any(record.event["event"] == "alive" for record in records)


async def test_headers_come_in_the_agreed_order_and_the_timestamp_is_received_ns(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        await seen.until(2, "http")
    records = raw_topic(kafka, topic_prefix)
    names = {record.kind: [name for name, _ in record.headers] for record in records}
    assert names["ws"] == names["event"] == ["received_ns", "conn", "seq", "kind"]
    assert names["http"] == ["received_ns", "conn", "seq", "kind", "url", "symbol"]
    assert all(record.timestamp_ms == record.received_ns // 1_000_000 for record in records)
    times = [record.received_ns for record in records]
    assert times == sorted(times)
    bodies = {dict(record.headers)["symbol"]: record for record in records if record.kind == "http"}
    assert bodies["ETHUSDT"].value == server.body
    assert dict(bodies["ETHUSDT"].headers)["url"] == f"{server.endpoints.rest_url}/depth?symbol=ETHUSDT"


async def test_a_frame_of_invalid_bytes_passes_untouched(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    broken = [b"\xff\xfe{not json", b"", bytes(range(256)), b'{"half":']
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        await server.send(*broken)
        await server.sockets[-1].send(b"\x00\x01binary")
        await server.send(b"last")
        await seen.until_value(b"last")
    sent = [record.value or b"" for record in raw_topic(kafka, topic_prefix) if record.kind == "ws"]
    assert sent == [b"ok", *broken, b"\x00\x01binary", b"last"]


async def test_a_frame_too_large_for_kafka_becomes_an_event_with_length_and_hash(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    large, giant = os.urandom(31 * 2**20), os.urandom(33 * 2**20)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        await server.sockets[-1].send(large)
        await server.sockets[-1].send(giant)
        await server.send(b"after")
        await seen.until_value(b"after")
    records = without_alive(raw_topic(kafka, topic_prefix))
    expected = {"event": "oversize", "length": len(giant), "sha256": hashlib.sha256(giant).hexdigest()}
    assert [record.event for record in records if record.event["event"] == "oversize"] == [expected]
    assert [record.value for record in records if record.kind == "ws"] == [b"ok", large, b"after"]
    assert len({record.conn for record in records}) == 1


async def test_a_refused_symbol_is_written_and_the_connection_goes_on(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        await until(lambda: len(server.requests) == 2)
        await server.send(b"no", b"more")
        await seen.until_value(b"more")
    records = raw_topic(kafka, topic_prefix)
    refused = [record.event for record in records if record.event["event"] == "refused"]
    assert refused == [
        {"event": "refused", "symbol": "ETHUSDT", "reason": "no such market", "not_listed": True}
    ]
    assert b"more" in [record.value for record in records]
    assert server.opened == 1


async def test_a_rest_answer_of_429_or_500_is_asked_for_again_and_400_is_published(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:
        seen = Seen(producer)
        server.statuses[:] = [500, 429, 418, 400]
        await until(lambda: len(server.requests) == 5)
        await seen.until(2, "http")
    bodies = [record for record in raw_topic(kafka, topic_prefix) if record.kind == "http"]
    assert len(bodies) == 2


async def test_the_users_methods_connect_subscribe_call_back_and_disconnect(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    seen: list[object] = []
    async with tiny_server() as server, connectors(cfg, server.endpoints) as producer:
        connector = producer.connector
        connector.add_data_callback(seen.append)
        assert connector.get_connection_status().state == "disconnected"
        assert await connector.connect() is True
        assert await connector.connect() is True
        assert (server.opened, server.texts) == (1, [])
        assert connector.get_connection_status().state == "connected"
        await connector.subscribe_orderbook("BTCUSDT")
        await connector.subscribe_trades("ETHUSDT")
        assert server.texts == ["subscribe BTCUSDT ETHUSDT"]
        status = connector.get_connection_status()
        assert (status.exchange, status.slot, status.state) == ("binance", "binance-0", "subscribed")
        assert (status.reconnects, status.breaker, status.error) == (0, "closed", None)
        await until(lambda: len([record for record in seen if record.kind == "http"]) == 2)
        await connector.disconnect()
        await connector.disconnect()
        assert connector.get_connection_status().state == "stopped"
    records = raw_topic(kafka, topic_prefix)
    assert [record.value for record in seen] == [record.value for record in records]
    assert [record.seq for record in seen] == [record.seq for record in records]


async def test_what_cannot_be_subscribed_is_an_error_with_a_code(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    slot = type(SLOT)("binance-0", "binance", {"BTCUSDT": "BTCUSDT", "!XYZUSDT": "XYZUSDT"})
    async with tiny_server() as server, connectors(cfg, server.endpoints, slot) as producer:
        connector = producer.connector
        with pytest.raises(ExchangeError, match=r"exchange.not_connected"):
            await connector.subscribe_trades("BTCUSDT")
        with pytest.raises(ConfigurationError, match=r"config.unknown_symbol"):
            await connector.subscribe_orderbook("ETHUSDT")
        with pytest.raises(ExchangeError, match=r"exchange.not_listed"):
            await connector.subscribe_orderbook("XYZUSDT")
        with pytest.raises(ValidationError, match=r"value.callback"):
            connector.add_data_callback(server.handle)
        await connector.connect()
        assert server.texts == []


async def test_connect_is_false_where_nobody_answers_and_the_status_says_why(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server:
        endpoints = server.endpoints
    async with connectors(cfg, endpoints) as producer:
        assert await producer.connector.connect() is False
        status = producer.connector.get_connection_status()
        assert status.state == "disconnected"
        assert status.error is not None
        assert "ConnectionRefusedError" in status.error
    assert raw_topic(kafka, topic_prefix) == []


async def test_both_forms_go_through_the_same_opening_and_subscribing(kafka, topic_prefix, monkeypatch):
    cfg = configured(kafka.env, topic_prefix)

    async def broken(self) -> None:
        raise RuntimeError("broken on purpose")

    async def users_form(endpoints: Endpoints) -> None:
        async with connectors(cfg, endpoints) as producer:
            await producer.connector.connect()
            await producer.connector.subscribe_orderbook("BTCUSDT")

    async def pipelines_form(endpoints: Endpoints) -> None:
        async with supervised(cfg, endpoints):
            await asyncio.sleep(60)  # what breaks ends it at once

    async with tiny_server() as server:
        for inner in ("open", "start"):
            monkeypatch.setattr(f"producers.connection.Connection.{inner}", broken)
            for form in (users_form, pipelines_form):
                with pytest.raises(ExceptionGroup) as caught:
                    await form(server.endpoints)
                assert caught.group_contains(RuntimeError, match="broken on purpose")
            monkeypatch.undo()

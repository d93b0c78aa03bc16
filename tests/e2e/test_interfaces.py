"""The five interfaces (ReplayManager excepted) in one flow, each method by the user's own signature, on real servers:

simulator -> ExchangeConnector -> Kafka and callback -> DataProcessor -> AggregationEngine -> StorageManager -> SQL.
"""

import asyncio
import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from COBY.aggregation import Aggregator
from COBY.exchanges import load
from COBY.exchanges.base import Endpoints
from COBY.processing import Processor
from COBY.slots import slots_of
from COBY.utils.exceptions import ProcessingError
from deploy.local.ports import HOST
from simulator.options import Options
from simulator.server import Server
from sinks.storage import TimescaleStorage
from tests.producer_world import configured, connectors, read_topic

ENOUGH_TRADES = 50


@pytest.fixture
async def market():
    async with Server(Options(symbols=("BTCUSDT",), rate=200)) as server:
        yield Endpoints(f"ws://{HOST}:{server.port}/binance", f"http://{HOST}:{server.port}/binance")


async def collect(config, market) -> list:
    """Raw records as a user's callback gets them, until there are enough trades; the five connector methods."""
    (slot,) = slots_of(config, "binance")
    exchange = load("binance")
    assert exchange.name == slot.exchange
    async with connectors(config, market, slot, exchange=exchange) as producer:
        connector, seen = producer.connector, []
        connector.add_data_callback(seen.append)
        assert await connector.connect() is True
        await connector.subscribe_orderbook("BTCUSDT")
        await connector.subscribe_trades("BTCUSDT")
        status = connector.get_connection_status()
        assert (status.exchange, status.state) == ("binance", "subscribed")
        async with asyncio.timeout(60):
            while sum(b"@trade" in record.value[:40] for record in seen) < ENOUGH_TRADES:
                await asyncio.sleep(0.1)
        await connector.disconnect()
        return seen


async def test_frames_become_books_trades_heatmaps_and_rows(kafka, database, topic_prefix, market):
    config = configured({**kafka.env, **database.env}, topic_prefix, SYMBOLS="BTCUSDT")
    seen = await collect(config, market)
    in_kafka = read_topic(kafka.bootstrap_servers, f"{topic_prefix}.raw.binance.v1")
    assert [record.value for record in seen] == [record.value for record in in_kafka]

    processor, books, trades = Processor(config), [], []
    for record in seen:
        message = json.loads(record.value)
        if record.kind == "http":
            books.append(
                processor.normalize_orderbook(message, "binance", symbol="BTCUSDT", at=datetime.now(UTC))
            )
        elif "@depth" in message.get("stream", ""):
            before = pytest.raises(
                ProcessingError, match=r"^book\.unproven"
            )  # kept until there is a snapshot
            with nullcontext() if books else before:
                books.append(processor.normalize_orderbook(message, "binance"))
        elif "@trade" in message.get("stream", ""):
            trades.append(processor.normalize_trade(message, "binance"))
    book = books[-1]
    assert all(processor.validate_data(one) for one in (*books, *trades))
    assert not processor.validate_data(replace(book, bids=book.asks, asks=book.bids))
    figures = processor.calculate_metrics(book)
    assert figures.mid_price == pytest.approx((book.bids[0].price + book.asks[0].price) / 2)
    assert -1 <= figures.imbalance <= 1

    engine = Aggregator(config)
    buckets = engine.create_price_buckets(book, 10.0)
    held = sum(Decimal(str(level.size)) for level in book.bids)
    assert sum(buckets.bid_buckets.values()) == pytest.approx(float(held))
    heatmap = engine.update_heatmap("BTCUSDT", buckets)
    assert max(point.intensity for point in heatmap.data) == 1.0
    top = engine.calculate_imbalances(book).top
    bid, ask = book.bids[0].size, book.asks[0].size
    assert top == pytest.approx((bid - ask) / (bid + ask), abs=1e-7)
    merged = engine.aggregate_across_exchanges("BTCUSDT")
    assert (merged.bids[0].price, merged.exchanges) == (book.bids[0].price, ("binance",))

    await stored(config, database, book, trades)


async def stored(config, database, book, trades) -> None:
    """What the StorageManager was given is what SQL, and its own reading methods, give back."""
    storage = TimescaleStorage(config)
    try:
        storage.setup_database_schema()
        assert await storage.store_orderbook(book) is True
        for trade in trades:
            assert await storage.store_trade(trade) is True
        with psycopg.connect(database.dsn) as connection:
            rows = connection.execute("SELECT trade_id, price, size, side FROM trade_events").fetchall()
            (bids,) = connection.execute("SELECT bids FROM order_book_snapshots").fetchone()
        assert {row[0]: (float(row[1]), float(row[2]), row[3]) for row in rows} == {
            trade.trade_id: (trade.price, trade.size, trade.side) for trade in trades
        }
        assert [float(price) for price, _ in bids][:5] == [level.price for level in book.bids][:5]
        first = min(trade.timestamp for trade in trades)
        history = await storage.get_historical_data("BTCUSDT", first, first + timedelta(hours=1))
        assert sum(row["table"] == "trade_events" for row in history) == len(trades)
        latest = await storage.get_latest_data("BTCUSDT")
        assert latest["trade_events"]
    finally:
        storage.close()

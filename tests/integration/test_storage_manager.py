"""StorageManager by the user's signatures, its effects read by plain SQL, and its bond with the sink."""

import inspect
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

import sinks.storage
import sinks.tables
import sinks.writer
from COBY.interfaces import StorageManager
from COBY.models import OrderBookSnapshot, PriceLevel, TradeEvent
from COBY.utils.exceptions import StorageError, ValidationError
from sinks.storage import TimescaleStorage
from sinks.timescale import TimescaleSink
from tests.integration.sink_helpers import Feeder, prepare, query, running, settings

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
BOOK = OrderBookSnapshot(
    symbol="BTCUSDT",
    exchange="binance",
    timestamp=NOON,
    bids=[PriceLevel(price=50000.0, size=1.5), PriceLevel(price=49999.9, size=0.1)],
    asks=[PriceLevel(price=50001.0, size=2.0)],
    sequence_id=42,
)
TRADE = TradeEvent("BTCUSDT", "binance", NOON, 50000.1, 0.00000001, "sell", "t-1")


@pytest.fixture
def storage(database, topic_prefix):
    storage = TimescaleStorage(settings(database, prefix=topic_prefix))
    storage.setup_database_schema()
    yield storage
    storage.close()


async def test_store_orderbook_writes_one_row(storage, database):
    assert await storage.store_orderbook(BOOK) is True
    found = query(
        database.dsn,
        "SELECT symbol, exchange, timestamp, bids, asks, sequence_id, mid_price, spread, bid_volume, ask_volume "
        "FROM order_book_snapshots",
    )
    bids = [["50000.00000000", "1.50000000"], ["49999.90000000", "0.10000000"]]
    asks = [["50001.00000000", "2.00000000"]]
    numbers = (Decimal("50000.5"), Decimal(1), Decimal("1.6"), Decimal(2))
    assert found == [("BTCUSDT", "binance", NOON, bids, asks, 42, *numbers)]


async def test_storing_a_book_again_replaces_its_row(storage, database):
    await storage.store_orderbook(BOOK)
    await storage.store_orderbook(OrderBookSnapshot("BTCUSDT", "binance", NOON, [], BOOK.asks))
    found = query(database.dsn, "SELECT bids, mid_price, bid_volume, ask_volume FROM order_book_snapshots")
    assert found == [([], None, None, Decimal(2))]


async def test_store_trade_writes_one_row_however_often(storage, database):
    assert await storage.store_trade(TRADE) is True
    assert await storage.store_trade(TRADE) is True
    found = query(
        database.dsn, "SELECT symbol, exchange, timestamp, price, size, side, trade_id FROM trade_events"
    )
    assert found == [("BTCUSDT", "binance", NOON, Decimal("50000.1"), Decimal("0.00000001"), "sell", "t-1")]


async def test_historical_data_are_the_rows_of_the_range_oldest_first(storage, database):
    for minute in range(5):
        later = NOON + timedelta(minutes=minute)
        await storage.store_trade(
            TradeEvent("BTCUSDT", "binance", later, 1.0 + minute, 1.0, "buy", str(minute))
        )
    await storage.store_trade(TradeEvent("ETHUSDT", "binance", NOON, 9.0, 1.0, "buy", "other"))
    await storage.store_orderbook(BOOK)
    start, end = NOON, NOON + timedelta(minutes=3)
    rows = await storage.get_historical_data("BTCUSDT", start, end)
    assert [(row["table"], row["timestamp"]) for row in rows] == [
        ("order_book_snapshots", NOON),
        ("trade_events", NOON),
        ("trade_events", NOON + timedelta(minutes=1)),
        ("trade_events", NOON + timedelta(minutes=2)),
    ]
    assert rows[3]["price"] == Decimal(3)
    # Another zone is the same time; the end is excluded.
    zone = timezone(timedelta(hours=2))
    assert await storage.get_historical_data("BTCUSDT", start.astimezone(zone), end.astimezone(zone)) == rows
    with pytest.raises(StorageError) as caught:
        await storage.get_historical_data("BTCUSDT", start, end, limit=3)
    assert caught.value.code == "db.range_too_large"


async def test_naive_times_and_reversed_ranges_are_refused(storage):
    with pytest.raises(ValidationError) as caught:
        await storage.get_historical_data("BTCUSDT", datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001
    assert caught.value.code == "time.naive"
    with pytest.raises(ValidationError) as caught:
        await storage.get_historical_data("BTCUSDT", NOON, NOON)
    assert caught.value.code == "time.invalid"


async def test_latest_data_are_the_newest_of_each_kind(storage):
    assert await storage.get_latest_data("BTCUSDT") == {}
    await storage.store_trade(TRADE)
    await storage.store_trade(
        TradeEvent("BTCUSDT", "kraken", NOON + timedelta(seconds=1), 7.0, 1.0, "buy", "2")
    )
    await storage.store_orderbook(BOOK)
    latest = await storage.get_latest_data("BTCUSDT")
    assert set(latest) == {"trade_events", "order_book_snapshots"}
    assert (latest["trade_events"]["trade_id"], latest["trade_events"]["price"]) == ("2", Decimal(7))
    assert latest["order_book_snapshots"]["sequence_id"] == 42


def test_setting_up_the_schema_twice_changes_nothing(storage, database):
    tables = "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid"
    before = query(database.dsn, tables)
    storage.setup_database_schema()
    assert query(database.dsn, tables) == before


async def test_a_value_that_no_column_takes_is_refused_with_a_code(storage):
    with pytest.raises(StorageError) as caught:
        await storage.store_trade(TradeEvent("S" * 21, "binance", NOON, 1.0, 1.0, "buy", "1"))
    assert caught.value.code == "db.refused"


def test_the_signatures_are_the_users():
    for name in ("store_orderbook", "store_trade", "get_historical_data", "get_latest_data"):
        assert inspect.iscoroutinefunction(getattr(TimescaleStorage, name))
    for name in StorageManager.__abstractmethods__:
        promised = list(inspect.signature(getattr(StorageManager, name)).parameters)
        ours = inspect.signature(getattr(TimescaleStorage, name)).parameters.values()
        assert [item.name for item in ours if item.kind is not item.KEYWORD_ONLY] == promised


async def test_breaking_the_inner_function_breaks_both_the_method_and_the_sink(
    storage, kafka, database, topic_prefix, monkeypatch
):
    """The named methods are the one-item form of what the pipeline calls (DESIGN.md)."""

    class BrokenError(Exception):
        pass

    def broken(*_arguments):
        raise BrokenError

    monkeypatch.setattr(sinks.writer, "copy_rows", broken)  # what write_rows itself calls
    with pytest.raises(BrokenError):
        await storage.store_trade(TRADE)
    with pytest.raises(BrokenError):
        await storage.store_orderbook(BOOK)
    cfg = settings(kafka, database, prefix=topic_prefix)
    prepare(cfg)
    Feeder(cfg).trades(0, 3)
    with running(TimescaleSink, cfg) as run:
        assert isinstance(run.join(), BrokenError)
    assert query(database.dsn, "SELECT count(*) FROM trade_events") == [(0,)]
    assert sinks.storage.write_rows is sinks.writer.write_rows

"""The user's DataProcessor runs on the pipeline's own functions: break one, and both break."""

from datetime import UTC, datetime, timedelta

import pytest

import COBY.metrics
import COBY.processing
import COBY.trades
from COBY.codec import decode
from COBY.config import load_config
from COBY.continuity import RestChain
from COBY.models import OrderBookSnapshot, PriceLevel
from COBY.normalize import NormalizeTask
from COBY.processing import ConnectionProcessor, Processor
from COBY.records import BookTick
from COBY.records import TradeEvent as TradeRecord
from COBY.side import Side
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.raw import START_NS, RawLog, book_body, depth, trade

CONFIG = load_config({})
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = book_body(10, [["100.5", "1"], ["100", "2"]], [["101", "4"]])


@pytest.fixture
def processor():
    return Processor(CONFIG)


def book(bids, asks):
    sides = [tuple(PriceLevel(*level) for level in side) for side in (bids, asks)]
    return OrderBookSnapshot("BTCUSDT", "binance", AT, *sides)


class BrokenError(Exception):
    pass


def broken(*args, **kwargs):
    raise BrokenError


def pipeline():
    log = RawLog()
    log.mark(START_NS)
    log.event(START_NS, "connected")
    log.frame(START_NS + 1, BODY, kind="http", symbol="BTCUSDT")
    log.frame(START_NS + 2, depth(11, 11, [["100.5", "2"]], []))
    log.frame(START_NS + 3, trade(1, "100", "1", START_NS // 10**6))
    log.mark(START_NS + 500_000_000)
    return NormalizeTask(CONFIG, "binance", partition_of(b"binance-0", RAW_PARTITIONS)).process(log.records)


def one_book(processor):
    return processor.normalize_orderbook(BODY, "binance", symbol="BTCUSDT")


def one_delta(processor):
    one_book(processor)
    return processor.normalize_orderbook(depth(11, 11, [], []), "binance")


INNER = {
    "apply": (ConnectionProcessor, "apply", one_book),
    "take": (ConnectionProcessor, "take", one_book),
    "flush": (Side, "flush", one_book),
    "chain": (RestChain, "delta", one_delta),
    "snapshot": (RestChain, "snapshot", one_book),
    "metrics": (COBY.metrics, "metrics", lambda one: one.calculate_metrics(book([(1, 1)], [(2, 1)]))),
    "trade": (None, "trade_event", lambda one: one.normalize_trade(trade(1, "1", "1", 1), "binance")),
}


@pytest.mark.parametrize("name", INNER)
def test_a_broken_inner_function_breaks_the_named_method_and_the_pipeline(processor, monkeypatch, name):
    owner, function, named = INNER[name]
    assert named(processor) is not None
    assert pipeline()
    for module in (COBY.processing, COBY.trades) if owner is None else (owner,):
        monkeypatch.setattr(module, function, broken)
    with pytest.raises(BrokenError):
        named(Processor(CONFIG))
    with pytest.raises(BrokenError):
        pipeline()


def test_a_broken_check_of_numbers_breaks_validation_and_the_pipeline(processor, monkeypatch):
    monkeypatch.setattr("COBY.text.Units.__missing__", broken)
    for module in ("COBY.processing", "COBY.exchanges.binance"):
        monkeypatch.setattr(f"{module}.check_levels", broken)
    with pytest.raises(BrokenError):
        processor.validate_data(book([(1, 1)], []))
    with pytest.raises(BrokenError):
        pipeline()


def test_the_named_methods_and_the_pipeline_say_the_same_of_the_same_frames(processor):
    records = [decode(output.value) for output in pipeline() if output.topic != "dlq"]
    tick = next(one for one in records if isinstance(one, BookTick) and one.live)
    processor.normalize_orderbook(BODY, "binance", symbol="BTCUSDT")
    shown = processor.normalize_orderbook(depth(11, 11, [["100.5", "2"]], []), "binance")
    assert [(level.price, level.size) for level in shown.bids] == [
        (level.price / 10**8, level.size / 10**8) for level in tick.bids
    ]
    figures = processor.calculate_metrics(shown)
    assert (figures.mid_price, figures.imbalance) == (tick.mid_price / 10**8, tick.imbalance / 10**8)
    record = next(one for one in records if isinstance(one, TradeRecord))
    event = processor.normalize_trade(trade(1, "100", "1", START_NS // 10**6), "binance")
    assert (event.price, event.size, event.trade_id) == (
        record.price / 10**8,
        record.size / 10**8,
        record.trade_id,
    )
    assert event.timestamp == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=record.timestamp)

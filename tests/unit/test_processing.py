"""The user's DataProcessor, and that it runs on the pipeline's own functions."""

import inspect
from datetime import UTC, datetime

import pytest

from COBY.config import load_config
from COBY.interfaces import DataProcessor
from COBY.models import OrderBookMetrics, OrderBookSnapshot, PriceLevel, TradeEvent
from COBY.processing import ConnectionProcessor, Processor
from COBY.utils.exceptions import ConfigurationError, ProcessingError, ValidationError
from tests.raw import book_body, depth, trade

CONFIG = load_config({})
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = book_body(10, [["100.5", "1"], ["100", "2"]], [["101", "4"]])


@pytest.fixture
def processor():
    return Processor(CONFIG)


def book(bids, asks):
    sides = [tuple(PriceLevel(*level) for level in side) for side in (bids, asks)]
    return OrderBookSnapshot("BTCUSDT", "binance", AT, *sides)


def deal(price=100.0, size=1.0):
    return TradeEvent("BTCUSDT", "binance", AT, price, size, "buy", "1")


def test_it_is_the_interface_with_further_parameters_keyword_only():
    assert issubclass(Processor, DataProcessor)
    for name in ("normalize_orderbook", "normalize_trade", "validate_data", "calculate_metrics"):
        promised = inspect.signature(getattr(DataProcessor, name)).parameters
        more = list(inspect.signature(getattr(Processor, name)).parameters.values())[len(promised) :]
        assert list(inspect.signature(getattr(Processor, name)).parameters)[: len(promised)] == list(promised)
        assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in more)


# --- normalize_orderbook ------------------------------------------------------------------------------------


def test_a_snapshot_then_its_deltas_give_the_whole_book_each_time(processor):
    first = processor.normalize_orderbook(BODY, "binance", symbol="BTCUSDT", at=AT)
    assert first == OrderBookSnapshot(
        "BTCUSDT",
        "binance",
        AT,
        (PriceLevel(100.5, 1.0), PriceLevel(100.0, 2.0)),
        (PriceLevel(101.0, 4.0),),
        10,
    )
    raw_data = depth(11, 12, [["100.5", "0"], ["99.25", "8"]], [["101", "5"]])
    second = processor.normalize_orderbook(raw_data, "binance")
    assert second.bids == (PriceLevel(100.0, 2.0), PriceLevel(99.25, 8.0))
    assert second.asks == (PriceLevel(101.0, 5.0),)
    assert second.sequence_id == 12
    assert second.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "the frame's own time"


def test_books_of_symbols_are_apart(processor):
    processor.normalize_orderbook(BODY, "binance", symbol="BTCUSDT")
    other = processor.normalize_orderbook(book_body(3, [["5", "1"]], []), "binance", symbol="ETHUSDT")
    assert (other.symbol, other.bids, other.asks) == ("ETHUSDT", (PriceLevel(5.0, 1.0),), ())


@pytest.mark.parametrize(
    ("raw_data", "code"),
    [
        (depth(11, 12, [], []), "book.unproven"),
        (trade(1, "1", "1", 1), "frame.no_book"),
        ({"e": "depthUpdate"}, "frame.shape"),
        (depth(11, 12, [["1", "-1"]], []), "frame.number"),
        ({1: object()}, "frame.json"),
        ({}, "book.unproven"),
    ],
)
def test_what_gives_no_proven_book_is_an_error_with_a_code(processor, raw_data, code):
    with pytest.raises(ProcessingError) as error:
        processor.normalize_orderbook(raw_data, "binance")
    assert error.value.code == code


def test_after_a_gap_there_is_no_book_until_a_snapshot(processor):
    processor.normalize_orderbook(BODY, "binance", symbol="BTCUSDT")
    for raw_data in (depth(20, 21, [], []), depth(22, 22, [], [])):
        with pytest.raises(ProcessingError, match=r"book\.unproven"):
            processor.normalize_orderbook(raw_data, "binance")
    assert (
        processor.normalize_orderbook(BODY | {"lastUpdateId": 19}, "binance", symbol="BTCUSDT").sequence_id
        == 22
    )


def test_a_crossed_book_is_not_returned(processor):
    processor.normalize_orderbook(BODY, "binance", symbol="BTCUSDT")
    with pytest.raises(ProcessingError, match="crossed"):
        processor.normalize_orderbook(depth(11, 11, [["101", "1"]], []), "binance")
    with pytest.raises(ProcessingError, match=r"book\.unproven"):
        processor.normalize_orderbook(depth(12, 12, [["101", "0"]], []), "binance")


def test_an_unlisted_symbol_is_an_error(processor):
    with pytest.raises(ProcessingError, match=r"book\.unproven.*Invalid"):
        processor.normalize_orderbook({"code": -1121, "msg": "Invalid symbol."}, "binance", symbol="NOUSDT")


@pytest.mark.parametrize("method", ["normalize_orderbook", "normalize_trade"])
def test_an_unknown_exchange_is_a_configuration_error(processor, method):
    with pytest.raises(ConfigurationError, match=r"config\.unknown_exchange"):
        getattr(processor, method)({}, "nowhere")


# --- normalize_trade ----------------------------------------------------------------------------------------


def test_a_trade_is_the_public_model(processor):
    raw_data = trade(7, "61837.63000000", "0.00100000", 1_700_000_000_123, sell=True)
    assert processor.normalize_trade(raw_data, "binance") == TradeEvent(
        "BTCUSDT",
        "binance",
        datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC),
        61837.63,
        0.001,
        "sell",
        "7",
    )


@pytest.mark.parametrize(
    ("raw_data", "code"),
    [
        (depth(1, 2, [], []), "frame.no_trade"),
        ({"result": None, "id": 1}, "frame.no_trade"),
        (trade(1, "x", "1", 1), "frame.number"),
        (trade(1, "1", "0", 1), "frame.number"),
        ({"e": "trade", "t": None}, "frame.shape"),
    ],
)
def test_what_is_no_trade_is_an_error_with_a_code(processor, raw_data, code):
    with pytest.raises(ProcessingError) as error:
        processor.normalize_trade(raw_data, "binance")
    assert error.value.code == code


def test_several_trades_in_one_frame_name_the_wide_form(processor, monkeypatch):
    """This exchange sends one trade a frame; others send several."""
    one = ConnectionProcessor.take

    def twice(self, *args):
        return one(self, *args) * 2

    monkeypatch.setattr(ConnectionProcessor, "take", twice)
    with pytest.raises(ProcessingError, match=r"ConnectionProcessor\.take") as error:
        processor.normalize_trade(trade(1, "1", "1", 1), "binance")
    assert error.value.code == "multiple_events"


# --- validate_data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        (deal(), True),
        (deal(size=0.0), False),
        (deal(size=1e-9), True),
        (deal(price=1e-9), False),
        (deal(price=1e12), False),
        (deal(size=1e22), False),
        (book([(100, 1), (99, 2)], [(101, 1)]), True),
        (book([], []), True),
        (book([(100, 0)], []), True),
        (book([(99, 1), (100, 2)], [(101, 1)]), False),
        (book([(99, 1), (99, 2)], []), False),
        (book([], [(102, 1), (101, 1)]), False),
        (book([(101, 1)], [(101, 1)]), False),
        (book([(102, 1)], [(101, 1)]), False),
        (book([(1e12, 1)], []), False),
    ],
)
def test_valid_is_what_the_pipeline_would_take(processor, data, valid):
    assert processor.validate_data(data) is valid


# --- calculate_metrics --------------------------------------------------------------------------------------


def test_metrics_by_hand(processor):
    """Mid (100.5 + 101) / 2, imbalance (3 - 1) / 4, the thinner side fills 1 of 20 levels."""
    figures = processor.calculate_metrics(book([(100.5, 1), (100, 2)], [(101, 1)]))
    assert figures == OrderBookMetrics(100.75, 0.5, 3.0, 1.0, 0.5, 0.05)


def test_metrics_of_half_a_book_say_none(processor):
    assert processor.calculate_metrics(book([(100, 1)], [])) == OrderBookMetrics(
        None, None, 1.0, None, 1.0, 0.0
    )
    assert processor.calculate_metrics(book([], [])) == OrderBookMetrics(None, None, None, None, None, 0.0)


def test_metrics_of_impossible_numbers_are_an_error_with_a_code(processor):
    with pytest.raises(ValidationError, match=r"value\.price"):
        processor.calculate_metrics(book([(1e12, 1)], []))

"""The TimescaleDB sink on real Kafka and TimescaleDB: what comes in is what plain SQL finds, once."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from confluent_kafka import Consumer, TopicPartition

from COBY.codec import encode
from COBY.records import BookTick, Cell, Continuity, Heatmap, Included, Level, Missing, Quality
from sinks.timescale import TimescaleSink
from tests.integration.sink_helpers import (
    SECOND_US,
    START_US,
    Feeder,
    candle,
    dead_letters,
    gap,
    prepare,
    query,
    running,
    settings,
    settled,
    trade,
    until,
)

START = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)  # START_US, by `date -u -d @1790000000`


@pytest.fixture
def cfg(kafka, database, topic_prefix):
    cfg = settings(kafka, database, prefix=topic_prefix)
    prepare(cfg)
    return cfg


@pytest.fixture
def feeder(cfg):
    return Feeder(cfg)


def book(time_us: int, live: bool = True) -> BookTick:
    return BookTick(
        symbol="BTCUSDT",
        exchange="binance",
        timestamp=time_us,
        live=live,
        reason=None if live else "stale",
        conn="c1" if live else None,
        sequence_id=77 if live else None,
        bids=[Level(10_000_000_000, 50_000_000), Level(9_900_000_000, 1)] if live else [],
        asks=[Level(10_100_000_000, 123_456_789)] if live else [],
        bucket_size=1_000_000_000,
        bid_buckets=[],
        ask_buckets=[],
        covered_low=None,
        covered_high=None,
        mid_price=10_050_000_000 if live else None,
        spread=100_000_000 if live else None,
        bid_volume=50_000_001 if live else None,
        ask_volume=123_456_789 if live else None,
        imbalance=0 if live else None,
        quality=0,
        bars=[],
    )


def heatmap(time_us: int) -> Heatmap:
    return Heatmap(
        symbol="BTCUSDT",
        timestamp=time_us,
        bucket_size=1_000_000_000,
        data=[Cell(10_000_000_000, 5, 100_000_000, "bid", 1), Cell(10_000_000_000, 3, 60_000_000, "ask", 2)],
        covered_low=9_000_000_000,
        covered_high=11_000_000_000,
        exchanges=[Included("binance", None, None)],
        missing=[Missing("kraken", "stale")],
    )


def test_every_trade_becomes_one_row_with_its_exact_numbers(cfg, database, feeder):
    feeder.trades(0, 2_345)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 2_345), run=run)
    found = query(
        database.dsn, "SELECT count(*), sum(size), min(timestamp), max(timestamp) FROM trade_events"
    )
    size = Decimal(2_345 * 2_346 // 2).scaleb(-8)
    assert found == [(2_345, size, START, START + timedelta(milliseconds=2_344))]
    row = query(
        database.dsn,
        "SELECT symbol, exchange, price, size, side, trade_id, received_at, position FROM trade_events "
        "WHERE trade_id = '99'",
    )
    received = START + timedelta(milliseconds=99, microseconds=7)
    price, size = Decimal("61837.63000000"), Decimal("0.00000100")
    assert row == [("BTCUSDT", "binance", price, size, "buy", "99", received, "99:0")]


def test_live_books_are_stored_at_the_store_interval_only(cfg, database, feeder):
    half = SECOND_US // 2
    for number in range(5):
        feeder.send(book(START_US + number * half, live=number != 2), f"{number}:0")
    feeder.flush()
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "book", 5), run=run)
    rows = query(
        database.dsn,
        "SELECT timestamp, bids, asks, sequence_id, mid_price, spread, bid_volume, ask_volume, received_at, position "
        "FROM order_book_snapshots ORDER BY timestamp",
    )
    bids = [["100.00000000", "0.50000000"], ["99.00000000", "0.00000001"]]
    asks = [["101.00000000", "1.23456789"]]
    numbers = (Decimal("100.5"), Decimal("1"), Decimal("0.50000001"), Decimal("1.23456789"))
    second = timedelta(seconds=1)
    assert rows == [
        (START, bids, asks, 77, *numbers, START, "0:0"),
        (START + 2 * second, bids, asks, 77, *numbers, START + 2 * second, "4:0"),
    ]


def test_a_heatmap_becomes_cells_and_one_tick_row(cfg, database, feeder):
    feeder.send(heatmap(START_US), f"{START_US}:0", "aggregate/BTCUSDT")
    feeder.send(heatmap(START_US + SECOND_US // 2), f"{START_US + SECOND_US // 2}:0", "aggregate/BTCUSDT")
    feeder.flush()
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "heatmap", 2), run=run)
    cells = query(
        database.dsn,
        "SELECT timestamp, bucket_size, price_bucket, volume, side, exchange_count FROM heatmap_data ORDER BY side",
    )
    ten, price = Decimal("10.00"), Decimal("100.00000000")
    assert cells == [
        (START, ten, price, Decimal("0.00000003"), "ask", 2),
        (START, ten, price, Decimal("0.00000005"), "bid", 1),
    ]
    ticks = query(
        database.dsn, "SELECT timestamp, exchanges, missing, covered_low, covered_high FROM heatmap_ticks"
    )
    included = [{"exchange": "binance", "covered_low": None, "covered_high": None}]
    assert ticks == [(START, included, {"kraken": "stale"}, Decimal("90"), Decimal("110"))]


def test_a_candle_gives_way_to_an_equal_or_higher_revision_only(cfg, database, feeder):
    source = "aggregate/BTCUSDT"
    with running(TimescaleSink, cfg) as run:
        for step, (revision, close) in enumerate([(0, 200), (2, 220), (1, 210), (2, 222)], start=1):
            feeder.send(candle(revision=revision, close=close), f"{step}:0", source)
            feeder.flush()
            until(
                lambda step=step: settled(database.dsn, "ohlcv", step), run=run
            )  # each in a batch of its own
    found = query(database.dsn, "SELECT revision, close_price, position, complete FROM ohlcv_data")
    assert found == [(2, Decimal("0.00000222"), "4:0", True)]


def test_revisions_within_one_batch_keep_the_highest(cfg, database, feeder):
    for step, (revision, close) in enumerate([(0, 200), (2, 220), (1, 210)]):
        feeder.send(candle(revision=revision, close=close), f"{step}:0", "aggregate/BTCUSDT")
    feeder.flush()
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "ohlcv", 3), run=run)
    assert query(database.dsn, "SELECT revision, close_price FROM ohlcv_data") == [(2, Decimal("0.00000220"))]


def test_the_closing_gap_record_completes_the_row_of_the_opening_one(cfg, database, feeder):
    with running(TimescaleSink, cfg) as run:
        feeder.send(gap(), "1:0")
        feeder.flush()
        until(lambda: settled(database.dsn, "gap", 1), run=run)
        assert query(database.dsn, "SELECT until_time FROM gaps") == [(None,)]
        feeder.send(gap(until_time=START_US + SECOND_US, timestamp=START_US + SECOND_US), "9:0")
        feeder.flush()
        until(lambda: settled(database.dsn, "gap", 2), run=run)
    found = query(database.dsn, "SELECT from_time, until_time, reason, conn, detail, received_at FROM gaps")
    later = START + timedelta(seconds=1)
    assert found == [(START, later, "sequence_gap", "c1", "expected 5, found 7", later)]


def test_a_gap_that_opens_again_at_the_same_stream_time_is_open_in_the_table(cfg, database, feeder):
    with running(TimescaleSink, cfg) as run:
        for number, end in enumerate((None, START_US, None)):
            feeder.send(gap(until_time=end), f"{number + 9}:0")  # 9 before 10: numbers, not texts
            feeder.flush()
            until(lambda number=number: settled(database.dsn, "gap", number + 1), run=run)
    assert query(database.dsn, "SELECT until_time, position FROM gaps") == [(None, "11:0")]


def test_quality_is_stored_whole(cfg, database, feeder):
    counts = (95, 5, 1, 2, 3, 4, 5_000_000, 6, 7, 8, 9, -10)
    record = Quality("BTCUSDT", "binance", START_US, 95_000_000, 100_000_000, 95_000_000, *counts)
    feeder.send(record, "1:0")
    feeder.flush()
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "quality", 1), run=run)
    found = query(
        database.dsn,
        "SELECT timestamp, score, coverage, accepted, events, rejected, duplicates, anomalies, gaps, crossed_ticks, "
        "blind_us, crossed_us, checksum_failures, skewed, clamped, clock_skew_us FROM quality",
    )
    assert found == [(START, Decimal("0.95"), Decimal(1), Decimal("0.95"), *counts)]


def test_an_interval_grows_its_row_until_it_ends(cfg, database, feeder):
    later, head = START_US + 2 * SECOND_US, ("BTCUSDT", "binance")
    with running(TimescaleSink, cfg) as run:
        feeder.send(Continuity(*head, later, START_US, START_US, "snapshot", 0, 0, 1, "c1", 1, None), "1:0")
        feeder.flush()
        until(lambda: settled(database.dsn, "continuity", 1), run=run)
        feeder.send(Continuity(*head, later, START_US, later, "both", 7, 3, 2, "c2", 2, "stale"), "2:0")
        feeder.flush()
        until(lambda: settled(database.dsn, "continuity", 2), run=run)
    end = START + timedelta(seconds=2)
    expected = (*head, START, end, "both", 7, 3, 2, "c2", 2, "stale", end, "2:0")
    assert query(database.dsn, "SELECT * FROM continuity") == [expected]


def test_records_written_again_with_their_positions_are_dropped(cfg, database, feeder):
    feeder.trades(0, 50)
    # A repeat with another content would show, were it not dropped by its position.
    feeder.send(trade(10, size=999), "10:0")
    feeder.send(trade(49, size=999), "49:0")
    feeder.trades(50, 60)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 62), run=run)
    with running(TimescaleSink, cfg) as run:  # positions are part of what is stored: a restart remembers them
        feeder.send(trade(59, size=999), "59:0")
        feeder.trades(60, 61)
        until(lambda: settled(database.dsn, "trade", 64), run=run)
    found = query(database.dsn, "SELECT count(*), sum(size) FROM trade_events")
    assert found == [(61, Decimal(61 * 62 // 2).scaleb(-8))]


def test_what_cannot_be_read_goes_to_the_dead_letters_once_and_nothing_stops(cfg, database, feeder):
    good = encode(trade(1))
    feeder.raw("trade", None, "1:0")
    feeder.raw("trade", b"\0\0\0\x03\xe7rest", "2:0")
    feeder.raw("trade", good[:-4], "3:0")
    feeder.raw("trade", b"{}", "4:0")
    feeder.raw("trade", encode(candle()), "5:0")
    feeder.raw("trade", good, None)
    feeder.raw("trade", good, "seven")
    feeder.trades(10, 20)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 17), run=run)
        shown = run.metrics.registry.get_sample_value
        labels = {"stage": "timescale", "code": "reader.no_position"}
        assert shown("coby_dead_letters_total", labels) == 2
    letters = dead_letters(cfg)
    assert [(message.value(), headers["code"]) for message, headers in letters] == [
        (None, "codec.null"),
        (b"\0\0\0\x03\xe7rest", "codec.unknown_schema"),
        (good[:-4], "codec.broken"),
        (b"{}", "codec.format"),
        (encode(candle()), "codec.wrong_schema"),
        (good, "reader.no_position"),
        (good, "reader.no_position"),
    ]
    message, headers = letters[0]
    assert message.key() == b"BTCUSDT"
    assert headers["stage"] == "timescale"
    assert headers["topic"] == f"{cfg.topic_prefix}.trade.v1"
    assert (headers["offset"], headers["position"]) == ("0", "1:0")
    assert headers["detail"]
    assert query(database.dsn, "SELECT count(*) FROM trade_events") == [(10,)]


def test_a_row_the_database_refuses_is_isolated_and_the_others_are_stored(cfg, database, feeder):
    for number in range(40):
        more = {7: {"trade_id": "x" * 101}, 21: {"symbol": "S" * 21}, 33: {"trade_id": "nul\0"}}.get(
            number, {}
        )
        feeder.send(trade(number, **more), f"{number}:0")
    feeder.flush()
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 40), run=run)
        feeder.trades(40, 45)
        until(lambda: settled(database.dsn, "trade", 45), run=run)
        labels = {"stage": "timescale", "topic": "trade_events"}
        assert run.metrics.registry.get_sample_value("coby_outputs_total", labels) == 42
    stored = {int(row[0]) for row in query(database.dsn, "SELECT trade_id FROM trade_events")}
    assert stored == set(range(45)) - {7, 21, 33}
    codes = sorted(headers["code"] for _, headers in dead_letters(cfg))
    assert codes == ["db.22001", "db.22001", "db.value"]


def test_committed_offsets_follow_what_is_stored(cfg, database, feeder):
    feeder.trades(0, 30)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 30), run=run)
    topic = f"{cfg.topic_prefix}.trade.v1"
    group = {"group.id": f"{cfg.topic_prefix}-timescale", "enable.auto.commit": False}
    consumer = Consumer({**cfg.kafka_client_settings(), **group})
    asked = [TopicPartition(topic, number) for number in range(12)]
    try:
        offsets = [item.offset for item in consumer.committed(asked, timeout=60)]
    finally:
        consumer.close()
    assert sorted(offsets) == [0] * 11 + [30]  # all of them: a lag display shows every partition


def test_records_that_retention_took_before_they_were_stored_leave_a_gap_row(cfg, database, feeder, kafka):
    feeder.trades(0, 30)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 30), run=run)
    feeder.trades(30, 50)
    topic, number = query(database.dsn, "SELECT topic, partition FROM sink_progress WHERE next_offset > 0")[0]
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(kafka.env and {"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.delete_records([TopicPartition(topic, number, 45)]).values():
        done.result(timeout=60)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 50), run=run)
    assert query(database.dsn, "SELECT count(*) FROM trade_events") == [(35,)]
    found = query(database.dsn, "SELECT symbol, exchange, reason, detail, until_time > from_time FROM gaps")
    detail = f"{topic}/{number}: offsets 30 to 44 were gone before stored"
    assert found == [("*", f"trade/{number}", "retention", detail, True)]


def test_positions_are_kept_beside_the_offset_they_belong_to(cfg, database, feeder):
    feeder.trades(0, 5)
    feeder.send(trade(900, exchange="kraken"), "17:3", "raw.kraken.v1/2")
    feeder.flush()
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 6), run=run)
    found = query(
        database.dsn, "SELECT next_offset, positions::text FROM sink_progress WHERE next_offset > 0"
    )
    assert [(offset, json.loads(text)) for offset, text in found] == [
        (6, {"raw.binance.v1/0": "4:0", "raw.kraken.v1/2": "17:3"})
    ]

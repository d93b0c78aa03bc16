"""Stream time, what a tick holds, positions, times, quality: normalize by records made by hand."""

from collections import Counter

import pytest

from COBY.records import BookTick, Gap, Quality, TradeEvent
from COBY.stage import header, parse_position
from COBY.topics import partition_of
from tests.normalize_log import ASKS, BIDS, CONFIG, Log, U, at, of, run, started, task, ticks, us
from tests.raw import RawLog, book_body, depth, trade


def test_before_the_first_mark_there_is_no_tick_and_time_stands_at_the_first_record():
    log = RawLog()
    for number, seconds in enumerate((0, 1, 7)):
        log.frame(at(seconds), trade(number, "1", "1", at(seconds) // 10**6))
    found = run(log)
    assert of(found, BookTick) == []
    assert [one.received_at for one in of(found, TradeEvent)] == [us(0)] * 3


@pytest.mark.parametrize("ahead", [7200, -7200])
def test_the_first_mark_sets_time_even_backwards(ahead):
    log = RawLog()
    log.event(at(ahead), "connected")
    log.frame(at(ahead), book_body(10, BIDS, ASKS), kind="http", symbol="BTCUSDT")
    log.mark(at(0))
    log.mark(at(0.5))
    found = run(log)
    assert ticks(found) == {0.5: (True, None)}, "neither all the ticks between, nor a gap"
    assert of(found, Gap) == []


def test_a_producer_that_dies_after_a_wrong_clock_before_the_first_mark_is_noticed_all_the_same():
    log = RawLog()
    log.event(at(7200), "connected")
    log.frame(at(7200), book_body(10, BIDS, ASKS), kind="http", symbol="BTCUSDT")
    for number in range(8):
        log.mark(at(number / 2))
    assert ticks(run(log))[2.5] == (False, "producer_lost")


def test_received_moves_time_as_marks_do():
    log = started()
    log.ws(0.7, depth(11, 11, [], []))
    assert list(ticks(run(log))) == [0.5]


def test_a_clock_ahead_is_clamped_to_a_second_after_the_newest_mark_and_counted():
    log, one = started(), task()
    log.ws(7200, trade(1, "1", "1", at(0) // 10**6))
    found = run(log, one=one)
    assert list(ticks(found)) == [0.5, 1.0]
    assert of(found, TradeEvent)[0].received_at == us(1.0)
    assert one.counters()["clock_skew",] == 1


def test_a_clock_behind_does_not_stop_or_turn_time():
    log = started()
    log.beat(1.0)
    log.ws(-7200, trade(1, "1", "1", at(0) // 10**6))
    log.mark(at(0.5))
    log.beat(1.5)
    found = run(log)
    assert list(ticks(found)) == [0.5, 1.0, 1.5]
    assert of(found, TradeEvent)[0].received_at == us(1.0)


def test_a_tick_is_the_book_before_the_first_record_that_reaches_it():
    log = started()
    log.ws(0.4999, depth(11, 11, [["100.50", "1"]], []))
    log.ws(0.5, depth(12, 12, [["100.60", "1"]], []))
    log.beat(1.0)
    best = [one.bids[0].price for one in of(run(log), BookTick)]
    assert best == [10050 * U // 100, 10060 * U // 100]


def test_after_a_jump_of_more_than_two_seconds_only_the_newest_tick_comes_with_a_gap():
    log = started()
    log.mark(at(2.0))
    log.mark(at(4.4))
    found = run(log)
    assert list(ticks(found)) == [0.5, 1.0, 1.5, 2.0, 4.0]
    (jump,) = [gap for gap in of(found, Gap) if gap.reason == "time_jump"]
    assert (jump.from_time, jump.until_time, jump.timestamp) == (us(2.0), us(4.4), us(4.4))


def test_ticks_come_for_every_symbol_of_the_slots_also_blind():
    log = started()
    log.beat(0.5)
    found = run(log, CONFIG)
    assert ticks(found, "BTCUSDT") == {0.5: (True, None)}
    assert ticks(found, "ETHUSDT") == {0.5: (False, "never_connected")}


def test_a_tick_by_hand():
    log = started()
    log.ws(0.2, depth(11, 12, [["95.00", "0"], ["88.00", "4"]], [["105.50", "0.5"], ["121.00", "9"]]))
    log.ws(0.3, trade(1, "100.00", "0.25", at(0.25) // 10**6))
    log.ws(0.3, trade(2, "102.00", "0.50", at(0.3) // 10**6))
    log.beat(0.5)
    (tick,) = of(run(log), BookTick)
    assert (tick.exchange, tick.conn, tick.sequence_id, tick.live) == ("binance", "c1", 12, True)
    assert [(level.price, level.size) for level in tick.bids] == [(100 * U, U), (88 * U, 4 * U)]
    assert [level.price for level in tick.asks] == [101 * U, 10550 * U // 100, 121 * U]
    assert (tick.bucket_size, tick.covered_low, tick.covered_high) == (10 * U, None, None)
    assert [(one.price // U, one.volume) for one in tick.bid_buckets] == [(100, U), (80, 4 * U)]
    assert [(one.price // U, one.volume) for one in tick.ask_buckets] == [(100, 35 * U // 10), (120, 9 * U)]
    assert (tick.mid_price, tick.spread) == (10050 * U // 100, U)
    assert (tick.bid_volume, tick.ask_volume) == (5 * U, 125 * U // 10)
    assert tick.imbalance == round(-75 * U / 175)
    assert tick.quality == 2 * U // 20
    (bar,) = tick.bars
    assert (bar.timestamp, bar.volume, bar.trade_count) == (us(0), 3 * U // 4, 2)
    assert (bar.open, bar.close) == (100 * U, 102 * U)


def test_a_blind_tick_states_nothing_but_its_reason_and_the_trades():
    log = Log()
    log.event(at(0.1), "connected")
    log.ws(0.2, trade(1, "100", "1", at(0.2) // 10**6))
    log.beat(0.5)
    (tick,) = of(run(log), BookTick)
    assert (tick.live, tick.reason, tick.conn) == (False, "never_connected", None)
    assert (tick.bids, tick.asks, tick.bid_buckets, tick.ask_buckets) == ([], [], [], [])
    assert (tick.mid_price, tick.bid_volume, tick.covered_low, tick.quality) == (None, None, None, 0)
    assert tick.bars[0].trade_count == 1


def test_positions_are_offset_and_index_under_the_source_and_rise():
    log = started()
    log.beat(1.0)
    outputs = task(CONFIG).process(log.records)
    positions = [parse_position(header(one.headers, "position")) for one in outputs]
    assert positions == sorted(set(positions))
    assert {header(one.headers, "source") for one in outputs} == {
        f"raw.binance.v1/{partition_of(b'binance-0', 4)}".encode()
    }
    assert {header(one.headers, "settings") for one in outputs} == {CONFIG.settings_hash.encode()}
    per_offset = Counter(first for first, _ in positions)
    assert [index for _, index in positions] == [
        index for count in per_offset.values() for index in range(count)
    ]


def test_kafkas_time_is_t_for_ticks_and_stream_time_for_trades_and_gaps():
    log = started()
    log.ws(0.6, trade(1, "1", "1", 5))
    log.ws(0.7, depth(99, 99, [], []))
    log.beat(1.0)
    times = {}
    for output in task().process(log.records):
        times.setdefault(output.topic, []).append(output.timestamp_ms - at(0) // 10**6)
    assert times == {"book": [500, 1000], "trade": [600], "gap": [700], "continuity": [700], "control": [700]}


def test_the_quality_of_a_minute_by_hand():
    """The minute ends at 40 s: 80 ticks, 20 of them blind; 3 events, 4 faults. Of each kind: test_quality.py."""
    log = started()
    log.beat(9.5, "c1")
    log.ws(9.6, b"broken")
    log.skip_seq()
    log.event(at(9.7), "alive")
    log.beat(19.5, "c1")
    log.body(19.6, 10)
    log.ws(19.7, depth(11, 11, [], [], ms=at(19.7) // 10**6))
    for number in (1, 1, 2):
        log.ws(19.8, trade(number, "100" if number == 1 else "150", "1", at(19.8) // 10**6))
    log.beat(40.5, "c1")
    (one,) = of(run(log), Quality)
    assert one.timestamp == us(40) == (us(0) // 60_000_000 + 1) * 60_000_000
    assert (one.coverage, one.accepted) == (75 * U // 100, 75 * U // 100)
    assert one.score == 32_142_857  # 3/4 * 3/7
    assert (one.events, one.rejected, one.duplicates, one.anomalies, one.gaps, one.crossed_ticks) == (
        3,
        1,
        1,
        1,
        1,
        0,
    )

"""One raw partition in, records out: the whole of normalize, by records made by hand."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.codec import decode
from COBY.config import load_config
from COBY.normalize import NormalizeTask
from COBY.records import BookTick, Gap, Quality, Resync, TradeEvent
from COBY.stage import StoredRecord, header, parse_position
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.raw import GRID_NS, START_NS, RawLog, book_body, depth, recording_log, trade

CONFIG = load_config({"SYMBOLS": "BTCUSDT,ETHUSDT", "HEATMAP_DEPTH": "3"})
ONE = load_config({"SYMBOLS": "BTCUSDT", "HEATMAP_DEPTH": "3"})
SECOND_NS = 1_000_000_000
U = 10**8
BIDS, ASKS = [["100.00", "1"], ["95.00", "2"]], [["101.00", "3"]]


def task(config=ONE):
    return NormalizeTask(config, "binance", partition_of(b"binance-0", RAW_PARTITIONS))


def run(log, config=ONE, one=None):
    """The records that a log leads to, dead letters as their outputs."""
    found = []
    for output in (one or task(config)).process(log.records):
        found.append(output if output.topic == "dlq" else decode(output.value))
    return found


def of(found, kind, symbol="BTCUSDT"):
    return [record for record in found if isinstance(record, kind) and getattr(record, "symbol", symbol) == symbol]


def dead(found):
    return [header(one.headers, "code").decode() for one in found if hasattr(one, "topic")]


def at(seconds):
    return START_NS + round(seconds * SECOND_NS)


def us(seconds):
    return at(seconds) // 1000


class Log(RawLog):
    """Times in seconds since START; `beat` marks each grid point up to a time, with signs of life."""

    def __init__(self):
        super().__init__()
        self.passed = 0.0
        self.mark(at(0))

    def beat(self, until, *conns):
        while self.passed + 0.5 <= until:
            self.passed += 0.5
            for conn in conns:
                self.event(at(self.passed - 0.01), "alive", conn)
            self.mark(at(self.passed))

    def ws(self, seconds, value, conn="c1"):
        self.frame(at(seconds), value, conn)

    def body(self, seconds, last, bids=BIDS, asks=ASKS, conn="c1", symbol="BTCUSDT"):
        self.frame(at(seconds), book_body(last, bids, asks), conn, "http", symbol=symbol)

    def live(self, conn="c1", last=10, seconds=0.1):
        self.event(at(seconds), "connected", conn)
        self.body(seconds, last, conn=conn)


def started(conn="c1"):
    log = Log()
    log.live(conn)
    return log


def ticks(found, symbol="BTCUSDT"):
    """T in seconds since START -> (live, reason)."""
    return {(one.timestamp - us(0)) / 1e6: (one.live, one.reason) for one in of(found, BookTick, symbol)}


# --- stream time --------------------------------------------------------------------------------------------------------


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


# --- what a tick holds --------------------------------------------------------------------------------------------------


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


# --- blindness ----------------------------------------------------------------------------------------------------------


def test_two_seconds_without_a_record_are_a_lost_producer_until_the_next_frame_that_continues():
    log = started()
    log.beat(2.5)
    log.event(at(2.6), "alive")
    log.beat(3.0)
    log.ws(3.1, depth(11, 11, [], []))
    log.beat(3.5)
    found = run(log)
    state = ticks(found)
    assert state[2.0] == (True, None), "1.9 s"
    assert [state[T] for T in (2.5, 3.0)] == [(False, "producer_lost")] * 2, "alive alone proves no book"
    assert state[3.5] == (True, None)
    opened, closed = of(found, Gap)
    assert (opened.reason, opened.from_time, opened.until_time, opened.conn) == ("producer_lost", us(0.1), None, "c1")
    assert (closed.from_time, closed.until_time, closed.reason) == (us(0.1), us(3.1), "producer_lost")
    assert of(found, Resync) == [], "a new snapshot would not help"


def test_exactly_two_seconds_are_two_seconds():
    log = Log()
    log.live(seconds=0.5)
    log.beat(2.5)
    assert ticks(run(log))[2.0] == (True, None)
    assert ticks(run(log))[2.5] == (False, "producer_lost")


def test_a_minute_without_a_frame_is_stale_though_the_producer_lives():
    log = started()
    log.beat(60.5, "c1")
    log.ws(60.6, depth(11, 11, [], []))
    log.beat(61.0, "c1")
    state = ticks(run(log))
    assert state[60.0] == (True, None)
    assert state[60.5] == (False, "stale")
    assert state[61.0] == (True, None)


def test_a_disconnected_connection_leaves_the_symbol_blind():
    log = started()
    log.event(at(0.6), "disconnected")
    log.beat(1.0)
    found = run(log)
    assert ticks(found) == {0.5: (True, None), 1.0: (False, "disconnected")}
    (gap,) = of(found, Gap)
    assert (gap.reason, gap.from_time, gap.timestamp) == ("disconnected", us(0.1), us(0.6))


def test_a_lost_sequence_is_blind_until_a_snapshot_and_asks_for_it_naming_the_connection():
    log = started()
    log.ws(0.6, depth(12, 13, [], []))
    log.beat(1.0)
    log.ws(1.1, depth(14, 15, [["99.00", "5"]], []))
    log.body(1.2, 12)
    log.beat(1.5)
    found = run(log)
    assert ticks(found) == {0.5: (True, None), 1.0: (False, "sequence_gap"), 1.5: (True, None)}
    (resync,) = of(found, Resync)
    assert (resync.exchange, resync.slot, resync.conn, resync.reason, resync.timestamp) == (
        "binance",
        "binance-0",
        "c1",
        "sequence_gap",
        us(0.6),
    )
    opened, closed = of(found, Gap)
    assert "expected 11, got 12" in opened.detail
    assert (closed.until_time, closed.from_time) == (us(1.2), us(0.1))
    assert of(found, BookTick)[-1].sequence_id == 15


def test_a_crossed_book_is_found_at_the_tick_and_shown_to_nobody():
    log = started()
    log.ws(0.2, depth(11, 11, [["101.00", "1"]], []))
    log.beat(1.0, "c1")
    found = run(log)
    assert ticks(found) == {0.5: (False, "crossed"), 1.0: (False, "crossed")}
    assert [one.reason for one in of(found, Resync)] == ["crossed"]
    assert of(found, Gap)[0].reason == "crossed"


@pytest.mark.parametrize("hole", ["seq", "dropped", "oversize", "null", "headers"])
def test_records_missing_from_a_connection_make_its_books_doubtful(hole):
    log = started()
    if hole == "seq":
        log.skip_seq()
    elif hole == "null":
        log.ws(0.2, None)
    elif hole == "headers":
        log.ws(0.2, b"{}")
        log.records[-1] = log.records[-1]._replace(headers=[("seq", b"3")])
    else:
        log.event(at(0.2), hole, from_seq=3, to_seq=9)
    log.ws(0.3, depth(11, 11, [], []))
    log.beat(0.5)
    found = run(log)
    assert ticks(found) == {0.5: (False, "sequence_gap")}
    assert [one.reason for one in of(found, Resync)] == ["sequence_gap"]


def test_resync_requests_are_rate_limited_and_repeated_while_nothing_comes():
    log = started()
    log.beat(1.0, "c1")
    for number in range(40):  # each a new gap, within two seconds
        log.skip_seq()
        log.ws(1.0 + number / 20, depth(100 + 2 * number, 100 + 2 * number, [], []))
    log.passed = 3.0
    log.mark(at(3.0))
    log.beat(20.0, "c1")
    asked = [(one.timestamp - us(0)) / 1e6 for one in of(run(log), Resync)]
    assert asked[:2] == [1.0, 2.0], "a broken sequence asks at most once a second"
    assert asked[2:] == [7.0, 12.0, 17.0], "a book that waits asks again every five seconds"


def test_nobody_is_asked_on_a_connection_that_is_dead():
    log = started()
    log.ws(0.2, depth(20, 20, [], []))
    log.beat(30.0)
    assert len(of(run(log), Resync)) == 1


def test_a_late_body_that_nobody_waits_for_asks_for_nothing():
    log = started()
    log.ws(0.2, depth(11, 20, [], []))
    log.body(0.3, 15)
    log.beat(1.0, "c1")
    found = run(log)
    assert of(found, Resync) == []
    assert [one.sequence_id for one in of(found, BookTick)] == [20, 20]


def test_a_limited_book_near_its_edge_asks_for_a_snapshot_and_stays_live():
    log = Log()
    log.event(at(0.1), "connected")
    url = "https://x/api/v3/depth?symbol=BTCUSDT&limit=2"
    body = book_body(10, [["100", "1"], ["90", "1"]], [["101", "1"], ["111", "1"]])
    log.frame(at(0.1), body, kind="http", url=url)
    log.ws(0.2, depth(11, 11, [["100", "0"], ["91", "1"]], []))
    log.beat(6.0, "c1")
    log.ws(6.1, depth(12, 12, [], []))
    log.frame(at(6.2), book_body(11, [["91", "1"], ["70", "1"]], [["101", "1"], ["111", "1"]]), kind="http", url=url)
    log.beat(20.0, "c1")
    found = run(log)
    assert [(one.reason, (one.timestamp - us(0)) / 1e6) for one in of(found, Resync)] == [("coverage", 4.5)]
    assert all(live for live, _ in ticks(found).values())
    assert of(found, BookTick)[-1].covered_low == 70 * U
    assert of(found, BookTick)[-1].sequence_id == 12, "what was held was joined"


def test_a_refused_or_unlisted_symbol_is_not_listed_and_nobody_is_asked():
    log = Log()
    log.event(at(0.1), "connected")
    log.frame(at(0.2), {"code": -1121, "msg": "Invalid symbol."}, kind="http", symbol="BTCUSDT")
    log.event(at(0.2), "refused", symbol="ETHUSDT", reason="no")
    log.beat(20.0, "c1")
    found = run(log, CONFIG)
    assert ticks(found, "BTCUSDT")[20.0] == ticks(found, "ETHUSDT")[20.0] == (False, "not_listed")
    assert [one for one in found if isinstance(one, Resync)] == []


def test_a_symbol_configured_as_not_listed_has_blind_ticks_and_needs_no_connection():
    config = load_config({"SYMBOLS": "BTCUSDT", "BINANCE_SYMBOL_BTCUSDT": "-"})
    log = started()
    log.ws(0.2, trade(1, "1", "1", 1))
    log.ws(0.2, depth(1, 1, [], []))
    log.beat(0.5)
    found = run(log, config)
    assert ticks(found) == {0.5: (False, "not_listed")}
    assert dead(found) == ["frame.unknown_symbol"] * 3


# --- several connections ------------------------------------------------------------------------------------------------


def shown(found):
    return [one.conn for one in of(found, BookTick)]


def test_the_second_connection_takes_over_once_proven_and_gives_way_at_once_when_broken():
    log = started("c1")
    log.beat(0.5)
    log.event(at(0.6), "connected", "c2")
    log.beat(1.0)
    log.body(1.1, 20, conn="c2")
    log.beat(1.5)
    log.ws(1.6, depth(99, 99, [], []), "c2")
    log.ws(1.6, depth(11, 11, [], []), "c1")
    log.beat(2.0)
    found = run(log)
    assert shown(found) == ["c1", "c1", "c2", "c1"]
    assert of(found, Gap) == [], "never blind"


def test_a_connection_without_records_gives_way_to_an_older_one():
    log = started("c1")
    log.live("c2", 50, 0.2)
    log.beat(3.0, "c1")
    assert shown(run(log)) == ["c2", "c2", "c2", "c2", "c1", "c1"]


def test_a_crossed_connection_gives_way():
    log = started("c1")
    log.live("c2", 50, 0.2)
    log.ws(0.3, depth(51, 51, [["150", "1"]], []), "c2")
    log.beat(0.5)
    found = run(log)
    assert shown(found) == ["c1"]
    assert [(one.conn, one.reason) for one in of(found, Resync)] == [("c2", "crossed")]


def test_trades_of_two_connections_count_once():
    log = started("c1")
    log.live("c2", 50, 0.2)
    for number in range(5):
        for conn in ("c1", "c2") if number % 2 else ("c2", "c1"):
            log.ws(0.3, trade(number, "100", "1", at(0.3) // 10**6), conn)
    log.beat(0.5)
    found = run(log)
    assert [one.trade_id for one in of(found, TradeEvent)] == ["0", "1", "2", "3", "4"]
    assert of(found, BookTick)[0].bars[0].volume == 5 * U


def test_there_are_at_most_three_and_one_that_had_to_go_can_not_push_out_the_others():
    log = Log()
    for number, conn in enumerate(["c1", "c2", "c3", "c4"]):
        log.live(conn, 10 * (number + 1), 0.1)
    for turn in range(8):
        for conn in ("c1", "c2", "c3", "c4"):
            log.event(at(0.2 + turn / 2), "alive", conn)
        log.beat((turn + 1) / 2)
    assert set(shown(run(log))) == {"c4"}


def test_a_name_used_anew_by_another_socket_begins_anew():
    """As when two recordings are fed one after the other: the second must not be taken for a repetition."""
    log = started("feed-0")
    log.ws(0.2, trade(1, "100", "1", at(0.2) // 10**6), "feed-0")
    log._seq.clear()
    log.live("feed-0", 70, 0.3)
    log.ws(0.4, trade(2, "100", "1", at(0.4) // 10**6), "feed-0")
    log.beat(0.5)
    found = run(log)
    assert [one.trade_id for one in of(found, TradeEvent)] == ["1", "2"]
    assert of(found, BookTick)[0].sequence_id == 70


def test_a_repeated_record_is_taken_once_and_said():
    log = started()
    log.ws(0.2, depth(11, 11, [["100.5", "1"]], []))
    again = log.records[-1]
    log.ws(0.3, depth(12, 12, [["100.5", "0"]], []))
    log.records.append(again._replace(offset=len(log.records)))
    log.beat(0.5)
    found = run(log)
    assert dead(found) == ["record.repeated"]
    assert of(found, BookTick)[0].bids[0].price == 100 * U


# --- holes and dead letters ---------------------------------------------------------------------------------------------


def test_offsets_gone_by_retention_make_a_gap_and_forget_the_books():
    log = started()
    log.beat(0.5)
    log.records = [record._replace(offset=record.offset + 100) if record.offset > 2 else record for record in log.records]
    log.ws(0.6, depth(11, 11, [], []))
    log.records[-1] = log.records[-1]._replace(offset=104)
    log.mark(at(1.0))
    log.records[-1] = log.records[-1]._replace(offset=105)
    found = run(log)
    gaps = of(found, Gap)
    assert [gap.reason for gap in gaps] == ["retention", "sequence_gap"]
    assert gaps[0].detail == "offsets 3 to 102 are gone"
    assert not ticks(found)[1.0][0]


def test_what_can_not_be_used_goes_to_the_dead_letters_with_its_bytes_and_place():
    log = started()
    log.ws(0.2, b"\xff\x00broken")
    log.beat(0.5)
    (letter,) = [one for one in run(log) if hasattr(one, "topic")]
    assert (letter.topic, letter.key, letter.value) == ("dlq", b"binance-0", b"\xff\x00broken")
    assert header(letter.headers, "stage") == b"normalize"
    assert header(letter.headers, "code") == b"frame.json"
    assert header(letter.headers, "source").startswith(b"raw.binance.v1/")
    assert parse_position(header(letter.headers, "position")) == (3, 0)
    assert header(letter.headers, "detail")


POISON = [
    b"", b"{", b"\xff\xfe", b"NaN", b"[]", b'{"e":"trade"}', b"[" * 200_000, b'{"a":' * 200_000, b"x" * 5_000_000,
    b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1e400","q":"1","T":1,"m":true}}',
    b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1","q":"-1","T":1,"m":true}}',
    b'{"stream":"btcusdt@trade","data":{"s":"' + b"X" * 1_000_000 + b'","t":1,"p":"1","q":"1","T":1,"m":true}}',
]  # fmt: skip


@pytest.mark.parametrize("kind", ["ws", "http", "event"])
@pytest.mark.parametrize("value", POISON, ids=lambda value: repr(value[:24]))
def test_a_poison_frame_is_one_dead_letter_and_stops_nothing(kind, value):
    log = started()
    log.frame(at(0.2), value, kind=kind, symbol="BTCUSDT")
    log.ws(0.3, trade(5, "100", "1", at(0.3) // 10**6))
    log.beat(0.5)
    one = task()
    found = run(log, one=one)
    letters = [each for each in found if hasattr(each, "topic")]
    assert len(letters) == 1
    assert sum(len(text) for _, text in letters[0].headers) < 2_000, "or the letter itself is too large for Kafka"
    assert sum(count for key, count in one.counters().items() if key[0] == "rejected") == 1
    assert len(of(found, TradeEvent)) == 1
    assert list(ticks(found)) == [0.5]


@pytest.mark.parametrize(
    "value",
    [[1], None, 7, {"event": None}, {"event": ["dropped"]}, {"event": "refused", "symbol": ["BTCUSDT"]},
     {"event": "refused", "symbol": {}}, {"event": "refused"}, {"event": "refused", "symbol": "DOGEUSDT"},
     {"event": "no such"}, {"event": "dropped", "from_seq": "x" * 10**6}],
)  # fmt: skip
def test_an_odd_event_stops_nothing(value):
    log = started()
    log.frame(at(0.2), value if value is not None else b"null", kind="event")
    log.beat(0.5)
    assert list(ticks(run(log))) == [0.5]


GOOD = {"received_ns": str(at(0.2)).encode(), "conn": b"c1", "seq": b"3", "kind": b"ws"}


@pytest.mark.parametrize(
    "headers",
    [{}, *({name: value for name, value in GOOD.items() if name != left} for left in GOOD),
     *(GOOD | {name: None} for name in GOOD), *(GOOD | {name: b"\xff"} for name in GOOD),
     GOOD | {"received_ns": b"-1"}, GOOD | {"received_ns": b"9" * 30}, GOOD | {"received_ns": b"9" * 5000},
     GOOD | {"received_ns": b"1.5"}, GOOD | {"seq": b"0"}, GOOD | {"seq": b"-1"}, GOOD | {"seq": b"9" * 30},
     GOOD | {"kind": b"WS"}, GOOD | {"kind": b"mark", "received_ns": b"x"}],
)  # fmt: skip
def test_odd_headers_are_a_dead_letter(headers):
    log = started()
    log.records.append(StoredRecord(3, 0, b"binance-0", b"{}", list(headers.items())))
    log.beat(0.5)
    log.records[4:] = [record._replace(offset=at_) for at_, record in enumerate(log.records[4:], 4)]
    one = task()
    assert dead(run(log, one=one)) == ["record.headers"]
    assert one.save()


@pytest.mark.parametrize("key", [None, b"", b"binance-9", b"\xff", b"clock"])
def test_a_record_of_no_slot_of_ours_is_a_dead_letter(key):
    log = started()
    log.ws(0.2, b"{}")
    log.records[-1] = log.records[-1]._replace(key=key)
    assert dead(run(log)) == ["record.unknown_slot"]


@pytest.mark.parametrize("headers", [{"symbol": "DOGEUSDT"}, {"url": "http://["}, {"url": "https://x/?symbol=DOGEUSDT"}, {}])
def test_a_body_of_a_symbol_that_is_not_ours_is_a_dead_letter(headers):
    log = started()
    log.frame(at(0.2), book_body(99, BIDS, ASKS), kind="http", **headers)
    log.beat(0.5)
    found = run(log)
    assert len(dead(found)) == 1
    assert of(found, BookTick)[0].sequence_id == 10


def test_numbers_beyond_what_can_be_stored_are_refused_where_they_come_in():
    log, one = started(), task()
    for data in (depth(11, 10**30, [], []), depth(11, 12, [["1", "1" * 30]], []), trade(10**30, "1", "1", 1)):
        log.ws(0.2, data)
    log.body(0.3, 10**30)
    message = depth(11, 12, [], [])
    message["data"]["E"] = 10**30
    log.ws(0.4, message)
    log.beat(0.5)
    found = run(log, one=one)
    assert dead(found) == ["frame.shape", "frame.number", "frame.shape", "frame.shape"]
    assert of(found, BookTick)[0].sequence_id == 12
    assert one.save()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["binance-0", "clock", "x", None]),
            st.one_of(st.none(), st.binary(max_size=40), st.sampled_from(POISON[:6])),
            st.lists(
                st.tuples(
                    st.sampled_from(["received_ns", "conn", "seq", "kind", "symbol", "url"]),
                    st.sampled_from([b"1", b"2", b"3", b"ws", b"http", b"event", b"mark", b"\xff", b"", b"BTCUSDT",
                                     b"1700000000000000000", b"1700000001000000000", b"9" * 20]),
                ),
                max_size=8,
            ),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_no_bytes_at_all_make_the_task_raise(rows):
    one = task(CONFIG)
    records = [
        StoredRecord(offset, 0, None if key is None else key.encode(), value, headers)
        for offset, (key, value, headers) in enumerate(rows)
    ]
    one.process(records)
    again = task(CONFIG)
    again.load(one.save())
    assert again.save() == one.save()
    assert one.next_offset == (len(rows) or None)


# --- positions, times, quality ------------------------------------------------------------------------------------------


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
    assert [index for _, index in positions] == [index for count in per_offset.values() for index in range(count)]


def test_kafkas_time_is_t_for_ticks_and_stream_time_for_trades_and_gaps():
    log = started()
    log.ws(0.6, trade(1, "1", "1", 5))
    log.ws(0.7, depth(99, 99, [], []))
    log.beat(1.0)
    times = {}
    for output in task().process(log.records):
        times.setdefault(output.topic, []).append(output.timestamp_ms - at(0) // 10**6)
    assert times == {"book": [500, 1000], "trade": [600], "gap": [700], "control": [700]}


def test_the_quality_of_a_minute_by_hand():
    """The minute ends at 40 s: 80 ticks, 20 of them blind; 3 of 4 things that came could be used."""
    log = started()
    log.beat(9.5, "c1")
    log.ws(9.6, b"broken")
    log.skip_seq()
    log.event(at(9.7), "alive")
    log.beat(19.5, "c1")
    log.body(19.6, 10)
    log.ws(19.7, depth(11, 11, [], []))
    for number in (1, 1, 2):
        log.ws(19.8, trade(number, "100" if number == 1 else "150", "1", at(19.8) // 10**6))
    log.beat(40.5, "c1")
    (one,) = of(run(log), Quality)
    assert one.timestamp == us(40) == (us(0) // 60_000_000 + 1) * 60_000_000
    assert (one.coverage, one.accepted) == (75 * U // 100, 75 * U // 100)
    assert one.score == 5625 * U // 10_000
    assert (one.events, one.rejected, one.duplicates, one.anomalies, one.gaps, one.crossed_ticks) == (3, 1, 1, 1, 1, 0)


# --- THE property -------------------------------------------------------------------------------------------------------


def busy_log(seed, steps=120):
    """All kinds of records in a seeded order: two connections, gaps, broken frames, silence, jumps."""
    pick, log, now = random.Random(seed), Log(), 0.0
    sequence, number = {"c1": 10, "c2": 10}, 0
    for conn in ("c1", "c2"):
        log.live(conn)
    for _ in range(steps):
        now += pick.choice([0.0, 0.05, 0.2, 0.4])
        conn = pick.choice(["c1", "c1", "c2"])
        what = pick.choice(["depth"] * 8 + ["trade"] * 5 + ["body", "gap", "poison", "event", "skip", "mark", "jump", "null"])
        if what == "depth":
            sequence[conn] += 1
            price = str(pick.randint(90, 110))
            log.ws(now, depth(sequence[conn], sequence[conn], [[price, str(pick.randint(0, 3))]], []), conn)
        elif what == "trade":
            number += pick.choice([0, 1, 1])
            log.ws(now, trade(number, str(pick.randint(90, 120)), "0.1", round(at(now - 1) / 10**6)), conn)
        elif what == "body":
            log.body(now, sequence[conn] - pick.randint(-2, 2), conn=conn, asks=[["150", "1"]])
        elif what == "gap":
            sequence[conn] += 5
        elif what == "poison":
            log.ws(now, pick.choice(POISON[:6]), conn)
        elif what == "event":
            log.event(at(now), pick.choice(["alive", "disconnected", "dropped", "connected"]), conn)
        elif what == "skip":
            log.skip_seq(conn)
        elif what == "null":
            log.ws(now, None, conn)
        elif what == "jump":
            now += pick.choice([1.0, 3.0])
        while log.passed + 0.5 <= now:
            log.passed += 0.5
            log.mark(at(log.passed))
    return log


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 140), max_size=4))
def test_cut_anywhere_saved_loaded_and_continued_the_output_is_the_same_bytes(seed, cuts):
    log = busy_log(seed)
    whole = task(CONFIG)
    expected = whole.process(log.records)
    assert task(CONFIG).process(log.records) == expected, "a pure function"
    outputs, one, start = [], task(CONFIG), 0
    for cut in [*sorted(cuts), len(log.records)]:
        outputs += one.process(log.records[start:cut])
        saved, one = one.save(), task(CONFIG)
        one.load(saved)
        assert one.save() == saved
        start = max(start, cut)
    assert outputs == expected
    assert one.save() == whole.save()


def test_cut_after_every_record_the_output_is_the_same_bytes():
    log = busy_log(4711, 250)
    expected, outputs, one = task(CONFIG).process(log.records), [], task(CONFIG)
    for record in log.records:
        outputs += one.process([record])
        saved, one = one.save(), task(CONFIG)
        one.load(saved)
    assert outputs == expected
    assert {output.topic for output in outputs} >= {"book", "trade", "gap", "control", "dlq"}


def test_records_already_taken_are_cut_off():
    log = busy_log(5)
    one = task(CONFIG)
    first = one.process(log.records[:60])
    assert first + one.process(log.records[30:]) == task(CONFIG).process(log.records)


def test_loading_replaces_the_whole_state():
    log = busy_log(6)
    one, used = task(CONFIG), task(CONFIG)
    one.process(log.records[:40])
    used.process(busy_log(7).records)
    used.load(one.save())
    assert used.save() == one.save()


def test_a_state_under_other_settings_keeps_what_is_still_configured_and_starts_the_rest_blind():
    log = started()
    log.ws(0.2, trade(1, "1", "1", at(0.2) // 10**6))
    one = task(ONE)
    one.process(log.records)
    more = task(CONFIG)
    more.load(one.save())
    log.ws(0.3, trade(1, "1", "1", at(0.3) // 10**6))
    log.beat(0.5)
    found = run(log, one=more)
    assert ticks(found, "BTCUSDT") == {0.5: (True, None)}
    assert ticks(found, "ETHUSDT") == {0.5: (False, "never_connected")}
    assert of(found, TradeEvent) == []


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_the_recording_in_any_chunks_gives_the_same_bytes(frames_dir, chunk):
    log = recording_log(frames_dir / "binance" / "hftbacktest_btcusdt_651s.jsonl.gz", 2_500 if chunk == 1 else 6_000)
    expected, outputs, one = task().process(log.records), [], task()
    for start in range(0, len(log.records), chunk):
        outputs += one.process(log.records[start : start + chunk])
        if start % (chunk * 50) == 0:
            saved, one = one.save(), task()
            one.load(saved)
    assert outputs == expected
    assert GRID_NS == ONE.update_frequency_us * 1000

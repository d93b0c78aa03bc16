"""When a book is blind, why, and what is asked for then."""

import pytest

from COBY.config import load_config
from COBY.records import BookTick, Gap, Resync
from tests.normalize_log import CONFIG, Log, U, at, dead, of, run, started, ticks, us
from tests.raw import book_body, depth, trade


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
    assert (opened.reason, opened.from_time, opened.until_time, opened.conn) == (
        "producer_lost",
        us(0.1),
        None,
        "c1",
    )
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


def test_a_book_lost_again_within_a_second_asks_again_when_the_second_is_over():
    """Not after the five seconds of a book that has only waited."""
    log = started()
    log.ws(0.6, depth(12, 13, [], []))
    log.body(0.7, 13)
    log.ws(0.8, depth(15, 15, [], []))
    log.beat(4.0, "c1")
    found = run(log)
    assert ticks(found)[1.0] == (False, "sequence_gap")
    assert [one.timestamp for one in of(found, Resync)] == [us(0.6), us(2.0)], "the first tick a second later"


def test_a_rest_answer_that_can_not_be_used_is_asked_for_once_more_while_the_book_is_blind():
    log = started()
    log.frame(at(0.2), b'{"lastUpdateId":10,"bids":[', "c1", kind="http", symbol="BTCUSDT")
    log.ws(0.6, depth(12, 13, [], []))
    log.frame(at(0.9), b'{"lastUpdateId":13,"bids":[', "c1", kind="http", symbol="BTCUSDT")
    log.body(1.2, 13)
    log.beat(2.0, "c1")
    asked = [(one.reason, one.timestamp) for one in of(run(log), Resync)]
    assert asked == [("sequence_gap", us(0.6)), ("snapshot_unusable", us(0.9))]


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
    log.frame(
        at(6.2), book_body(11, [["91", "1"], ["70", "1"]], [["101", "1"], ["111", "1"]]), kind="http", url=url
    )
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
    log.event(at(0.2), "refused", symbol="ETHUSDT", reason="no", not_listed=True)
    log.beat(20.0, "c1")
    found = run(log, CONFIG)
    assert ticks(found, "BTCUSDT")[20.0] == ticks(found, "ETHUSDT")[20.0] == (False, "not_listed")
    assert [one for one in found if isinstance(one, Resync)] == []


def test_a_symbol_refused_for_another_reason_is_not_called_unlisted():
    log = Log()
    log.event(at(0.1), "connected")
    log.event(at(0.2), "refused", symbol="ETHUSDT", reason="too many requests", not_listed=False)
    log.beat(3.0, "c1")
    assert ticks(run(log, CONFIG), "ETHUSDT")[3.0] == (False, "never_connected")


def test_a_symbol_configured_as_not_listed_has_blind_ticks_and_needs_no_connection():
    config = load_config({"SYMBOLS": "BTCUSDT", "BINANCE_SYMBOL_BTCUSDT": "-"})
    log = started()
    log.ws(0.2, trade(1, "1", "1", 1))
    log.ws(0.2, depth(1, 1, [], []))
    log.beat(0.5)
    found = run(log, config)
    assert ticks(found) == {0.5: (False, "not_listed")}
    assert dead(found) == ["frame.unknown_symbol"] * 3

"""Every gap has a from, an until and a reason: over restarts, other connections, holes and standing stream time."""

import pytest

from COBY.codec import decode
from COBY.config import load_config
from COBY.records import Continuity, Gap
from tests.normalize_log import CONFIG, Log, at, of, run, started, task, us
from tests.raw import depth


def told(found):
    """(reason, connection, from, until) in seconds since the log's start."""
    return [
        (
            one.reason,
            one.conn,
            (one.from_time - us(0)) / 1e6,
            one.until_time and (one.until_time - us(0)) / 1e6,
        )
        for one in of(found, Gap)
    ]


def test_a_gap_open_over_a_restart_is_closed_by_who_goes_on():
    log = started()
    log.ws(0.3, depth(20, 20, [], []))
    cut = len(log.records)
    log.body(0.8, 20)
    first, second = task(), task()
    opened = first.process(log.records[:cut])
    second.load(first.save())
    found = [decode(one.value) for one in [*opened, *second.process(log.records[cut:])] if one.topic != "dlq"]
    assert told(found) == [("sequence_gap", "c1", 0.1, None), ("sequence_gap", "c1", 0.1, 0.8)]
    assert len({one.detail for one in of(found, Gap)}) == 1


def test_a_gap_that_another_connection_ends_keeps_the_reason_and_name_of_the_one_it_began_with():
    log = started("c1")
    log.event(at(0.3), "disconnected", "c1")
    log.event(at(0.6), "connected", "c2")
    log.body(0.8, 50, conn="c2")
    assert told(run(log)) == [("disconnected", "c1", 0.1, None), ("disconnected", "c1", 0.1, 0.8)]


@pytest.mark.parametrize("how", ["disconnected", "sequence_gap", "producer_lost"])
def test_the_reason_is_that_of_the_book_shown_and_not_of_a_newer_connection_that_never_was(how):
    """c2 is there, and has no book yet, when c1's is lost: not `never_connected`."""
    log = started("c1")
    log.event(at(0.2), "connected", "c2")
    if how == "disconnected":
        log.event(at(0.3), "disconnected", "c1")
    elif how == "sequence_gap":
        log.ws(0.3, depth(20, 20, [], []), "c1")
    log.beat(3.0, "c2")
    found = run(log)
    assert told(found) == [(how, "c1", 0.1, None)]
    assert [(one.reason, one.conn) for one in of(found, Continuity)] == [(how, "c1")]


def test_a_connection_that_has_to_make_room_for_newer_ones_leaves_a_gap_at_once():
    """c1's book was the only proven one, and its producer is silent; c4 pushes it out, and proves a book at once."""
    log = started("c1")
    for place, conn in enumerate(("c2", "c3")):
        log.event(at(0.2 + place / 50), "connected", conn)
    for second in (0.5, 1.0, 1.5, 2.0):
        log.mark(at(second))
    for conn in ("c2", "c3"):
        log.event(at(2.01), "alive", conn)
    log.event(at(2.2), "connected", "c4")
    log.body(2.3, 50, conn="c4")
    (opened, closed) = told(run(log))
    assert opened[1:] == ("c1", 0.1, None)
    assert closed[1:] == ("c1", 0.1, 2.3)
    assert opened[0] == closed[0]


def test_one_that_makes_room_though_it_is_not_silent_leaves_the_reason_of_the_newest():
    """Each of three proves one book of two; c1, not heard for longest, goes, and its BTCUSDT with it."""
    log = started("c1")
    for place, conn in enumerate(("c2", "c3")):
        log.event(at(0.2 + place / 50), "connected", conn)
        log.body(0.3 + place / 50, 20, conn=conn, symbol="ETHUSDT")
    log.event(at(0.4), "connected", "c4")
    assert told(run(log, CONFIG)) == [("never_connected", "c1", 0.1, None)]


def test_a_name_used_anew_ends_the_gap_that_its_first_use_left():
    log = started("feed-0")
    log._seq.clear()
    log.event(at(0.4), "connected", "feed-0")
    log.body(0.5, 70, conn="feed-0")
    expected = [("disconnected", "feed-0", 0.1, None), ("disconnected", "feed-0", 0.1, 0.5)]
    assert told(run(log)) == expected


def gone(log, records):
    """Of what comes from here on the offsets go on behind a hole."""
    first = len(log.records)
    return lambda: log.records.__setitem__(
        slice(first, None), [one._replace(offset=one.offset + records) for one in log.records[first:]]
    )


def test_records_that_retention_took_are_a_gap_until_the_next_mark_tells_the_time():
    log = started()
    log.beat(0.5, "c1")
    shift = gone(log, 100)
    log.event(at(30.2), "alive")
    log.passed = 30.5
    log.mark(at(30.5))
    log.body(30.6, 10)
    shift()
    found = run(log)
    retention = [one for one in told(found) if one[0] == "retention"]
    assert retention == [("retention", None, 0.5, None), ("retention", None, 0.5, 30.5)]
    assert {one.detail for one in of(found, Gap) if one.reason == "retention"} == {
        "offsets 5 to 104 are gone"
    }
    blind = [one for one in told(found) if one[0] == "sequence_gap"]
    assert blind == [("sequence_gap", "c1", 0.1, None), ("sequence_gap", "c1", 0.1, 30.6)]


def test_a_second_hole_before_any_mark_closes_the_first():
    log = started()
    log.beat(0.5, "c1")
    one, two = gone(log, 100), None
    log.event(at(0.7), "alive")
    one()
    two = gone(log, 200)
    log.event(at(0.9), "alive")
    log.mark(at(1.0))
    two()
    retention = [gap for gap in told(run(log)) if gap[0] == "retention"]
    assert retention == [
        ("retention", None, 0.5, None), ("retention", None, 0.5, 0.7),
        ("retention", None, 0.7, None), ("retention", None, 0.7, 1.0),
    ]  # fmt: skip


def test_a_hole_before_the_first_mark_is_told_at_once_because_time_may_be_set_back():
    log = Log()
    log.records.clear()
    log.live(seconds=7200.0)
    shift = gone(log, 5)
    log.event(at(7200.5), "alive")
    log.mark(at(0.0))
    log.mark(at(0.5))
    shift()
    retention = [gap for gap in told(run(log)) if gap[0] == "retention"]
    assert retention == [("retention", None, 7200.0, 7200.0)]


def test_a_gap_open_at_the_first_mark_moves_with_stream_time_and_leaves_no_open_row_behind():
    """Until then stream time is the first record's, two hours ahead: a key with that time would never be closed."""
    found = run(late_clock_log())
    assert [one for one in told(found) if one[3] is None] == [
        ("sequence_gap", "c1", 7200.0, None), ("sequence_gap", "c1", 0.0, None),
    ]  # fmt: skip
    assert [one for one in told(found) if one[3] is not None] == [
        ("sequence_gap", "c1", 7200.0, 7200.0), ("sequence_gap", "c1", 0.0, 0.8),
    ]  # fmt: skip
    assert [(one.start_time, one.end_time) for one in of(found, Continuity)] == [(us(7200.0), us(7200.0))]


def hole_log():
    log = started()
    log.beat(0.5, "c1")
    shift = gone(log, 100)
    log.event(at(0.7), "alive")
    log.mark(at(1.0))
    shift()
    return log


def late_clock_log():
    log = Log()
    log.records.clear()
    log.live(seconds=7200.0)
    log.ws(7200.1, depth(20, 20, [], []))
    log.mark(at(0.0))
    log.beat(0.5, "c1")
    log.body(0.8, 20)
    return log


@pytest.mark.parametrize("make", [hole_log, late_clock_log])
def test_saved_and_loaded_after_every_record_the_gaps_are_the_same(make):
    log = make()
    expected = task().process(log.records)
    one, outputs = task(), []
    for record in log.records:
        outputs += one.process([record])
        saved, one = one.save(), task()
        one.load(saved)
    assert outputs == expected


def test_a_book_lost_twice_while_stream_time_stands_still_opens_the_same_gap_again():
    """The producer's clock is far ahead, so until the next mark all its records come at one stream time."""
    log = started()
    log.beat(0.5, "c1")
    log.body(5.0, 10)
    log.ws(5.1, depth(20, 20, [], []))
    log.body(5.2, 20)
    log.ws(5.3, depth(30, 30, [], []))
    found = of(run(log), Gap)
    key = {(one.from_time, one.symbol, one.exchange, one.reason) for one in found}
    assert key == {(us(1.5), "BTCUSDT", "binance", "sequence_gap")}
    assert [one.until_time for one in found] == [None, us(1.5), None]


def test_a_symbol_that_is_configured_no_more_tells_nothing_of_its_open_gap():
    """What is told of it stays: `until_time` null, for nobody has looked since (docs/tables.md)."""
    both = load_config({"SYMBOLS": "BTCUSDT,ETHUSDT"})
    log = started()
    log.body(0.2, 10, symbol="ETHUSDT")
    log.event(at(0.3), "disconnected")
    one, other = task(both), task()
    opened = [decode(output.value) for output in one.process(log.records)]
    assert [gap.until_time for gap in of(opened, Gap, "ETHUSDT")] == [None]
    other.load(one.save())
    log.live("c2", 50, 0.6)
    log.body(0.6, 50, conn="c2", symbol="ETHUSDT")
    found = [decode(output.value) for output in other.process(log.records) if output.topic != "dlq"]
    assert [(gap.symbol, gap.until_time) for gap in found if isinstance(gap, Gap)] == [("BTCUSDT", us(0.6))]

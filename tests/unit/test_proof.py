"""Intervals in which a book was proven: when they begin and end, what they count, when they are told."""

from COBY.records import Continuity, Gap
from tests.normalize_kraken import kraken, kraken_found
from tests.normalize_log import CONFIG, Log, at, of, run, started, task, us
from tests.raw import depth


def intervals(found, symbol="BTCUSDT"):
    return of(found, Continuity, symbol)


def test_an_interval_begins_with_a_snapshot_and_ends_where_its_gap_begins():
    log = started()
    log.ws(0.2, depth(11, 12, [], []))
    log.ws(0.3, depth(13, 13, [], []))
    log.ws(0.8, depth(20, 20, [], []))
    found = run(log)
    (one,) = intervals(found)
    (gap,) = of(found, Gap)
    assert (one.symbol, one.exchange, one.start_time, one.end_time) == (
        "BTCUSDT",
        "binance",
        us(0.1),
        us(0.3),
    )
    assert (one.rule, one.sequenced, one.checked, one.snapshots) == ("sequence", 2, 0, 1)
    assert (one.conn, one.connections, one.reason, one.timestamp) == ("c1", 1, "sequence_gap", us(0.8))
    assert (gap.from_time, gap.timestamp, gap.reason) == (one.end_time, one.timestamp, one.reason)


def test_while_it_goes_on_it_is_told_each_minute_under_the_same_start():
    log = started()
    log.ws(0.2, depth(11, 11, [], []))
    log.beat(59.9, "c1")
    log.ws(59.95, depth(12, 12, [], []))
    log.beat(101.0, "c1")
    told = [
        (one.start_time, one.end_time, one.sequenced, one.reason, one.timestamp)
        for one in intervals(run(log))
    ]
    assert told == [
        (us(0.1), us(0.2), 1, None, us(40.5)),
        (us(0.1), us(59.95), 2, None, us(100.5)),
    ]


def test_the_next_interval_begins_where_the_gap_ends():
    log = started()
    log.ws(0.2, depth(20, 20, [], []))
    log.body(0.4, 20)
    log.event(at(0.6), "disconnected")
    found = run(log)
    first, second = intervals(found)
    assert (first.reason, second.reason) == ("sequence_gap", "disconnected")
    (until,) = [gap.until_time for gap in of(found, Gap) if gap.until_time]
    assert until == second.start_time == us(0.4)
    assert (second.rule, second.sequenced, second.snapshots, second.end_time) == ("snapshot", 0, 1, us(0.4))


def test_a_silence_that_heals_by_an_update_ends_one_and_begins_another():
    log = started()
    log.beat(2.5)
    log.ws(2.6, depth(11, 11, [], []))
    log.event(at(2.7), "disconnected")
    first, second = intervals(run(log))
    assert (first.start_time, first.end_time, first.reason) == (us(0.1), us(0.1), "producer_lost")
    assert (second.start_time, second.sequenced, second.snapshots) == (us(2.6), 1, 0)


def test_another_connection_that_takes_over_goes_on_with_it():
    """Of two connections only the updates of the one shown count: 1 of c1, then 1 of c2, then 1 of c1."""
    log = started("c1")
    log.ws(0.2, depth(11, 11, [], []), "c1")
    log.event(at(0.3), "connected", "c2")
    log.ws(0.35, depth(21, 21, [], []), "c2")
    log.body(0.4, 20, conn="c2")
    log.ws(0.5, depth(12, 12, [], []), "c1")
    log.event(at(0.6), "disconnected", "c2")
    log.ws(0.7, depth(13, 13, [], []), "c1")
    log.event(at(0.8), "disconnected", "c1")
    found = run(log)
    (one,) = intervals(found)
    assert (one.start_time, one.end_time, one.conn, one.connections) == (us(0.1), us(0.7), "c1", 3)
    assert (one.sequenced, one.snapshots) == (3, 2)
    assert [gap.conn for gap in of(found, Gap)] == ["c1"]


def test_a_snapshot_that_renews_a_live_book_goes_on_with_it():
    log = Log()
    log.event(at(0.1), "connected")
    url = "https://x/api/v3/depth?symbol=BTCUSDT&limit=2"
    for seconds, low in ((0.1, "90"), (6.2, "70")):
        body = {"lastUpdateId": 10, "bids": [["91", "1"], [low, "1"]], "asks": [["101", "1"], ["111", "1"]]}
        log.frame(at(seconds), body, kind="http", url=url)
        log.beat(6.0, "c1")  # near its edge from the first tick on: it asks, and holds what comes
    log.event(at(7.0), "disconnected")
    (one,) = intervals(run(log))
    assert (one.snapshots, one.start_time, one.end_time) == (2, us(0.1), us(6.2))


def test_checksums_that_hold_are_counted():
    """A snapshot and an update with right checksums, then a wrong one: the exchange has no sequence."""
    found = kraken_found(
        (5.1, kraken(5.1, "update", [("98.0", "5.0")], "101030" + "99010" + "98050")),
        (10.1, kraken(10.1, "update", [("98.0", "6.0")], "wrong")),
        until=12.0,
    )
    (one,) = intervals(found)
    assert (one.rule, one.sequenced, one.checked, one.snapshots) == ("checksum", 0, 2, 1)
    assert (one.start_time, one.end_time, one.reason) == (us(0.1), us(5.1), "checksum")


def test_it_is_part_of_the_state():
    """Saved and loaded in the middle, what is told at its end is what an undisturbed task tells."""
    log = started()
    log.ws(0.2, depth(11, 11, [], []))
    cut = len(log.records)
    log.ws(0.3, depth(12, 12, [], []))
    log.event(at(0.6), "disconnected")
    expected = task().process(log.records)
    one, other = task(), task()
    outputs = one.process(log.records[:cut])
    other.load(one.save())
    assert outputs + other.process(log.records[cut:]) == expected
    assert [output.topic for output in expected] == ["book", "gap", "continuity"]


def test_the_first_mark_moves_what_was_measured_before_it():
    """A producer whose clock is two hours ahead: the interval begins where its first mark puts it."""
    log = Log()
    log.records.clear()
    log.live(seconds=7200.0)
    log.mark(at(0.0))
    log.event(at(0.4), "disconnected")
    (one,) = intervals(run(log))
    assert (one.start_time, one.end_time) == (us(0.0), us(0.0))


def test_each_symbol_has_its_own():
    log = started()
    log.body(0.2, 10, symbol="ETHUSDT")
    log.event(at(0.6), "disconnected")
    found = run(log, CONFIG)
    assert [intervals(found, symbol)[0].start_time for symbol in ("BTCUSDT", "ETHUSDT")] == [us(0.1), us(0.2)]

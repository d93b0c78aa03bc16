"""The score of a minute: exactly 1 undisturbed, lowered by each kind of fault as the formula says by hand.

The minute that is looked at ends 40 s after the log's start: 80 ticks. 19 trades, one a second, are what is good in it.
"""

import pytest

from COBY.records import Gap, Quality, TradeEvent
from tests.normalize_kraken import kraken, kraken_deal, kraken_found
from tests.normalize_log import CONFIG, Log, U, at, dead, of, run, started, task, us
from tests.raw import depth, trade

PARTS = (
    "rejected",
    "duplicates",
    "anomalies",
    "gaps",
    "crossed_ticks",
    "checksum_failures",
    "skewed",
    "clamped",
)


def ms(seconds):
    return at(seconds) // 10**6


def deal(number, seconds, price="100", conn="c1", late=0.0):
    """At that second, a trade of ``late`` seconds before."""
    return seconds, lambda log: log.ws(seconds, trade(number, price, "1", ms(seconds - late)), conn)


def update(seconds, first, last, bids=(), late=0.0, conn="c1"):
    levels = [list(level) for level in bids]
    frame = depth(first, last, levels, [], ms=ms(seconds - late))
    return seconds, lambda log: log.ws(seconds, frame, conn)


def body(seconds, last, conn="c1"):
    return seconds, lambda log: log.body(seconds, last, conn=conn)


def event(seconds, name, conn="c1", stamped=None, **more):
    return seconds, lambda log: log.event(at(stamped or seconds), name, conn, **more)


DEALS = [deal(number, number - 0.3) for number in range(1, 20)]


def lived(*actions, deals=DEALS, conns=("c1",), later=None, until=40.5):
    """``conns`` are alive; from 20 s on those of ``later``, where given."""
    log = started()
    for seconds, act in [*sorted([*deals, *actions], key=lambda one: one[0]), (until, lambda _log: None)]:
        if later is not None and log.passed < 20 <= seconds:
            log.beat(20.0, *conns)
        log.beat(seconds, *(conns if later is None or seconds < 20 else later))
        act(log)
    return log


def minute(*actions, **more):
    """The first minute's record."""
    return of(run(lived(*actions, **more)), Quality)[0]


def parts(one):
    """The kinds of faults that were counted."""
    return {name: getattr(one, name) for name in PARTS if getattr(one, name)}


def test_an_undisturbed_minute_is_exactly_one():
    one = minute(update(5.2, 11, 11), update(5.4, 12, 12, late=2.0), body(6.2, 12))
    assert (one.timestamp, one.score, one.coverage, one.accepted) == (us(40), U, U, U)
    assert (one.events, parts(one)) == (21, {})
    assert (one.blind_us, one.crossed_us, one.clock_skew_us) == (0, 0, -2_000_000)


def test_nothing_at_all_is_no_fault():
    one = minute(deals=[])
    assert (one.events, one.score) == (0, U)


def test_blind_time_counts_by_its_ticks_and_its_gap():
    """Blind at the ticks 10.5 to 20.0: 20 of 80; one gap beside 19 trades."""
    back = (event(20.1, "connected", "c2"), body(20.2, 10, "c2"))
    one = minute(event(10.2, "disconnected"), *back, later=("c2",))
    assert (one.coverage, one.blind_us, parts(one)) == (75 * U // 100, 10_000_000, {"gaps": 1})
    assert one.score == 71_250_000  # 3/4 * 19/20


def test_a_gap_between_two_ticks_counts_though_no_tick_was_blind():
    one = minute(update(10.1, 99, 99), body(10.2, 99))
    assert (one.coverage, one.blind_us, parts(one)) == (U, 0, {"gaps": 1})
    assert one.score == 95_000_000  # 19/20


def test_a_crossed_book_counts_its_ticks():
    """Crossed at the tick 10.5, live again at 11.0: 79 of 80 ticks; 20 events, found once, one gap."""
    one = minute(update(10.1, 11, 11, [["150", "1"]]), body(10.7, 11))
    assert parts(one) == {"gaps": 1, "crossed_ticks": 1}
    assert (one.blind_us, one.crossed_us) == (500_000, 500_000)
    assert one.score == 89_772_727  # 79/80 * 20/22


def test_a_crossed_book_beside_a_good_one_counts_as_found():
    one = minute(
        event(9.1, "connected", "c2"), body(9.2, 10, "c2"), update(10.1, 11, 11, [["150", "1"]], conn="c2"),
        conns=("c1", "c2"),
    )  # fmt: skip
    assert (parts(one), one.coverage, one.crossed_us) == ({"crossed_ticks": 1}, U, 0)
    assert one.score == 95_238_095  # 20/21


@pytest.mark.parametrize("what", ["trade", "update", "record"])
def test_what_comes_twice_on_a_connection_counts(what):
    def again(log):
        log.records.append(log.records[-1]._replace(offset=len(log.records)))

    twice = {
        "trade": [deal(7, 10.1)],
        "update": [update(10.1, 11, 11), update(10.2, 11, 11)],
        "record": [event(10.1, "alive"), (10.11, again)],
    }[what]
    one = minute(*twice)
    assert parts(one) == {"duplicates": 1}
    good = 20 if what == "update" else 19
    assert one.score == {19: 95_000_000, 20: 95_238_095}[good]  # 19/20, 20/21


def test_copies_of_a_second_collector_and_of_a_new_connection_are_no_fault():
    copies = [deal(number, number - 0.2, conn="c2") for number in range(1, 20)]
    second = [event(0.15, "connected", "c2"), body(0.16, 50, "c2"), *copies]
    third = [event(25.1, "connected", "c3"), body(25.2, 10, "c3"), deal(19, 25.3, conn="c3", late=2.0)]
    log = lived(*second, *third, conns=("c1", "c2", "c3"))
    found = run(log)
    one = of(found, Quality)[0]
    assert (one.score, one.events, parts(one)) == (U, 19, {})
    assert len(of(found, TradeEvent)) == 19


def test_a_copy_that_the_second_collector_brings_twice_is_one():
    second = [
        event(0.15, "connected", "c2"),
        body(0.16, 50, "c2"),
        deal(3, 5.1, conn="c2"),
        deal(3, 5.2, conn="c2"),
    ]
    one = minute(*second, conns=("c1", "c2"))
    assert parts(one) == {"duplicates": 1}
    assert one.score == 95_000_000  # 19/20


def test_a_connection_that_takes_the_place_of_another_begins_without_its_copies():
    """c4 pushes c1 out and gets its number: what c1 brought is no repetition of c4's."""
    more = []
    for place, conn in enumerate(("c2", "c3", "c4")):
        more += [event(20.1 + place / 50, "connected", conn), body(20.11 + place / 50, 10, conn)]
    one = minute(*more, deal(19, 20.3, conn="c4", late=1.6), later=("c4",))
    assert parts(one) == {}
    assert one.score == U


def test_what_can_not_be_used_counts():
    one = minute(deal(77, 10.1, "-1"))
    assert (parts(one), one.accepted, one.score) == ({"rejected": 1}, 95_000_000, 95_000_000)  # 19/20


def test_an_event_that_can_not_be_read_counts_for_every_symbol():
    log = lived((10.1, lambda log: log.frame(at(10.1), b"{", kind="event")))
    found = run(log, CONFIG)
    assert dead(found) == ["event.format"]
    assert [of(found, Quality, symbol)[0].rejected for symbol in ("BTCUSDT", "ETHUSDT")] == [1, 1]
    assert of(found, Quality)[0].score == 95_000_000


def test_an_anomaly_counts():
    one = minute(deal(77, 19.9, "150"))
    assert (one.events, parts(one), one.score) == (20, {"anomalies": 1}, 95_238_095)  # 20/21


@pytest.mark.parametrize("what", ["trade", "update"])
@pytest.mark.parametrize("late", [2.001, -2.001])
def test_an_exchange_time_far_from_receipt_counts(what, late):
    one = minute(deal(77, 10.1, late=late) if what == "trade" else update(10.1, 11, 11, late=late))
    assert (parts(one), one.clock_skew_us) == ({"skewed": 1}, round(-late * 10**6))
    assert one.score == 95_238_095  # 20 events, 20/21


def test_updates_held_for_a_snapshot_are_not_late():
    """The first update is held for 9 s until the snapshot comes: it has its exchange's time, not the snapshot's."""
    log = Log()
    log.event(at(0.1), "connected")
    log.ws(0.2, depth(11, 11, [], [], ms=ms(0.2)))
    log.beat(9.0, "c1")
    log.body(9.1, 10)
    log.beat(40.5, "c1")
    one = of(run(log), Quality)[0]
    assert (one.events, one.skewed, one.clock_skew_us) == (1, 0, 0)


def test_a_producers_clock_that_is_ahead_counts_each_record_that_is_clamped():
    one = minute(event(10.1, "alive", stamped=15.0))
    assert (parts(one), one.score) == ({"clamped": 1}, 95_000_000)  # 19/20


def test_ticks_that_a_time_jump_leaves_out_were_not_covered():
    """From 10.0 to 20.0 at once: 19 ticks left out, the one of 20.0 blind, for nobody was heard; two gaps, 10 deals."""

    def jump(log):
        log.passed = 20.0
        log.mark(at(20.0))

    one = minute((10.05, jump), update(20.1, 11, 11), deals=DEALS[:10])
    assert (one.coverage, one.blind_us, parts(one)) == (75 * U // 100, 10_000_000, {"gaps": 2})
    assert one.score == 63_461_538  # 3/4 * 11/13


def test_a_time_jump_over_the_end_of_a_minute_counts_in_both():
    """From 30 to 50: of the first minute's 80 ticks 20 are left out, of the second's first 20 all but the last."""

    def jump(log):
        log.passed = 50.0
        log.mark(at(50.0))

    found = run(lived((30.05, jump), update(50.1, 11, 11), until=100.5))
    first, second = of(found, Quality)
    assert [(one.timestamp, one.coverage) for one in (first, second)] == [
        (us(40), 75 * U // 100),
        (us(100), 83_333_333),  # 100 of 120
    ]
    assert [gap.reason for gap in of(found, Gap) if gap.until_time is None] == ["producer_lost"]


def test_a_checksum_that_does_not_hold_counts_beside_its_gap():
    """Wrong at 10.1, a new snapshot at 10.3: no tick is blind. One update held before."""
    found = kraken_found(
        (5.1, kraken(5.1, "update", [("98.0", "5.0")], "101030" + "99010" + "98050")),
        (10.1, kraken(10.1, "update", [("98.0", "6.0")], "wrong")),
        (10.3, kraken(10.3, "snapshot", [("99.0", "1.0")], "101030" + "99010")),
    )
    one = of(found, Quality)[0]
    assert (one.coverage, one.events, parts(one)) == (U, 1, {"gaps": 1, "checksum_failures": 1})
    assert one.score == 33_333_333  # 1/3


def test_the_exchanges_history_is_no_fault():
    found = kraken_found(
        (3.0, kraken_deal("update", 7, 3.0)),
        (4.0, kraken_deal("snapshot", 7, 3.0)),
        (9.0, b'{"channel":"heartbeat"}'),
        (15.0, kraken_deal("snapshot", 8, 4.0)),
        (15.1, kraken_deal("update", 8, 14.5)),
    )
    assert [event.trade_id for event in of(found, TradeEvent)] == ["7", "8"]
    one = of(found, Quality)[0]
    assert (one.score, one.events, parts(one)) == (U, 2, {})


def test_what_a_minute_says_is_in_the_totals_of_its_task():
    """By hand: 19 trades, each 0.1 s on its way, and a crossed update, of which one tick of 0.5 s was blind."""
    late = [deal(number, number - 0.3, late=0.1) for number in range(1, 20)]
    one = task()
    run(lived(update(10.1, 11, 11, [["150", "1"]]), body(10.7, 11), deals=late), one=one)
    totals = one.counters()
    told = {key[1]: count for key, count in totals.items() if key[0] == "quality" and count}
    assert told == {"events": 20, "blind_us": 500_000, "crossed_us": 500_000}
    assert totals["trades", "BTCUSDT"] == 19
    assert totals["delay_us",] == 19 * 100_000

"""Several connections of a slot at once."""

from COBY.records import BookTick, Gap, Resync, TradeEvent
from tests.normalize_log import Log, U, at, dead, of, run, shown, started
from tests.raw import depth, trade


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


def test_connections_that_only_begin_push_out_no_proven_one():
    """A producer that is killed again and again, before its books are there, beside one that is well."""
    log = started("c1")
    for number in range(5):
        log.event(at(0.2 + number / 100), "connected", f"c{number + 2}")
    log.ws(0.4, depth(11, 11, [["100.5", "1"]], []), "c1")
    log.beat(0.5, "c1")
    found = run(log)
    assert shown(found) == ["c1"]
    assert of(found, BookTick)[0].sequence_id == 11
    assert of(found, Gap) == []


def test_of_proven_connections_the_one_not_heard_for_longest_makes_room():
    """c2 and c3 were proven and are dead, for less than two seconds; c1 is well."""
    log = started("c1")
    log.live("c2", 50, 0.2)
    log.live("c3", 70, 0.3)
    log.ws(0.4, depth(11, 11, [], []), "c1")
    log.live("c4", 90, 0.41)
    log.event(at(0.42), "disconnected", "c4")
    log.event(at(0.43), "disconnected", "c3")
    log.beat(0.5, "c1")
    assert shown(run(log)) == ["c1"], "c2 made room for c4, and then the others ended"


def test_one_whose_producer_is_silent_makes_room_before_one_that_has_just_begun():
    log = started("c1")
    log.live("c2", 50, 0.2)
    log.beat(3.0, "c1")
    log.event(at(3.1), "connected", "c3")
    log.event(at(3.2), "connected", "c4")
    log.body(3.3, 80, conn="c3")
    log.ws(3.4, depth(81, 81, [], []), "c3")
    log.beat(3.5, "c1")
    assert shown(run(log))[-1] == "c3"


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

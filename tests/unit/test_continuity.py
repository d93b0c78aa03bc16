"""The rule of books joined from a REST snapshot and updates with first and last number."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.continuity import MAX_HELD, ChainState, RestChain, SocketChain, SocketState
from COBY.exchanges.base import Delta, Lost, Repeated, Snapshot, Stale


def update(first: int, last: int) -> Delta:
    return Delta("BTCUSDT", [], [], first, last, 0)


def snapshot(last: int) -> Snapshot:
    return Snapshot("BTCUSDT", [], [], last, None)


def chain() -> RestChain:
    return RestChain("BTCUSDT", ChainState())


def live_at(last: int) -> RestChain:
    one = chain()
    assert one.snapshot(snapshot(last)) == [snapshot(last)]
    return one


def test_updates_wait_for_the_snapshot_and_those_it_holds_are_dropped():
    one = chain()
    for first, last in ((1, 5), (6, 8), (9, 12)):
        assert one.delta(update(first, last)) == []
    assert one.snapshot(snapshot(5)) == [snapshot(5), update(6, 8), update(9, 12)]
    assert one.delta(update(13, 13)) == [update(13, 13)]


def test_the_first_kept_update_may_begin_before_the_snapshot_ends():
    one = chain()
    one.delta(update(1, 9))
    assert one.snapshot(snapshot(5)) == [snapshot(5), update(1, 9)]
    assert one.state.last == 9


def test_a_snapshot_that_ends_just_before_the_buffer_joins_and_one_earlier_does_not():
    one = chain()
    one.delta(update(7, 9))
    (stale,) = one.snapshot(snapshot(5))
    assert isinstance(stale, Stale)
    assert stale.reason == "snapshot_too_old"
    assert one.state.last is None
    assert one.snapshot(snapshot(6)) == [snapshot(6), update(7, 9)]


def test_a_buffer_wholly_before_the_snapshot_leaves_a_live_book_that_the_next_update_must_reach():
    one = chain()
    one.delta(update(1, 5))
    assert one.snapshot(snapshot(8)) == [snapshot(8)]
    assert one.delta(update(6, 8)) == []
    assert one.delta(update(9, 10)) == [update(9, 10)]
    other = chain()
    other.delta(update(1, 5))
    other.snapshot(snapshot(8))
    (lost,) = other.delta(update(10, 11))
    assert (lost.reason, lost.detail) == ("sequence_gap", "expected 9, got 10")


def test_a_hole_in_the_sequence_is_a_loss_and_its_update_is_held_for_the_next_snapshot():
    one = live_at(10)
    assert isinstance(one.delta(update(12, 13))[0], Lost)
    assert one.delta(update(14, 15)) == []
    assert isinstance(one.snapshot(snapshot(10))[0], Stale), "11 is missing still"
    assert one.snapshot(snapshot(11)) == [snapshot(11), update(12, 13), update(14, 15)]


def test_repeated_and_late_updates_are_passed_over():
    one = live_at(10)
    assert one.delta(update(11, 12)) == [update(11, 12)]
    assert one.delta(update(11, 12)) == one.delta(update(8, 9)) == [Repeated("BTCUSDT")]
    assert one.delta(update(13, 13)) == [update(13, 13)]


def test_swapped_updates_are_a_loss_that_a_newer_snapshot_heals():
    one = live_at(10)
    assert isinstance(one.delta(update(13, 14))[0], Lost)
    assert one.delta(update(11, 12)) == []
    assert one.snapshot(snapshot(12)) == [snapshot(12), update(13, 14)]


def test_an_overlapping_update_continues_the_book_as_its_sizes_are_absolute():
    one = live_at(10)
    assert one.delta(update(9, 12)) == [update(9, 12)]
    assert one.delta(update(13, 13)) == [update(13, 13)]


def test_a_hole_among_the_held_updates_makes_the_snapshot_stale():
    one = chain()
    one.delta(update(1, 5))
    one.delta(update(8, 9))
    assert isinstance(one.snapshot(snapshot(3))[0], Stale)
    assert one.snapshot(snapshot(7)) == [snapshot(7), update(8, 9)]


def test_a_book_that_runs_holds_updates_for_a_snapshot_it_expects_and_does_not_go_back():
    one = live_at(10)
    one.hold(proven=True)
    assert one.delta(update(11, 12)) == [update(11, 12)]
    assert one.delta(update(13, 14)) == [update(13, 14)]
    assert isinstance(one.snapshot(snapshot(9))[0], Stale), "11 begins after 9 + 1"
    assert one.state.last == 14, "the book goes on meanwhile"
    assert one.snapshot(snapshot(12)) == [snapshot(12), update(13, 14)]
    assert one.state.last == 14


def test_a_snapshot_nobody_waits_for_that_is_older_than_the_book_asks_for_nothing():
    one = live_at(10)
    one.delta(update(11, 20))
    assert one.snapshot(snapshot(15)) == [], "Stale would fetch another, again too old, and so on for ever"
    assert one.delta(update(21, 21)) == [update(21, 21)]
    assert one.snapshot(snapshot(30)) == [snapshot(30)], "a newer one is taken"


def test_a_doubted_book_takes_no_update_before_a_snapshot_and_none_from_before_the_doubt():
    one = live_at(10)
    one.delta(update(11, 20))
    one.hold(proven=False)
    assert isinstance(one.snapshot(snapshot(15))[0], Stale), "on its way when the doubt came: back in time"
    assert one.delta(update(21, 22)) == []
    assert one.snapshot(snapshot(20)) == [snapshot(20), update(21, 22)]


def test_no_more_than_ten_thousand_updates_are_held():
    one = chain()
    for number in range(1, MAX_HELD + 11):
        one.delta(update(number, number))
    assert len(one.state.held) == MAX_HELD == 10_000
    assert isinstance(one.snapshot(snapshot(5))[0], Stale), "the eleventh is the first one held"
    assert len(one.snapshot(snapshot(10))) == 1 + MAX_HELD


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("usdhH"), st.integers(0, 30), st.integers(0, 6)), max_size=40))
def test_whatever_comes_what_passes_is_one_unbroken_line(steps):
    """Each delta that passes continues the last; after a loss nothing passes before a snapshot."""
    one, at = chain(), None
    for kind, first, length in steps:
        if kind in "us":
            events = (
                one.delta(update(first, first + length)) if kind == "u" else one.snapshot(snapshot(first))
            )
        else:
            one.hold(proven=kind == "h")
            at, events = (at if kind == "h" else None), []
        for event in events:
            if isinstance(event, Snapshot):
                at = event.sequence_id
            elif isinstance(event, Delta):
                assert at is not None
                assert event.first_id <= at + 1 <= event.sequence_id
                at = event.sequence_id
            elif isinstance(event, Lost):
                at = None
        assert at == one.state.last
        packed = msgspec.msgpack.encode(one.state)
        one = RestChain("BTCUSDT", msgspec.msgpack.decode(packed, type=ChainState))


def test_numbers_that_begin_anew_are_a_gap_and_no_frozen_book():
    chain = RestChain("BTCUSDT", ChainState())
    chain.snapshot(Snapshot("BTCUSDT", [], [], 1_000, None))
    chain.delta(Delta("BTCUSDT", [], [], 1_001, 1_001, None))
    events = [
        event
        for number in range(1, 40)
        for event in chain.delta(Delta("BTCUSDT", [], [], number, number, None))
    ]
    assert events[:-1] == [Repeated("BTCUSDT")] * 19
    assert isinstance(events[-1], Lost)


def test_any_number_of_old_updates_may_come_before_the_first_that_continues():
    chain = RestChain("BTCUSDT", ChainState())
    chain.snapshot(Snapshot("BTCUSDT", [], [], 1_000, None))
    assert all(chain.delta(Delta("BTCUSDT", [], [], at, at, None)) == [] for at in range(900, 1_001))
    assert len(chain.delta(Delta("BTCUSDT", [], [], 1_001, 1_002, None))) == 1


# --- snapshots over the socket --------------------------------------------------------------------------------


def linked(number: int | None) -> Delta:
    return Delta("BTCUSDT", [], [], None, number, 0)


def whole(number: int | None) -> Snapshot:
    return Snapshot("BTCUSDT", [], [], number, None)


def socket_chain() -> SocketChain:
    return SocketChain("BTCUSDT", SocketState())


def test_updates_over_a_socket_count_from_the_snapshot_on():
    one = socket_chain()
    assert one.delta(linked(5), 4) == []
    assert one.snapshot(whole(10)) == [whole(10)]
    assert one.delta(linked(12), 10) == [linked(12)]
    assert one.delta(linked(3), 12) == [linked(3)], "numbers may begin anew: only the link counts"
    (lost,) = one.delta(linked(13), 12)
    assert (lost.reason, lost.detail) == ("sequence_gap", "expected 3, got 12")
    assert one.delta(linked(4), 3) == []


def test_where_the_exchange_gives_no_numbers_every_update_follows():
    one = socket_chain()
    one.snapshot(whole(None))
    assert one.delta(linked(None), None) == [linked(None)]
    assert one.delta(linked(None), None) == [linked(None)]
    assert isinstance(one.delta(linked(5), 4)[0], Lost)


def test_a_loss_over_a_socket_is_told_once_and_a_snapshot_begins_anew_at_any_time():
    one = socket_chain()
    assert one.lost("unsubscribed") == [], "there was nothing to lose"
    one.snapshot(whole(1))
    assert one.lost("unsubscribed") == [Lost("BTCUSDT", "sequence_gap", "unsubscribed")]
    assert one.lost("unsubscribed") == []
    assert one.snapshot(whole(2)) == [whole(2)]
    assert one.snapshot(whole(9)) == [whole(9)]
    assert one.delta(linked(10), 9) == [linked(10)]


def test_a_doubted_book_takes_no_update_before_the_next_snapshot_and_an_awaited_one_does():
    one = socket_chain()
    one.snapshot(whole(1))
    one.hold(proven=True)
    assert one.delta(linked(2), 1) == [linked(2)]
    one.hold(proven=False)
    assert one.delta(linked(3), 2) == []
    one.snapshot(whole(1))
    assert one.delta(linked(2), 1) == [linked(2)]


NUMBERS = st.one_of(st.none(), st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("uuushHl"), NUMBERS, NUMBERS), max_size=40))
def test_whatever_comes_over_a_socket_what_passes_is_one_unbroken_line(steps):
    """And every break of the line is told, once."""
    one, line, broken = socket_chain(), None, True
    for kind, follows, number in steps:
        if kind == "s":
            assert one.snapshot(whole(number)) == [whole(number)]
            line, broken = number, False
        elif kind == "u":
            passed = one.delta(linked(number), follows)
            if not broken and follows == line:
                assert passed == [linked(number)]
                line = number
            else:
                assert [type(event) for event in passed] == [Lost] * (not broken)
                broken = True
        elif kind == "l":
            assert len(one.lost("x")) == (not broken)
            broken = True
        else:
            one.hold(proven=kind == "h")
            broken = broken or kind == "H"
        packed = msgspec.msgpack.encode(one.state)
        one = SocketChain("BTCUSDT", msgspec.msgpack.decode(packed, type=SocketState))

"""`JoinedChain`: updates linked by equal numbers, a snapshot asked for and joined to those held."""

from itertools import pairwise
from random import Random

import msgspec
import pytest

from COBY.continuity import MAX_HELD, MAX_PASSED, MAX_UNJOINED
from COBY.exchanges.base import Delta, Lost, Snapshot, Stale
from COBY.joining import JoinedChain, JoinedState


def update(follows, number):
    return Delta("X", [(str(number), "1")], [], follows + 1, number, None)


def whole(number):
    return Snapshot("X", [("1", "1")], [("2", "1")], number, None, depth=400)


def chain(*held):
    one = JoinedChain("X", JoinedState())
    for delta in held:
        assert one.delta(delta) == []
    return one


def live(at=100):
    one = chain(update(at - 1, at))
    assert one.snapshot(whole(at)) == [whole(at)]
    return one


def kinds(events):
    return [type(event).__name__ for event in events]


STREAM = [update(10, 20), update(20, 21), update(21, 30)]


@pytest.mark.parametrize(("at", "rest"), [(10, STREAM), (20, STREAM[1:]), (21, STREAM[2:]), (30, [])])
def test_a_snapshot_that_an_update_held_follows_is_joined_to_it(at, rest):
    one = chain(*STREAM)
    assert one.snapshot(whole(at)) == [whole(at), *rest]
    assert one.delta(update(30, 31)) == [update(30, 31)]


@pytest.mark.parametrize("at", [0, 9, 11, 19, 22, 29])
def test_a_snapshot_older_than_what_is_held_or_between_two_updates_is_stale(at):
    one = chain(*STREAM)
    (stale,) = one.snapshot(whole(at))
    assert (type(stale), stale.reason) == (Stale, "snapshot_too_old")
    assert one.delta(update(30, 31)) == [], "still waiting"
    assert one.snapshot(whole(30)) == [whole(30), update(30, 31)]


def test_a_newer_snapshot_waits_for_the_update_that_reaches_it():
    one = chain(*STREAM)
    assert one.snapshot(whole(50)) == []
    assert one.delta(update(30, 40)) == []
    assert one.delta(update(40, 50)) == [whole(50)]
    assert one.delta(update(50, 51)) == [update(50, 51)]


def test_a_newer_snapshot_that_the_stream_passes_without_its_number_is_stale():
    one = chain(*STREAM)
    assert one.snapshot(whole(35)) == []
    assert kinds(one.delta(update(30, 40))) == ["Stale"]
    assert one.delta(update(40, 41)) == []
    assert one.snapshot(whole(40))[0] == whole(40)


def test_a_newer_snapshot_gives_way_to_a_later_one_and_a_gap_in_what_is_held_ends_it():
    one = chain(*STREAM)
    assert one.snapshot(whole(50)) == []
    assert one.snapshot(whole(60)) == []
    assert one.delta(update(30, 50)) == []
    assert one.delta(update(50, 60)) == [whole(60)]
    one = chain(*STREAM)
    assert one.snapshot(whole(50)) == []
    assert kinds(one.delta(update(55, 60))) == ["Stale"]


def test_a_snapshot_far_ahead_of_its_stream_is_not_waited_for_for_ever():
    one = chain(update(0, 1))
    assert one.snapshot(whole(10_000_000)) == []
    taken = [kinds(one.delta(update(number, number + 1))) for number in range(1, MAX_UNJOINED + 2)]
    assert taken[-1] == ["Stale"] or taken[-2] == ["Stale"]
    assert sum(map(len, taken)) == 1


@pytest.mark.parametrize(
    ("follows", "number", "expected"),
    [(100, 110, ["Snapshot", "Delta"]), (95, 100, ["Snapshot"]), (90, 95, []), (99, 101, ["Stale"]),
     (101, 102, ["Stale"])],
)  # fmt: skip
def test_without_updates_a_snapshot_waits_for_one_as_it_may_have_been_made_too_early(
    follows, number, expected
):
    one = chain()
    assert one.snapshot(whole(100)) == []
    assert kinds(one.delta(update(follows, number))) == expected


def test_on_a_market_that_stands_still_the_same_snapshot_twice_is_the_book():
    one = chain()
    assert one.snapshot(whole(100)) == []
    assert one.snapshot(whole(101)) == []
    assert one.snapshot(whole(101)) == [whole(101)]
    assert one.delta(update(101, 102)) == [update(101, 102)]


def test_every_update_follows_the_very_last_number():
    assert live(100).delta(update(100, 110)) == [update(100, 110)]
    for follows, number in ((99, 110), (90, 100), (101, 110), (110, 120), (50, 60)):
        one = live(100)
        (lost,) = one.delta(update(follows, number))
        assert (type(lost), lost.detail) == (Lost, f"expected 100, got {follows}")
        assert one.delta(update(number, number + 1)) == []


def test_an_idle_update_repeats_the_last_number():
    one = live(100)
    assert one.delta(update(100, 100)) == [update(100, 100)]
    assert one.delta(update(100, 101)) == [update(100, 101)]
    one = chain(update(10, 20), update(20, 20), update(20, 25))
    assert one.snapshot(whole(20)) == [whole(20), update(20, 20), update(20, 25)]


def test_the_same_update_twice_or_two_swapped_are_a_gap():
    one = live(100)
    one.delta(update(100, 110))
    assert kinds(one.delta(update(100, 110))) == ["Lost"]
    one = live(100)
    assert kinds(one.delta(update(110, 120))) == ["Lost"]
    assert one.delta(update(100, 110)) == [], "late"
    assert one.snapshot(whole(120)) == [whole(120)]


def test_what_is_held_survives_an_update_that_comes_late_or_twice_but_has_no_gap():
    one = chain(update(10, 20), update(20, 30), update(10, 20), update(20, 30), update(30, 40))
    assert one.snapshot(whole(20)) == [whole(20), update(20, 30), update(30, 40)]
    one = chain(update(10, 20), update(30, 40))
    assert kinds(one.snapshot(whole(10))) == ["Stale"]
    assert one.snapshot(whole(30)) == [whole(30), update(30, 40)]


def test_a_snapshot_that_nobody_waits_for_changes_nothing():
    one = live(100)
    one.delta(update(100, 110))
    for at in (5, 100, 105, 110, 500):
        assert one.snapshot(whole(at)) == []
    assert one.delta(update(110, 120)) == [update(110, 120)]


def test_after_a_gap_no_snapshot_from_before_it_counts():
    one = live(100)
    assert kinds(one.delta(update(105, 110))) == ["Lost"]
    for at in (90, 100, 104):
        assert kinds(one.snapshot(whole(at))) == ["Stale"]
    assert one.snapshot(whole(105)) == [whole(105), update(105, 110)]


def test_an_old_update_that_broke_the_chain_does_not_bring_an_old_book_back():
    one = live(100)
    assert kinds(one.delta(update(50, 60))) == ["Lost"]
    assert kinds(one.snapshot(whole(50))) == ["Stale"], "the book was at 100"
    assert one.delta(update(100, 110)) == []
    assert one.snapshot(whole(100)) == [whole(100), update(100, 110)]


def test_an_unusable_update_is_lost_once_and_only_a_snapshot_behind_it_counts():
    one = live(100)
    assert kinds(one.lost("unusable", until=110)) == ["Lost"]
    assert one.lost("unusable", until=115) == []
    assert kinds(one.snapshot(whole(110))) == ["Stale"], "the second of them ended at 115"
    assert one.snapshot(whole(115)) == []
    assert one.delta(update(115, 116)) == [whole(115), update(115, 116)]
    one = live(100)
    assert kinds(one.lost("no number")) == ["Lost"]
    assert kinds(one.snapshot(whole(100))) == ["Stale"]
    assert one.snapshot(whole(101)) == []
    assert one.delta(update(101, 102)) == [whole(101), update(101, 102)]


def test_numbers_begun_anew_are_believed_when_the_stream_keeps_to_them():
    one = live(1_000_000)
    one.hold(proven=False)
    for number in range(MAX_PASSED):
        assert kinds(one.snapshot(whole(number))) == ["Stale"]
        one.delta(update(number, number + 1))
    assert one.snapshot(whole(MAX_PASSED)) == [whole(MAX_PASSED)]
    assert one.delta(update(MAX_PASSED, MAX_PASSED + 1))


def test_numbers_begun_anew_while_waiting_begin_the_updates_held_anew():
    one = chain(update(1_000_000, 1_000_001))
    for number in range(2 * MAX_PASSED):
        one.delta(update(number, number + 1))
    assert kinds(one.snapshot(whole(2 * MAX_PASSED))) == ["Snapshot"]


def test_a_book_found_wrong_waits_and_a_live_one_goes_on_until_its_next_snapshot():
    one = live(100)
    one.hold(proven=False)
    assert one.delta(update(100, 110)) == []
    assert one.snapshot(whole(100)) == [whole(100), update(100, 110)]
    one.hold(proven=True)
    assert one.delta(update(110, 120)) == [update(110, 120)]
    assert one.snapshot(whole(130)) == []
    assert one.delta(update(120, 130)) == [update(120, 130), whole(130)]
    assert one.delta(update(130, 140)) == [update(130, 140)]
    assert one.snapshot(whole(140)) == [], "nobody waits any more"


def test_what_is_held_is_bounded():
    one = chain(*(update(number, number + 1) for number in range(MAX_HELD + 5)))
    assert len(one.state.held) == MAX_HELD
    assert kinds(one.snapshot(whole(4))) == ["Stale"]
    assert len(one.snapshot(whole(5))) == MAX_HELD + 1


@pytest.mark.parametrize("seed", range(60))
def test_whatever_comes_a_live_book_is_the_streams_and_any_state_can_be_saved(seed):
    """A stream with losses, doubles and swaps, and snapshots of any age: live means exactly as the stream was."""
    random = Random(seed)
    one, book = JoinedChain("X", JoinedState()), None
    numbers = [0]
    while len(numbers) < 300:
        numbers.append(numbers[-1] + random.randrange(1, 4))
    stream = [update(*pair) for pair in pairwise(numbers)]
    lives = 0
    place = 0
    while place < len(stream):
        draw = random.randrange(30)
        if draw == 0:
            place += 1  # one is lost
            continue
        deltas = [stream[place]]
        if draw == 1:
            deltas *= 2
        elif draw == 2 and place + 1 < len(stream):
            deltas = [stream[place + 1], stream[place]]
            place += 1
        place += 1
        events = [event for delta in deltas for event in one.delta(delta)]
        if random.randrange(6) == 0:
            at = random.choice(numbers[max(0, place - 8) : place + 8])
            events += one.snapshot(whole(at))
        for event in events:
            if isinstance(event, Snapshot):
                book = event.sequence_id
            elif isinstance(event, Delta):
                assert book == event.first_id - 1
                book = event.sequence_id
            elif isinstance(event, Lost):
                book = None
        packed = msgspec.msgpack.encode(msgspec.to_builtins(one.state))
        one = JoinedChain("X", msgspec.convert(msgspec.msgpack.decode(packed), JoinedState))
        assert one.state.last == book
        if book is not None and not one.state.holding:
            assert book in numbers
            lives += 1
    assert 20 < lives < 300

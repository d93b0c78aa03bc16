"""The queue of a WebSocket client, by itself: numbers, cursors, what gives way, and when a client is slow."""

import json
from functools import reduce
from operator import or_

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ws.channels import CHANNELS, Selection
from api.ws.cursors import live_cursor, replay_cursor
from api.ws.messages import SERVER_MESSAGES, Heartbeat, Pong
from api.ws.outbox import MAX_BYTES, MAX_SECONDS, Feed, Outbox
from api.ws.rate import FLOOD_SECONDS, OPERATIONS, REFUSED, Rate

BOOK = Selection(CHANNELS["book"], "BTCUSDT")
TRADE = Selection(CHANNELS["trade"], "BTCUSDT")


def all_of(outbox):
    found = []
    while (text := outbox.next()) is not None:
        found.append(json.loads(text))
    return found


def offsets(message):
    return live_cursor(message["cursor"], 2, "x").offsets


def test_events_come_in_order_with_numbers_and_where_they_stand():
    outbox, feed = Outbox(), Feed(TRADE, (5, 9), seq=41)
    outbox.offer(feed, "update", '{"trade_id":"a"}', (6, 9), 0.0)
    outbox.tell(Pong(seq=0, id="x", time="now"), 0.0)
    outbox.offer(feed, "gap", '{"reason":"b"}', (6, 10), 0.0)
    outbox.tell(Pong(seq=0, id=7, time="now"), 0.0)
    assert all_of(outbox) == [
        {
            "type": "update", "subscription": "trade:BTCUSDT", "channel": "trade", "symbol": "BTCUSDT",
            "seq": 42, "cursor": "live.42.6.9", "conflated": 0, "data": {"trade_id": "a"},
        },
        {"type": "pong", "seq": 1, "id": "x", "time": "now"},
        {
            "type": "gap", "subscription": "trade:BTCUSDT", "channel": "trade", "symbol": "BTCUSDT",
            "seq": 43, "cursor": "live.43.6.10", "conflated": 0, "data": {"reason": "b"},
        },
        {"type": "pong", "seq": 2, "id": 7, "time": "now"},
    ]  # fmt: skip


def test_a_newer_state_takes_the_place_of_one_that_waits_and_says_how_many():
    outbox, feed = Outbox(), Feed(BOOK, (0, 0))
    for number, key in enumerate("aba"):
        outbox.offer(feed, "update", f'"{key}{number}"', (number + 1, 0), 0.0, key=key)
    first, second = all_of(outbox)
    assert (first["data"], first["conflated"], second["data"], second["conflated"]) == ("a2", 1, "b1", 0)
    # Whoever resumes after the first must still get b1, which lies before a2.
    assert offsets(first) == (1, 0)
    assert offsets(second) == (2, 0)
    assert outbox.conflated == 1


def test_nothing_after_a_gap_is_shown_before_it():
    outbox, feed = Outbox(), Feed(BOOK, (0, 0))
    outbox.offer(feed, "update", '"old"', (1, 0), 0.0, key="a")
    outbox.offer(feed, "gap", '"gap"', (1, 1), 0.0)
    outbox.offer(feed, "update", '"new"', (2, 1), 0.0, key="a")
    outbox.offer(feed, "update", '"newest"', (3, 1), 0.0, key="a")
    assert [message["data"] for message in all_of(outbox)] == ["old", "gap", "newest"]


def test_no_key_waits_for_ever_behind_others():
    outbox, feed = Outbox(), Feed(BOOK, (0, 0))
    seen = set()
    for tick in range(30):  # three keys a tick, one message taken a tick
        for index, key in enumerate("abc"):
            outbox.offer(feed, "update", f'"{key}"', (3 * tick + index + 1, 0), float(tick), key=key)
        seen.add(json.loads(outbox.next())["data"])
    assert seen == {"a", "b", "c"}
    assert len(outbox) == 2


@given(st.lists(st.tuples(st.sampled_from("abc-"), st.booleans()), max_size=60))
def test_resuming_after_any_message_loses_no_event_and_no_newest_state(steps):
    """A client is cut after each message in turn; what the log holds from its cursor on must hold what it lacks."""
    outbox, feed = Outbox(), Feed(BOOK, (0, 0))
    log, taken = [], []
    for key, takes in steps:
        log.append(key)
        outbox.offer(
            feed,
            "update" if key != "-" else "gap",
            str(len(log) - 1),
            (len(log), 0),
            0.0,
            key=None if key == "-" else key,
        )
        if takes and (text := outbox.next()) is not None:
            taken.append(json.loads(text))
            place = offsets(taken[-1])[0]
            seen = {message["data"] for message in taken} | set(range(place, len(log)))
            gaps = {number for number, name in enumerate(log) if name == "-"}
            newest = {name: number for number, name in enumerate(log)}
            assert gaps <= seen
            assert {number for name, number in newest.items() if name != "-"} <= seen
    assert [message["seq"] for message in taken] == list(range(1, len(taken) + 1))


def test_a_client_is_slow_by_bytes_or_by_seconds_of_events_and_never_by_states():
    outbox, feed = Outbox(), Feed(TRADE, (0, 0))
    book = Feed(BOOK, (0, 0))
    for number in range(8):
        outbox.offer(book, "update", "x" * 1_000_000, (number + 1, 0), 0.0, key=number)
    assert outbox.slow(1e9) is None
    outbox.offer(feed, "update", "x", (1, 0), 10.0)
    assert outbox.slow(10.0 + MAX_SECONDS) is None
    assert outbox.slow(10.1 + MAX_SECONDS) is not None
    outbox.clear()
    assert outbox.slow(1e9) is None
    for number in range(MAX_BYTES // 1_000_000 + 1):
        outbox.offer(feed, "update", "x" * 1_000_000, (number + 1, 0), 0.0)
    assert outbox.slow(0.0) is not None


def test_heartbeats_that_are_not_taken_give_way_to_the_newest():
    outbox = Outbox()
    for number in range(5):
        beat = Heartbeat(seq=0, time=str(number), waiting_bytes=0, session=None, channels=[])
        outbox.tell(beat, float(number), key="heartbeat")
    assert [(message["time"], message["seq"]) for message in all_of(outbox)] == [("4", 1)]


def test_what_waits_of_an_ended_subscription_is_never_sent():
    outbox, feed, other = Outbox(), Feed(TRADE, (0, 0)), Feed(BOOK, (0, 0))
    outbox.offer(feed, "update", '"a"', (1, 0), 0.0)
    outbox.offer(other, "update", '"b"', (1, 0), 0.0, key="k")
    outbox.forget(feed)
    assert [message["data"] for message in all_of(outbox)] == ["b"]
    assert (outbox.waiting_bytes, len(outbox)) == (0, 0)


def test_what_is_written_by_hand_reads_back_as_the_message_it_is():
    """The texts of subscriptions are put together from parts; the structs are what AsyncAPI says."""
    outbox, feed = Outbox(), Feed(TRADE, (1, 2))
    outbox.snapshot(feed, ['{"a":1}', '{"b":2}'], (3, 4), 0.0, complete=False)
    outbox.offer(feed, "update", "{}", (4, 4), 0.0)
    replay = Feed(TRADE, (1, 5, 6), session="abc")
    outbox.offer(replay, "gap", "{}", (1, 6, 7), 0.0, of='"session":"abc","run":1,"n":6,')
    union = msgspec.json.Decoder(reduce(or_, SERVER_MESSAGES))
    snapshot, update, gap = (union.decode(outbox.next()) for _ in range(3))
    assert (snapshot.complete, snapshot.data, snapshot.cursor) == (False, [{"a": 1}, {"b": 2}], "live.1.3.4")
    assert (update.seq, update.session, update.conflated) == (2, None, 0)
    assert (gap.session, gap.run, gap.n) == ("abc", 1, 6)
    assert replay_cursor(gap.cursor, "abc", "x") == ("abc", 1, 1, 6, 7)


def test_a_cursor_says_of_which_topics_its_offsets_are():
    outbox, feed = Outbox(), Feed(TRADE, (0, 0))
    feed.topics = ("q3/I4a", "V+0x1Q")
    outbox.offer(feed, "update", "{}", (1, 0), 0.0)
    assert (text := json.loads(outbox.next())["cursor"]) == "live.1.1.0~q3/I4a~V+0x1Q"
    assert live_cursor(text, 2, "x") == (1, (1, 0), ("q3/I4a", "V+0x1Q"))
    assert live_cursor("live.1.1.0", 2, "x") == (1, (1, 0), ())


def test_a_client_stands_where_what_still_waits_begins():
    outbox, feed = Outbox(), Feed(TRADE, (0, 0))
    assert feed.standing() == (0, 0)
    for number in range(3):
        outbox.offer(feed, "update", "{}", (number + 1, 0), 0.0)
    outbox.next()
    assert feed.standing() == (1, 0)
    outbox.forget(feed)
    assert feed.standing() == (3, 0)


WRONG = ("", "live", "live.1", "live.1.2", "live.1.2.3.4", "live.1.-2.3", "live.1.2.٣", "replay.a.1.1.1.1",
         "live.1.2.3~", "live.1.2.3~a b", "live.1.2.3~a~b~c", "live.1.2~a.3")  # fmt: skip
TOO_LARGE = ("live.1.2.99999999999999999999", "live.1.9223372036854775808.3")


@pytest.mark.parametrize("text", [*WRONG, *TOO_LARGE])
def test_a_cursor_of_another_kind_is_refused(text):
    with pytest.raises(Exception, match=r"cursor\.invalid"):
        live_cursor(text, 2, "trade:BTCUSDT")


@pytest.mark.parametrize(
    "text", ["", "replay.abc.1.1.1", "replay.other.1.1.1.1", "live.1.2.3", "replay.abc.1.1.x.1"]
)
def test_a_replay_cursor_of_another_session_is_refused(text):
    with pytest.raises(Exception, match=r"cursor\.invalid"):
        replay_cursor(text, "abc", "trade:BTCUSDT")


def test_twenty_operations_a_second_and_a_flood_is_known():
    rate = Rate()
    assert [rate.take(0.0) for _ in range(OPERATIONS + 1)] == [True] * OPERATIONS + [False]
    assert rate.take(1.0)
    assert not rate.is_flooding(1.0)
    for _ in range(OPERATIONS + REFUSED):
        rate.take(1.0)
    assert rate.is_flooding(1.0)
    assert not rate.is_flooding(1.0 + FLOOD_SECONDS)

"""Sessions over a range of which topics have lost the first half: the database gives it, without seam or double."""

from collections import Counter

import pytest

from COBY.codec import decode
from COBY.stage import parse_position
from tests.integration.replay_run import DERIVED, TABLED, half_expired, place
from tests.integration.replay_world import all_of, at_ms, do, managing, until_ended, without_repeats, working
from tests.integration.test_replay_stored import held
from tests.integration.verify_run import SECONDS

PREFIX = "treplayauto"


@pytest.fixture(scope="module")
def world(kafka, timescale):
    """(outputs, manager, first ms): two exchanges, all stored, half of each topic expired, a worker."""
    with (
        half_expired(kafka, timescale, PREFIX) as (cfg, _, start_ns, outputs, _),
        working(cfg),
        managing(cfg) as manager,
    ):
        yield outputs, manager, start_ns // 10**6


def played(kafka, manager, first_ms, source, **more):
    """(status, what a consumer takes) of a session over all of the run."""
    start, end = at_ms(first_ms - 1000), at_ms(first_ms + 1000 * SECONDS + 5_000)
    one = manager.create_replay_session(start, end, 0, source=source, **more)
    do(manager.start_replay(one))
    status = until_ended(manager, one)
    view = without_repeats(all_of(kafka.bootstrap_servers, manager.topic(one)))
    do(manager.delete(one))
    return status, view


def taken(view, name):
    """(source, position) -> record, of a channel; each once."""
    ours = [one for one in view if one.header("topic") == f"{PREFIX}.{name}.v1"]
    found = {(one.header("source"), parse_position(one.header("position").encode())): one for one in ours}
    assert len(found) == len(ours), f"{name}: something came twice"
    return found


def test_the_database_gives_what_topics_have_lost_and_nothing_twice(world, kafka):
    outputs, manager, first_ms = world
    status, view = played(kafka, manager, first_ms, "auto")
    assert (status.state, status.error) == ("finished", None)
    sides = Counter()
    for name in TABLED:
        ours = [one for one in outputs if one.topic == name]
        kept = {place(one) for one in held(name, ours)}
        whole = {place(one): one for one in ours}
        found = taken(view, name)
        of_topics = {at for at, one in found.items() if one.header("from") is None}
        assert kept <= found.keys() <= whole.keys()
        assert found.keys() == of_topics | kept
        assert of_topics
        for at, one in found.items():
            live = whole[at]
            assert (one.key, one.timestamp_ms) == (live.key, live.timestamp_ms)
            sides[name, one.header("from")] += 1
            if at in of_topics:
                assert one.content[:3] == (live.key, live.value, live.timestamp_ms)
            elif name != "book":
                assert decode(one.value) == decode(live.value)
    assert all(sides[name, "database"] for name in TABLED)
    assert any(line.startswith("consolidated: no table") for line in status.missing)


def test_trades_whose_two_times_lie_on_both_sides_of_the_border_come_once(world, kafka):
    """Exchange times of the two sides overlap, receipts do not: by (source, position) each trade is there once."""
    outputs, manager, first_ms = world
    _, view = played(kafka, manager, first_ms, "auto", channels=["trade"])
    found = taken(view, "trade")
    trades = {place(one): decode(one.value) for one in outputs if one.topic == "trade"}
    assert {at: decode(one.value) for at, one in found.items()} == trades
    of = {True: [], False: []}
    for at, one in found.items():
        of[one.header("from") == "database"].append(trades[at])
    assert max(one.timestamp for one in of[True]) > min(one.timestamp for one in of[False])


def test_topics_alone_say_what_is_gone(world, kafka):
    _, manager, first_ms = world
    status, view = played(kafka, manager, first_ms, "topics")
    assert status.state == "finished"
    assert {line.split(":")[0] for line in status.missing if "oldest record" in line} == set(DERIVED)
    assert all(one.header("from") is None for one in view)


def test_the_database_alone(world, kafka):
    outputs, manager, first_ms = world
    status, view = played(kafka, manager, first_ms, "database", channels=["trade", "ohlcv"])
    assert status.state == "finished"
    for name in ("trade", "ohlcv"):
        ours = [one for one in outputs if one.topic == name]
        assert taken(view, name).keys() == {place(one) for one in held(name, ours)}
    assert all(one.header("from") == "database" for one in view)


def test_a_session_over_the_border_goes_on_where_it_was(world, kafka):
    outputs, manager, first_ms = world
    start, end = at_ms(first_ms - 1000), at_ms(first_ms + 1000 * SECONDS + 5_000)
    one = manager.create_replay_session(start, end, 10, channels=["trade", "heatmap"])
    do(manager.start_replay(one))
    for _ in range(5):
        do(manager.pause_replay(one))
        do(manager.resume(one))
    do(manager.set_speed(one, 0))
    until_ended(manager, one)
    view = without_repeats(all_of(kafka.bootstrap_servers, manager.topic(one)))
    do(manager.delete(one))
    assert taken(view, "trade").keys() == {place(one) for one in outputs if one.topic == "trade"}
    assert [item.place[1] for item in view] == sorted(item.place[1] for item in view)

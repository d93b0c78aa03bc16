"""What a rebuild of Redis keeps of a partition: the newest of each key, the last of each feed, in order."""

from sinks.latest import Entry
from sinks.rebuild import Kept


def entry(key: str, position: int, *, feed: str = "f", length: int = 3, source: str = "s") -> Entry:
    return Entry(key, feed, "p", f"{key}|{source}", (position, 0), f"{key}{position}", length)


def values(kept: Kept) -> list[str]:
    return [item.value for item in kept.entries()]


def test_a_feed_keeps_its_last_entries_and_every_key_its_newest():
    kept = Kept([entry("quiet", 1), *(entry("busy", number) for number in range(2, 9))])
    assert values(kept) == ["quiet1", "busy6", "busy7", "busy8"]
    assert kept.latest_keys() == {"quiet", "busy"}


def test_repeats_and_older_entries_fall_out_as_they_would_one_by_one():
    positions = [5, 3, 5, 9, 8, 9, 10]
    assert values(Kept([entry("k", position, length=9) for position in positions])) == ["k5", "k9", "k10"]


def test_feeds_are_counted_apart_and_stay_interleaved_in_order():
    entries = [entry(key, number, feed=key, length=2) for number in range(4) for key in ("a", "b")]
    assert values(Kept(entries)) == ["a2", "b2", "a3", "b3"]


def test_sources_of_one_key_are_compared_apart():
    kept = Kept([entry("k", 9, source="s"), entry("k", 1, source="t")])
    assert values(kept) == ["k9", "k1"]


def test_nothing_is_kept_of_nothing():
    assert values(Kept([])) == []

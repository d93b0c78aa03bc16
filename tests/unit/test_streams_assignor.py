"""Partition p of every topic goes to member p mod n, members sorted."""

from hypothesis import given
from hypothesis import strategies as st

from streams.assignor import assign

MEMBERS = st.lists(st.text("abc-9", min_size=1, max_size=6), min_size=1, max_size=7, unique=True)


def test_two_members_share_even_and_odd_numbers():
    found = assign({"raw": range(4), "book": range(5)}, {"m2": ["raw", "book"], "m1": ["book", "raw"]})
    assert found == {"m1": {"raw": [0, 2], "book": [0, 2, 4]}, "m2": {"raw": [1, 3], "book": [1, 3]}}


@given(MEMBERS, st.integers(1, 12), st.integers(1, 12))
def test_each_partition_has_one_reader_and_numbers_stay_together(members, first, second):
    topics = {"a": range(first), "b": range(second)}
    found = assign(topics, {member: list(topics) for member in members})
    readers = {
        (topic, partition): member
        for member, own in found.items()
        for topic, partitions in own.items()
        for partition in partitions
    }
    assert sum(len(partitions) for own in found.values() for partitions in own.values()) == first + second
    assert readers.keys() == {("a", number) for number in range(first)} | {
        ("b", number) for number in range(second)
    }
    for (_, number), member in readers.items():
        assert member == sorted(members)[number % len(members)]


def test_a_topic_is_shared_by_those_who_read_it():
    found = assign(
        {"raw": range(4), "book": range(2)}, {"m1": ["raw"], "m2": ["raw", "book"], "m3": ["book"]}
    )
    assert found == {"m1": {"raw": [0, 2]}, "m2": {"raw": [1, 3], "book": [0]}, "m3": {"book": [1]}}


def test_a_topic_nobody_reads_or_without_partitions_is_nobodys():
    assert assign({"raw": range(2), "gone": ()}, {"m1": ["gone"]}) == {"m1": {}}

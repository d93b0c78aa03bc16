"""Cutting, ordering and acks of chunks."""

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from COBY.stage import StoredRecord
from streams.chunks import MAX_BYTES, MAX_RECORDS, Ledger, Queue, cut

A, B, OTHER = TP("a", 0), TP("b", 0), TP("a", 1)


def record(offset, size=1, time_ms=0):
    return StoredRecord(offset, time_ms, b"", b"x" * size, ())


def records(*times_ms, first=0):
    return [record(first + at, time_ms=time_ms) for at, time_ms in enumerate(times_ms)]


@given(st.lists(st.sampled_from([0, 1, 1000, 300_000, MAX_BYTES, MAX_BYTES + 1, 5_000_000]), max_size=1200))
def test_pieces_are_within_both_limits_and_lose_nothing(sizes):
    given_ = [
        StoredRecord(at, 0, b"", memoryview(bytes(5_000_000))[:size], ())
        for at, size in enumerate(sizes[:60])
    ]
    given_ += [record(60 + at) for at in range(len(sizes) * 3)]
    pieces = list(cut(given_))
    assert [item for piece in pieces for item in piece] == given_
    for piece in pieces:
        assert 1 <= len(piece) <= MAX_RECORDS
        assert len(piece) == 1 or sum(len(item.value) for item in piece) <= MAX_BYTES


def test_a_piece_is_as_long_as_the_limits_allow():
    assert [len(piece) for piece in cut([record(at) for at in range(1001)])] == [500, 500, 1]
    assert [len(piece) for piece in cut([record(at, MAX_BYTES // 2) for at in range(5)])] == [2, 2, 1]


def test_keys_count_and_null_values_do_not():
    half = b"k" * (MAX_BYTES // 2)
    assert [len(piece) for piece in cut([StoredRecord(at, 0, half, None, ()) for at in range(3)])] == [2, 1]


def test_the_oldest_piece_comes_first_and_ties_go_by_topic():
    queue = Queue()
    queue.add(B, records(5))
    queue.add(A, records(7))
    queue.add(OTHER, records(5))
    assert [queue.pop()[0] for _ in range(3)] == [OTHER, B, A]
    assert queue.pop() is None
    assert not queue


def test_a_partition_is_never_reordered_by_its_times():
    queue = Queue()
    queue.add(A, [record(at, MAX_BYTES, time_ms) for at, time_ms in enumerate([9, 1, 20])])
    queue.add(B, [record(0, MAX_BYTES, 8), record(1, MAX_BYTES, 10)])
    order = [(tp, piece[0].offset) for tp, piece in iter(queue.pop, None)]
    # By hand: 8 | 9, then 1 counts as 9 (the partition has been there) | 10 | 20.
    assert order == [(B, 0), (A, 0), (A, 1), (B, 1), (A, 2)]


def test_nothing_overtakes_a_partition_of_its_number_that_is_behind():
    queue = Queue()
    queue.add(A, records(1))
    queue.add(OTHER, records(2))
    assert queue.pop([B])[0] == OTHER
    assert queue.pop([B]) is None
    assert A in queue
    assert queue.pop()[0] == A


def test_a_cleared_queue_is_empty_and_forgets_times():
    queue = Queue()
    queue.add(A, records(100))
    queue.pop()
    queue.add(A, records(1))
    queue.clear()
    assert queue.pop() is None
    queue.add(A, records(2))
    queue.add(B, records(3))
    assert queue.pop()[0] == A


@given(st.permutations(range(6)), st.integers(0, 6))
def test_only_the_acked_prefix_may_be_committed(order, count):
    ledger = Ledger()
    lasts = [9, 19, 20, 120, 121, 300]
    for last in lasts:
        ledger.delivered(A, last)
    done = set()
    for number in order[:count]:
        ledger.ack(A, lasts[number])
        done.add(number)
    prefix = next(at for at in range(7) if at not in done)
    assert ledger.end(A) == (lasts[prefix - 1] + 1 if prefix else None)
    assert ledger.end(B) is None


def test_an_ack_of_a_forgotten_chunk_changes_nothing():
    ledger = Ledger()
    ledger.delivered(A, 9)
    ledger.clear()
    ledger.ack(A, 9)
    assert ledger.end(A) is None
    ledger.delivered(A, 4)
    ledger.ack(A, 9)
    assert ledger.end(A) is None
    ledger.ack(A, 4)
    assert ledger.end(A) == 5

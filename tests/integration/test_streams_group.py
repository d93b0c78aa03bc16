"""Several workers: who reads what, and what happens when one is killed."""

import signal
import time
from collections import defaultdict

import pytest

from tests.integration.test_streams_echo import bench, end_of, expected, places, until

__all__ = ["bench"]  # the fixture


def numbers_by_worker(chunks):
    """pid -> the partition numbers it was given chunks of, over all topics."""
    found = defaultdict(set)
    for pid, source, *_ in chunks:
        found[pid].add(int(source.split("/")[1]))
    return dict(found)


def members(bench):
    """Member id -> {(topic, partition)}, as the broker has them."""
    group = next(iter(bench.admin.describe_consumer_groups([f"{bench.prefix}-streams"]).values())).result(60)
    return {
        member.member_id: {(tp.topic, tp.partition) for tp in member.assignment.topic_partitions}
        for member in group.members
    }


def by_modulo(bench, found):
    """What the rule says: partition p of every topic to member p mod n, members sorted."""
    names = sorted(found)
    wanted = {name: set() for name in names}
    for topic, partitions in ((bench.raw, 4), (bench.book, 12)):
        for partition in range(partitions):
            wanted[names[partition % len(names)]].add((topic, partition))
    return wanted


def settled(bench, count):
    """Wait until so many members share all partitions, and as the rule says."""

    def look():
        found = members(bench)
        return len(found) == count and found == by_modulo(bench, found)

    return until(look)


def test_a_killed_worker_is_replaced_without_loss_and_repeats_are_identical(bench):
    values = [[b"%d-%d" % (part, at) for at in range(16_000)] for part in range(4)]
    # The one that is killed has saved nothing, however late the kill comes: else it might have had nothing to repeat.
    with bench.worker(SNAPSHOT_INTERVAL="3600") as first, bench.worker() as second:
        settled(bench, 2)
        for part in range(4):
            bench.write(part, values[part][:4_000])
        until(lambda: len(bench.outputs()) == 4)
        split = numbers_by_worker(bench.chunks())
        assert set(map(frozenset, split.values())) == {frozenset({0, 2}), frozenset({1, 3})}
        for part in range(4):
            bench.write(part, values[part][4_000:10_000])
        first.kill()  # -9, in mid-load
        for part in range(4):
            bench.write(part, values[part][10_000:])
        with bench.worker() as third:
            until(lambda: bench.committed() == [16_000] * 4, 120)
            settled(bench, 2)
            assert second.poll() is None
            assert third.poll() is None
            repeats, found = 0, bench.outputs()
            for part, wanted in enumerate(values):
                outputs = places(found[f"binance/{part}"])
                kept, last = [], -1
                for offset, value in outputs:
                    if offset > last:
                        kept.append((offset, value))
                        last = offset
                assert kept == expected(wanted)
                assert set(outputs) == set(kept)
                repeats += len(outputs) - len(kept)
            # There were repeats, or this shows nothing: what the killed one had was begun again from its start.
            assert repeats > 0
            for worker in (second, third):
                worker.send_signal(signal.SIGTERM)
            assert [end_of(worker) for worker in (second, third)] == [0, 0]


@pytest.mark.long
def test_a_rebalance_keeps_the_tasks_that_stay(bench):
    values = [b"%d" % at for at in range(3_000)]
    for part in range(4):
        bench.write(part, values)
    with bench.worker() as first:
        until(lambda: bench.committed() == [3_000] * 4)
        with bench.worker() as second:
            settled(bench, 2)
            for part in range(4):
                bench.write(part, values)
            until(lambda: bench.committed() == [6_000] * 4)
            second.send_signal(signal.SIGTERM)
            assert end_of(second) == 0
        # It has left the group itself: nobody waits for its session to time out.
        started = time.monotonic()
        settled(bench, 1)
        assert time.monotonic() - started < 8
        until(lambda: bench.committed() == [6_000] * 4)
        pids = {first.pid: 0, second.pid: 0}
        firsts = {(pid, source) for pid, source, _, _, offset, _ in bench.chunks() if offset == 0}
        stayed = {source for pid, source in firsts if pid == first.pid}
        assert len(stayed) == 4
        assert len({source for pid, source in firsts if pid == second.pid}) == 2
        assert set(pids) == {pid for pid, *_ in bench.chunks()}
        found = bench.outputs()
        for source in stayed:
            outputs = places(found[source])
            assert set(outputs) == set(expected(values * 2))


def test_workers_of_one_stage_share_only_its_topics(bench):
    with bench.worker(ECHO_STAGE="normalize"), bench.worker(ECHO_STAGE="aggregate"):
        wanted = [
            {(bench.raw, number) for number in range(4)},
            {(bench.book, number) for number in range(12)},
        ]
        until(lambda: sorted(members(bench).values(), key=len) == wanted)

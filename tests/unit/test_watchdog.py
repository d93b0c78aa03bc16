"""When a worker counts as stalled: looks made by hand, five seconds apart, under a limit of sixty."""

import subprocess
import sys

import pytest
from faust.types import TP

from streams.chunks import Ledger
from streams.watchdog import Look, Stall
from tests.frames import REPOSITORY

RAW, BOOK = TP("coby.raw.a.v1", 0), TP("coby.book.v1", 0)


class Looks:
    def __init__(self, seconds=60):
        self.stall, self.now, self.epoch = Stall(seconds), 1_000.0, 1

    def look(self, seconds=5, **looks):
        """What is judged at the next look; ``raw`` and ``book`` as (next offset, end, given)."""
        self.now += seconds
        named = {"raw": RAW, "book": BOOK}
        return self.stall.judge(
            self.now, self.epoch, {named[name]: Look(*look) for name, look in looks.items()}
        )

    def times(self, count, **looks):
        """The number of the first of so many looks that finds a stall, and what it found."""
        for number in range(1, count + 1):
            if found := self.look(**looks):
                return number, found
        return None


def test_a_worker_with_lag_that_takes_nothing_is_stalled_after_the_limit():
    looks = Looks()
    looks.look(raw=(7, 7, None))
    # The first look with lag is not sixty seconds of it: that takes twelve more.
    assert looks.times(20, raw=(7, 9, None), book=(3, 3, None)) == (14, [RAW])


def test_an_idle_worker_is_not_stalled():
    assert Looks().times(100, raw=(7, 7, None), book=(0, 0, None)) is None


def test_a_record_that_comes_after_a_long_idle_time_has_the_whole_limit():
    looks = Looks()
    assert looks.times(100, raw=(7, 7, None)) is None
    assert looks.times(12, raw=(7, 8, None)) is None


def test_any_task_that_moves_keeps_the_worker_alive():
    looks = Looks()
    for offset in range(100):
        assert looks.look(raw=(offset, 10_000, offset), book=(5, 9, None)) == [], "waits for the older ones"


def test_a_chunk_that_is_given_and_never_taken_is_a_stuck_agent_while_others_move():
    looks = Looks()
    found = [looks.look(raw=(offset, 10_000, offset), book=(5, 99, 8)) for offset in range(16)]
    assert found[:13] == [[]] * 13
    assert found[13] == [BOOK]


def test_a_chunk_whose_outputs_are_not_confirmed_yet_is_taken():
    looks = Looks()
    for offset in range(30):
        assert looks.look(raw=(offset, 10_000, offset), book=(8, 99, 8)) == []


def test_a_rebalance_or_seek_begins_the_time_anew():
    looks = Looks()
    for _ in range(5):
        assert looks.times(12, raw=(7, 9, 9)) is None
        looks.epoch += 1


def test_a_process_that_was_stopped_gets_its_time_anew():
    looks = Looks()
    assert looks.times(12, raw=(7, 9, 9)) is None
    assert looks.look(seconds=500, raw=(7, 900, 9)) == []
    assert looks.times(11, raw=(7, 900, 9)) is None


def test_time_in_which_no_broker_told_the_ends_does_not_count():
    looks = Looks()
    assert looks.times(12, raw=(7, 9, 9)) is None
    looks.stall.reset()
    assert looks.times(11, raw=(7, 9, 9)) is None


def test_a_partition_given_away_is_forgotten():
    looks = Looks()
    assert looks.times(12, raw=(1, 1, None), book=(5, 99, 8)) is None
    assert looks.times(12, raw=(1, 1, None)) is None
    assert looks.times(12, raw=(1, 1, None), book=(5, 99, 8)) is None


@pytest.mark.parametrize("acked", [[], [4], [9], [4, 9]])
def test_what_is_given_ends_with_the_last_chunk_that_is_not_acked(acked):
    ledger = Ledger()
    assert ledger.given(RAW) is None
    for last in (4, 9):
        ledger.delivered(RAW, last)
    for last in acked:
        ledger.ack(RAW, last)
    assert ledger.given(RAW) == (None if acked == [4, 9] else 10)


LEAVES = """
import logging, threading
import streams.watchdog as watchdog
from COBY.utils.logging import setup_logging
setup_logging("INFO", "-", program="test", secrets=())
watchdog.LEAVE_SECONDS = 0.5 if HANGS else 60
if HANGS:
    for handler in logging.getLogger().handlers:
        handler.acquire()  # as a main thread that hangs while it writes a line
looks = {("t", 0): watchdog.Look(3, 9, 5)}
stuck = [watchdog.TP("t", 0)]
leaver = threading.Thread(target=watchdog.leave, args=(stuck, 60.0, looks))
leaver.start()
leaver.join()
"""


@pytest.mark.parametrize(("hangs", "code"), [(False, 4), (True, 1)])
def test_the_process_ends_even_when_whoever_hangs_holds_the_log(hangs, code):
    program = LEAVES.replace("HANGS", str(hangs))
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, timeout=90)
    assert ended.returncode == code
    assert (b'"stalled"' in ended.stderr) is not hangs
    assert b"in <module>" in ended.stderr, "where the main thread is"

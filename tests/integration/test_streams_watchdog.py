"""A streams process that hangs ends by itself, and the next one goes on: the loop blocked, and an agent stuck.

python -m tests.integration.test_streams_watchdog    # the streams process of these tests; settings as usual
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from streams.outbox import Outbox
from tests.integration import test_streams_echo as echo
from tests.integration.test_streams_echo import bench, end_of, expected, places, until

__all__ = ["bench"]  # the fixture

BLOCK, STUCK = b"block", b"stuck"
LIMIT_SECONDS = 3


def program():
    """HANG tells whether BLOCK and STUCK do what they say."""
    import streams.service

    class HangingTask(echo.EchoTask):
        def process(self, records):
            while any(record.value == BLOCK for record in records):
                time.sleep(0.01)
            return super().process(records)

    class StuckOutbox(Outbox):
        def _offer(self, output, on_delivery):  # a queue that stays full: its agent waits for ever
            return echo.sha256(STUCK).hexdigest().encode() not in output.value and super()._offer(
                output, on_delivery
            )

    if os.environ["HANG"] == "yes":
        echo.EchoTask, streams.service.Outbox = HangingTask, StuckOutbox
    echo.program()


@contextmanager
def worker(bench, hang="yes", **env):
    log = bench.folder / f"worker-{time.monotonic_ns()}.log"
    settings = {"HANG": hang, "WATCHDOG_SECONDS": str(LIMIT_SECONDS), **env}
    command = [sys.executable, "-m", "tests.integration.test_streams_watchdog"]
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, env={**os.environ, **bench.env, **settings}, cwd=echo.REPOSITORY, stdout=out, stderr=out
        ) as process,
    ):
        process.log = log
        try:
            yield process
        finally:
            process.kill()


def lines(process, event):
    found = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def goes_on(bench, values):
    with worker(bench, hang="no") as process:
        until(lambda: bench.committed()[0] == len(values))
        assert places(bench.outputs()["binance/0"])[-len(values) :] == expected(values)
        process.send_signal(signal.SIGTERM)
        assert end_of(process) == 0


def test_a_task_that_never_returns_ends_the_process_which_the_loop_could_not(bench):
    values = [b"a", b"b", BLOCK, b"c"]
    bench.write(0, values)
    # Longer than Kafka or the machine may stand still: only the task's own standstill is one here.
    with worker(bench, WATCHDOG_SECONDS="12") as process:
        assert end_of(process, 150) == 4
        (line,) = lines(process, "stalled")
    assert line["level"] == "critical"
    assert line["partitions"] == [f"{bench.raw}/0 at 0 of 4"]
    assert any("time.sleep(0.01)" in part for part in line["stack"]), "where it hangs"
    assert bench.committed()[0] is None


@pytest.mark.long
def test_an_agent_stuck_in_an_await_ends_the_process_while_the_others_go_on(bench):
    values = [b"a", STUCK]
    bench.write(0, values)
    with worker(bench) as process:
        until(lambda: [one for one in bench.chunks() if one[1] == "binance/0"])
        started, written = time.monotonic(), 0
        while process.poll() is None:
            assert time.monotonic() - started < 60
            bench.write(0, [b"more"])
            bench.write(1, [b"%d" % written], bench.book)
            values.append(b"more")
            written += 1
            time.sleep(0.1)
        assert process.returncode == 4
        (line,) = lines(process, "stalled")
    assert [one.split(" ")[0] for one in line["partitions"]] == [f"{bench.raw}/0"]
    taken = [one for one in bench.chunks() if one[1] == "book/1"]
    assert sum(records for _, _, records, *_ in taken) > written / 2, "the other agent went on"
    goes_on(bench, values)


@pytest.mark.long
def test_a_worker_that_was_stopped_or_has_nothing_to_read_is_left_alone(bench):
    bench.write(0, [b"a"])
    with worker(bench) as process:
        until(lambda: bench.committed()[0] == 1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2 * LIMIT_SECONDS)
        bench.write(0, [b"b"])
        process.send_signal(signal.SIGCONT)
        until(lambda: bench.committed()[0] == 2)
        time.sleep(2 * LIMIT_SECONDS)
        assert process.poll() is None
        assert lines(process, "stalled") == []


if __name__ == "__main__":
    program()

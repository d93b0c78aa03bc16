"""Replay workers that are killed: the session goes on elsewhere, and a consumer's view is exact."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from COBY.runtime.kafka import apply_topics
from tests.conftest import delete_topics
from tests.integration.replay_world import (
    Reader,
    all_of,
    at_ms,
    by_sequence,
    derived_topics,
    do,
    managing,
    until_ended,
    within,
    without_repeats,
)
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SECONDS, SYMBOLS, Made, Run, frames, started_ns, told

PREFIX = "treplaykill"
RECORDS, PATIENCE_SECONDS = 20, 60.0
POINTS = ("player.released:40", "player.told:2", "player.released:1", "player.told:1")


@pytest.fixture(scope="module")
def world(kafka):
    """A run of 75 s in the topics; (run, environment of workers, first ms)."""
    more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS)}
    cfg = settings(kafka, prefix=PREFIX, **more)
    apply_topics(cfg)
    log = frames(started_ns())
    run = Run(cfg, log, Made(log, cfg).outputs, told(cfg))
    env = {**os.environ, **kafka.env, **more, "TOPIC_PREFIX": PREFIX, "LOG_FILE": "-", "METRICS_PORT": "0"}
    yield run, env, log.records[0].timestamp
    delete_topics(kafka.bootstrap_servers, PREFIX)


class Workers:
    """Processes of `python -m replay`; the ones that die are replaced."""

    def __init__(self, env, count):
        self.env, self.running = env, []
        for _ in range(count):
            self.start()

    def start(self, point=None):
        env = self.env | ({"COBY_CRASH_POINT": point} if point else {})
        command = [sys.executable, "-m", "replay"]
        self.running.append(subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL))

    def replace(self):
        """New ones for those that have ended, as a supervisor would."""
        for one in [one for one in self.running if one.poll() is not None]:
            self.running.remove(one)
            self.start()

    def kill(self, number):
        self.running[number].kill()
        self.running.pop(number).wait()

    def close(self, allowed=(0,)):
        """End them in order; ``allowed``: exit codes."""
        for one in self.running:
            one.send_signal(signal.SIGTERM)
        codes = [one.wait(30) for one in self.running]
        self.running = []
        assert set(codes) <= set(allowed)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.running:  # only where something failed
            one.kill()
            one.wait()


def it_goes_on(reader, workers):
    """Some records more come, whoever dies meanwhile."""
    count, end = len(reader.seen) + RECORDS, time.monotonic() + PATIENCE_SECONDS
    while len(reader.seen) < count:
        assert time.monotonic() < end, f"at rest, or over, after {len(reader.seen)} records"
        reader.read(0.5, lambda seen: len(seen) >= count)
        workers.replace()


def killed(world, kills, seed, speed):
    """A session whose workers are killed at random moments and named points; the consumer's view, and how it ended."""
    run, env, first_ms = world
    rng = random.Random(seed)
    with Workers(env, 2) as workers, managing(run.cfg) as manager:
        one = manager.create_replay_session(at_ms(first_ms), at_ms(first_ms + 1000 * SECONDS), speed)
        reader = Reader(run.cfg.kafka_bootstrap_servers, manager.topic(one))
        do(manager.start_replay(one))
        for number in range(kills):
            it_goes_on(reader, workers)
            moment = time.monotonic() + rng.uniform(0.0, 1.5) * (number % 2)
            reader.read(2.0, lambda seen, moment=moment: time.monotonic() >= moment)
            workers.kill(rng.randrange(2))
            workers.start(POINTS[number // 2 % len(POINTS)] if number % 2 else None)
        it_goes_on(reader, workers)
        status = until_ended(manager, one, 300, meanwhile=workers.replace)
        view = without_repeats(reader.read(2.0))
        repeats = len(reader.seen) - len(view)
        reader.close()
        do(manager.delete(one))
        workers.close(allowed=(0, -signal.SIGKILL))  # one may still be armed
    live = by_sequence(all_of(run.cfg.kafka_bootstrap_servers, *derived_topics(PREFIX)))
    return view, status, within(live, first_ms, first_ms + 1000 * SECONDS), repeats


@pytest.mark.parametrize(
    ("kills", "speed"),
    # Each kill costs the session's time until another worker goes on, some seven seconds.
    [(2, 5), pytest.param(20, 0.5, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
def test_a_consumers_view_is_exact_however_often_workers_are_killed(world, kills, speed):
    view, status, expected, repeats = killed(world, kills, seed=kills, speed=speed)
    assert (status.state, status.error) == ("finished", None)
    assert by_sequence(view) == expected
    places = [one.place for one in view]
    assert places == sorted(set(places))
    assert places[-1] == (0, status.n)
    assert repeats >= 0
    print(f"{kills} kills, {len(view)} records, {repeats} repeats or of the scene")


def test_a_worker_asked_to_stop_ends_within_seconds_and_another_goes_on(world):
    run, env, first_ms = world
    with Workers(env, 1) as workers, managing(run.cfg) as manager:
        one = manager.create_replay_session(at_ms(first_ms), at_ms(first_ms + 40_000), 5)
        reader = Reader(run.cfg.kafka_bootstrap_servers, manager.topic(one))
        do(manager.start_replay(one))
        assert without_repeats(reader.read(30, without_repeats))
        began = time.monotonic()
        workers.close()
        assert time.monotonic() - began < 30
        seen = len(reader.read(1.0))
        workers.start()
        assert until_ended(manager, one).state == "finished"
        view = without_repeats(reader.read())
        assert len(reader.seen) == len(view) + sum(one.header("prelude") is not None for one in reader.seen)
        assert len(view) > seen
        do(manager.delete(one))
        reader.close()
        workers.close()

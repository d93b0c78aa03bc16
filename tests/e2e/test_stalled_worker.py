"""Two stream workers share the partitions; one that stands still delays heatmaps and changes none."""

import signal
import time
from dataclasses import replace

import pytest

from deploy.local.programs import pipeline
from tests.e2e.system import DERIVED, contents, recomputed, system, until

pytestmark = pytest.mark.usefixtures("in_real_time")

STALL_SECONDS = 3


def test_a_stalled_worker_delays_heatmaps_and_changes_none(kafka, topic_prefix, tmp_path):
    env = {**kafka.env, "TOPIC_PREFIX": topic_prefix, "SYMBOLS": "BTCUSDT,ETHUSDT"}
    (worker,) = (program for program in pipeline(["binance"]) if program.name == "streams")
    second = replace(worker, name="streams-2", metrics_port=worker.metrics_port + 1)
    names = ("producer-binance", "streams", "clock")
    with system(tmp_path, env, names=names, options=("--rate", "400"), more=(second,)) as running:
        until(lambda: running.count("heatmap") > 10, 60, "heatmaps from two workers")
        # In turn until one shows: where the machine itself stands still, the group may have dealt anew meanwhile.
        delayed = any(stall(running, name) for _ in range(4) for name in ("streams", "streams-2"))
        assert delayed, "neither worker held a partition that a heatmap depends on"
        reached = running.count("heatmap")
        until(lambda: running.count("heatmap") > reached + 20, 60, "heatmaps after the stalls")
        running.rest()
        restarted = {name: state for name, state in running.programs.status().items() if state.restarts}
        assert not restarted
        expected = recomputed(running)
        for name in DERIVED:
            assert contents(running.read(name)) == expected[name], name
        sources = {source for source, _ in expected["heatmap"]}
        assert sources == {b"aggregate/BTCUSDT", b"aggregate/ETHUSDT"}


def stall(running, name: str) -> bool:
    """Stop a worker for a while, under its session's timeout; whether heatmaps stood still though frames came."""
    running.programs.kill(name, signal.SIGSTOP)
    try:
        time.sleep(1)  # what was under way is out
        frames, heatmaps = running.count("raw", "binance"), running.count("heatmap")
        time.sleep(STALL_SECONDS)
        until(lambda: running.count("raw", "binance") > frames + 300, 60, "frames during the stall")
        # Two symbols at two ticks a second: half of them missing means that one symbol stood still.
        return running.count("heatmap") - heatmaps <= 2 * STALL_SECONDS + 2
    finally:
        running.programs.kill(name, signal.SIGCONT)
        time.sleep(2)

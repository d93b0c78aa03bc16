"""`coby verify` beside the running programs: three simulated exchanges, a worker and a sink killed on the way."""

import time

import pytest
from click.testing import CliRunner

from COBY.config import load_config
from COBY.runtime.cli import main as coby
from tests.e2e.system import system, until
from tests.integration.sink_helpers import prepare, query

EXCHANGES = ("binance", "kraken", "okx")
PROGRAMS = (
    "streams", "clock", "sink-timescale", "sink-redis", *(f"producer-{exchange}" for exchange in EXCHANGES),
)  # fmt: skip


def verify(env, first_ms, last_ms, *args):
    command = ["verify", "--from", str(first_ms), "--to", str(last_ms), *args]
    result = CliRunner().invoke(coby, command, env=env, catch_exceptions=False)
    return result.exit_code, result.stderr + result.stdout


@pytest.mark.long
def test_a_disturbed_run_is_equal_while_it_goes_on_and_at_rest(kafka, timescale, redis_server, tmp_path):
    with timescale.database() as database:
        env = {**kafka.env, **database.env, **redis_server.env, "TOPIC_PREFIX": "tvlive"}
        env |= {"EXCHANGES": ",".join(EXCHANGES), "SNAPSHOT_INTERVAL": "2"}
        prepare(load_config({**env, "LOG_FILE": "-"}))
        with system(tmp_path, env, names=PROGRAMS, options=("--rate", "150")) as running:
            started_ms = time.time_ns() // 10**6
            until(lambda: running.count("heatmap") > 20, 60, "5 s of heatmaps")
            for name in ("streams", "sink-timescale", "sink-redis"):
                running.programs.kill(name)
            until(lambda: running.count("heatmap") > 80, 90, "more after the kills")
            # A range that is over, while everything goes on.
            now_ms = time.time_ns() // 10**6
            code, output = verify(env, started_ms + 1_000, now_ms - 2_000, "--wait", "30")
            assert code == 0, output
            assert "before the head" in output
            # Up to now, with writers that are behind: they are waited for.
            code, output = verify(env, started_ms - 60_000, time.time_ns() // 10**6 + 60_000, "--wait", "30")
            assert code == 0, output
            running.rest()
            code, output = verify(env, started_ms - 60_000, time.time_ns() // 10**6 + 60_000, "--wait", "30")
            assert code == 0, output
            assert "before the head" not in output
            count = query(database.dsn, "SELECT count(*) FROM trade_events")[0][0]
            assert count > 0
            assert f"{count:,}" in next(
                line for line in output.splitlines() if line.startswith("trade_events")
            )

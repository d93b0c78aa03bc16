"""examples/ as its README has it, on a running system: a simulated exchange, streams, sinks, a replay worker, the API.

The consumer in JavaScript has a test of its own (test_javascript_consumer.py).
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pytest
from confluent_kafka import KafkaException
from websockets.sync.client import connect

from COBY.config import load_config
from COBY.utils.intervals import format_us
from tests.api_server import ApiServer, api_server
from tests.conftest import delete_topics
from tests.e2e.system import System, system, until
from tests.integration.sink_helpers import prepare

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
README = (EXAMPLES / "README.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", "")
CURL = re.findall(r"^curl .*$", SHELL, re.MULTILINE)
SENT = re.findall(r"^echo '(.*)' \|$", SHELL, re.MULTILINE)
MAY_BE_EMPTY = ("/v1/gaps", "/v1/continuity", "/replay/sessions")  # intervals are told by the minute
PREFIX = "texamples"
PROGRAMS = ("streams", "clock", "sink-timescale", "sink-redis", "producer-binance", "replay")
TICKS_A_SECOND = 10
SECONDS = 24


class Running(NamedTuple):
    system: System
    api: ApiServer
    env: dict[str, str]


@pytest.fixture(scope="module")
def running(kafka, timescale, redis_session, tmp_path_factory):
    """A system that has run for some time, ticks each tenth of a second."""
    folder = tmp_path_factory.mktemp("examples")
    with timescale.database() as database:
        env = {**kafka.env, **database.env, **redis_session.env, "TOPIC_PREFIX": PREFIX}
        env |= {"EXCHANGES": "binance", "UPDATE_FREQUENCY": "0.1", "STORE_INTERVAL": "0.5"}
        prepare(load_config({**env, "LOG_FILE": "-"}))
        try:
            with (
                system(folder, env, names=PROGRAMS, options=("--rate", "100")) as programs,
                api_server(env, folder) as api,
            ):
                until(lambda: heatmaps(programs) > 2 * TICKS_A_SECOND * SECONDS, 180, "heatmaps")
                until(lambda: api.get("/health/ready").status_code == 200, 60, "the API's readiness")
                yield Running(programs, api, env)
        finally:
            delete_topics(kafka.bootstrap_servers, PREFIX)


def heatmaps(programs):
    try:
        return programs.count("heatmap")
    except KafkaException:  # a topic that has just been made may still be looking for its leader
        return 0


def python(running, script, *arguments, **more):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return {"args": command, "env": {**os.environ, **running.env, **more}, "text": True}


def test_the_readme_has_lines_to_run():
    assert len(CURL) >= 15
    assert len(SENT) == 2
    assert {path.name for path in EXAMPLES.iterdir()} == {
        "README.md",
        *re.findall(r"^\| \[([\w.]+)", README, re.M),
    }


@pytest.mark.parametrize("line", CURL)
def test_each_curl_line_gets_an_answer(running, line, tmp_path):
    command = line.replace("http://localhost:8080", running.api.url)
    assert command != line
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    if "-o candles.arrow" in line:
        assert pyarrow.ipc.open_stream(tmp_path / "candles.arrow").read_all().num_rows > 0
    elif "text/csv" in line:
        assert len(done.stdout.splitlines()) > 1
    elif "/v1/replay?" in line:
        *records, end = map(json.loads, done.stdout.splitlines())
        assert {record["data"]["symbol"] for record in records} == {"BTCUSDT"}
        assert (end["type"], end["error"]) == ("end", None)
    else:
        answer = json.loads(done.stdout)
        assert answer.get("data", answer) or any(path in line for path in MAY_BE_EMPTY)


@pytest.mark.parametrize("message", SENT)
def test_what_websocat_would_send_is_answered_and_followed(running, message):
    with connect(f"{running.api.ws_url}/v1/ws") as socket:
        socket.send(message)
        channels = {one["name"] for one in json.loads(message)["channels"]}
        seen, end = set(), time.monotonic() + 30
        while not {"welcome", "subscribed", "update"} <= seen:
            assert time.monotonic() < end, seen
            told = json.loads(socket.recv(30))
            seen.add(told["type"])
            assert told["type"] != "error", told
            assert told.get("channel", "gap") in channels | {"gap"}


def test_the_consumer_in_twenty_lines_shows_each_heatmap_once(running):
    source = (EXAMPLES / "heatmap_consumer.py").read_text()
    assert len(source.splitlines()) <= 20
    command = python(running, "heatmap_consumer.py", PYTHONUNBUFFERED="1")
    with subprocess.Popen(**command, stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(100)]
        process.kill()
    shown = [re.fullmatch(r"(BTCUSDT|ETHUSDT) (\S+Z) (\{'price': .*\}|None)\n", line) for line in lines]
    assert all(shown), lines
    assert len({found.group(1, 2) for found in shown}) == 100


def train(running, first_us, last_us, out, *more):
    times = [format_us(first_us), format_us(last_us)]
    options = ["--step", 1 / TICKS_A_SECOND, "--ahead", 5, "--rounds", 200, "--out", out, *more]
    done = subprocess.run(
        **python(running, "train_on_replay.py", *times, *options), capture_output=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_a_network_learns_the_same_from_a_range_of_kafka_and_of_the_api(running, tmp_path):
    last_us = time.time_ns() // 1_000 - 2_000_000
    first_us = last_us - 16_000_000
    code, said, wrong = train(running, first_us, last_us, tmp_path / "one.npz")
    assert code == 0, wrong
    before, after = map(float, re.search(r"while learning: (\S+) -> (\S+) bp", said).groups())
    assert after < 0.9 * before
    rows = re.search(r"to learn from: (\d+) of (\d+) rows", said)
    assert int(rows[2]) == 120
    assert int(rows[1]) > 60
    code, again, wrong = train(running, first_us, last_us, tmp_path / "two.npz", "--api", running.api.url)
    assert code == 0, wrong
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert set(one) == set(two)
        assert all(np.array_equal(one[name], two[name]) for name in one)
    assert again.splitlines()[:-1] == said.splitlines()[:-1]  # the last one names the file


def test_too_short_a_range_is_told(running, tmp_path):
    last_us = time.time_ns() // 1_000 - 2_000_000
    code, _, wrong = train(running, last_us - 1_000_000, last_us, tmp_path / "none.npz")
    assert code == 1
    assert "fewer than 20 rows" in wrong

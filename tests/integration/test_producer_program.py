"""`python -m producers` and `python -m producers.clock` as processes, against the simulator and a real Kafka."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from COBY.runtime.kafka import ANSWER_SECONDS
from tests.producer_world import Raw, configured, read_topic
from tests.servers import KafkaServer

PRODUCERS = ("producers", "--exchange", "binance")


@contextmanager
def program(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "LOG_FILE": "-", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def simulated() -> Iterator[dict[str, str]]:
    """The settings that lead to a simulator of its own."""
    with program("simulator", "--port", "0", "--rate", "200") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        urls = {"BINANCE_WS_URL": ready["ws_url"], "BINANCE_REST_URL": ready["rest_url"]}
        yield {
            name: url["binance"] if isinstance(url, dict) else url.replace("{exchange}", "binance")
            for name, url in urls.items()
        }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def raw_topic(kafka: KafkaServer, prefix: str) -> list[Raw]:
    return read_topic(kafka.bootstrap_servers, f"{prefix}.raw.binance.v1")


def settings(kafka: KafkaServer, prefix: str, **more: str) -> dict[str, str]:
    own = {"TOPIC_PREFIX": prefix, "EXCHANGES": "binance", "SYMBOLS": "BTCUSDT,ETHUSDT"}
    return {**kafka.env, **own, **more}


def ended(env: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """(exit code, what it said) of a program that ends by itself."""
    with program(*arguments, env=env) as process:
        _, said = process.communicate(timeout=90)
        return process.returncode, said


def counted(metrics: str) -> float:
    """The frames that a producer says it has seen."""
    return sum(
        float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("coby_frames_total{")
    )


def test_the_simulators_frames_go_into_the_raw_topic_until_sigterm(kafka, topic_prefix):
    configured(kafka.env, topic_prefix)
    port = free_port()
    with simulated() as urls:
        env = settings(kafka, topic_prefix, METRICS_PORT=str(port), **urls)
        with program(*PRODUCERS, env=env) as process:
            until(lambda: get(port, "/health/ready")[0] == 200)
            assert json.loads(get(port, "/health/ready")[1])
            until(lambda: "coby_frames_total" in get(port, "/metrics")[1])
            until(lambda: counted(get(port, "/metrics")[1]) > 300)
            metrics = get(port, "/metrics")[1]
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1]
            assert process.returncode == 0
    records = raw_topic(kafka, topic_prefix)
    # Records and lines of the log name their connection alike.
    told = [json.loads(line) for line in said.splitlines() if '"conn' in line]
    assert [line["event"] for line in told] == ["connected", "connection_ended"]
    assert {line["correlation_id"] for line in told} == {dict(records[0].headers)["conn"]}
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert (records[0].event["event"], records[-1].event["event"]) == ("connected", "disconnected")
    frames = [record for record in records if record.kind == "ws"]
    assert len(frames) > 300
    assert {dict(record.headers)["symbol"] for record in records if record.kind == "http"} == {
        "BTCUSDT",
        "ETHUSDT",
    }
    (line,) = [line for line in metrics.splitlines() if line.startswith("coby_frames_total{")]
    assert line.startswith('coby_frames_total{exchange="binance"}')
    assert 0 < float(line.split()[-1]) <= len(frames)


def test_a_killed_kafka_connection_does_not_end_it_but_readiness_tells(kafka, topic_prefix):
    if kafka.server is None:
        pytest.skip("a broker in a container is not paused")
    configured(kafka.env, topic_prefix)
    port = free_port()
    with simulated() as urls:
        env = settings(kafka, topic_prefix, METRICS_PORT=str(port), DATA_BUFFER_SIZE="300", **urls)
        with program(*PRODUCERS, env=env) as process:
            until(lambda: get(port, "/health/ready")[0] == 200)
            kafka.server.pause()
            try:
                until(lambda: get(port, "/health/ready")[0] == 503)
                assert get(port, "/health/live")[0] == 200
            finally:
                kafka.server.resume()
            until(lambda: get(port, "/health/ready")[0] == 200)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    records = raw_topic(kafka, topic_prefix)
    assert any(record.event["event"] == "dropped" for record in records)


@pytest.mark.parametrize("arguments", [PRODUCERS, pytest.param(("producers.clock",), marks=pytest.mark.long)])
def test_without_kafka_it_says_one_line_and_exits_with_2(arguments):
    env = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "EXCHANGES": "binance"}
    assert ANSWER_SECONDS <= 10, "what it waits is bounded; how long the machine takes to start it is not"
    code, said = ended(env, *arguments)
    errors = [line for line in said.splitlines() if line.startswith("error ")]
    assert (code, len(errors)) == (2, 1)
    assert errors[0].startswith("error kafka.unreachable: ")
    assert env["KAFKA_BOOTSTRAP_SERVERS"] in errors[0]


@pytest.mark.parametrize("arguments", [PRODUCERS, pytest.param(("producers.clock",), marks=pytest.mark.long)])
def test_an_occupied_metrics_port_is_one_line(arguments, kafka, topic_prefix):
    configured(kafka.env, topic_prefix)
    with socket.create_server(("0.0.0.0", 0)) as occupied:
        port = occupied.getsockname()[1]
        code, said = ended(settings(kafka, topic_prefix, METRICS_PORT=str(port)), *arguments)
    assert code == 2
    assert said.startswith("error runtime.port_occupied: ")
    assert str(port) in said


@pytest.mark.parametrize("arguments", [PRODUCERS, pytest.param(("producers.clock",), marks=pytest.mark.long)])
def test_missing_topics_are_named(arguments, kafka, topic_prefix):
    code, said = ended(settings(kafka, topic_prefix), *arguments)
    assert code == 2
    assert "error topics.missing: " in said
    assert f"{topic_prefix}.raw.binance.v1" in said


def test_an_exchange_that_is_not_configured_is_named(kafka, topic_prefix):
    code, said = ended(settings(kafka, topic_prefix), "producers", "--exchange", "nobody")
    assert code == 2
    assert "error config.unknown_exchange: 'nobody' is not one of EXCHANGES" in said


def test_of_an_exchange_that_is_left_out_the_producer_stands_by():
    """No broker is there, and none is asked."""
    port = free_port()
    env = {"EXCHANGES": "binance", "METRICS_PORT": str(port), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with program("producers", "--exchange", "okx", env=env) as process:
        until(lambda: get(port, "/health/ready")[0] == 200)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '"event": "not_wanted"' in said


def test_the_clock_as_a_process_ends_on_sigterm_with_its_marks_written(kafka, topic_prefix):
    configured(kafka.env, topic_prefix)
    port = free_port()
    env = settings(kafka, topic_prefix, METRICS_PORT=str(port))
    with program("producers.clock", env=env) as process:
        until(lambda: get(port, "/health/ready")[0] == 200)
        until(lambda: {record.partition for record in raw_topic(kafka, topic_prefix)} == {0, 1, 2, 3})
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    records = raw_topic(kafka, topic_prefix)
    assert {record.kind for record in records} == {"mark"}
    assert {record.partition for record in records} == {0, 1, 2, 3}

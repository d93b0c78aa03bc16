"""README's own program, word for word, on a live topic and on a replay of it: the same heatmaps, each once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from COBY.codec import encode
from COBY.config import load_config
from COBY.records import Cell, Gap, Heatmap
from COBY.runtime.kafka import apply_topics, make_producer
from COBY.topics import topic_name

ROOT = Path(__file__).resolve().parents[2]
US = 1_700_000_000_000_000
CELLS = [Cell(100_00000000, 3_00000000, 1_00000000, "bid", 1), Cell(110_00000000, 1, 0, "ask", 1)]


def program():
    (text,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "heatmap.avsc" in text
    )
    return text


def lines_of(kafka, topic, count):
    """So many lines that the program prints when it is given this topic; it is ended then."""
    environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    command = [sys.executable, "-u", "-c", program(), topic]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = [process.stdout.readline() for _ in range(count)]
        process.kill()
    return found


def heatmap(tick):
    return encode(Heatmap("BTCUSDT", US + tick * 500_000, 10_00000000, CELLS[: 1 + tick], None, None, [], []))


def position(tick):
    return [
        ("source", b"aggregate/BTCUSDT"),
        ("position", b"%d:0" % (US + tick * 500_000)),
        ("settings", b"00"),
    ]


@pytest.fixture
def topics(kafka, topic_prefix):
    """(live topic, replay topic), made; and what writes to them."""
    cfg = load_config({"TOPIC_PREFIX": topic_prefix, **kafka.env})
    apply_topics(cfg)
    replay = f"{topic_prefix}.replay.s1.v1"
    config = {"message.timestamp.after.max.ms": str(2**63 - 1)}
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    (made,) = admin.create_topics([NewTopic(replay, 1, 1, config=config)]).values()
    made.result(60)
    failures: list[Exception] = []
    producer = make_producer(cfg, failures.append)
    live = topic_name(topic_prefix, "heatmap")
    # Tick 0, then a worker that starts anew and repeats it, then tick 1.
    for tick in (0, 0, 1):
        producer.produce(live, heatmap(tick), b"BTCUSDT", position(tick))
    gap = Gap("BTCUSDT", "okx", US, US, None, "checksum", None, "")
    gaps = topic_name(topic_prefix, "gap")
    own = [("source", b"raw.okx.v1/2"), ("position", b"7:0")]
    rows = [
        (live, heatmap(0), position(0), 1, 0),
        (gaps, encode(gap), own, 1, 1),
        (live, heatmap(0), position(0), 1, 0),
        (live, heatmap(1), position(1), 1, 2),
        (live, heatmap(0), position(0), 2, 0),
        (live, heatmap(1), position(1), 1, 3),
        (live, heatmap(1), [], 2, 1),
    ]
    for origin, value, headers, run, n in rows:
        session = [("topic", origin.encode()), ("session", b"s1"), ("run", b"%d" % run), ("n", b"%d" % n)]
        producer.produce(replay, value, b"BTCUSDT", [*headers, *session], partition=0)
    assert (producer.flush(60), failures) == (0, [])
    return live, replay, gaps


def test_the_program_in_the_readme_reads_live_and_replay_alike(kafka, topics):
    live, replay, gaps = topics
    first, second = lines_of(kafka, live, 2)
    assert first.startswith("BTCUSDT 2023-11-14 22:13:20+00:00 1 cells, hottest: {")
    assert second.startswith("BTCUSDT 2023-11-14 22:13:20.500000+00:00 2 cells, hottest: {")
    assert "Decimal('3.00000000')" in first
    # In the replay also a gap, a worker's repeat, a seek back to the beginning, and a zombie of the run before.
    assert lines_of(kafka, replay, 5) == [first, f"{gaps} [1, 1]\n", second, first, second]


def test_the_program_in_the_readme_says_what_is_wrong_and_uses_no_code_of_ours(kafka, topic_prefix):
    environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    command = [sys.executable, "-c", program(), f"{topic_prefix}.nosuch.v1"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Unknown topic" in done.stderr, done.stdout) == (1, True, "")
    assert set(re.findall(r"^(?:import|from) (\w+)", program(), re.MULTILINE)) == {
        "io", "os", "sys", "fastavro", "confluent_kafka",
    }  # fmt: skip
